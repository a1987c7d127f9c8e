// The starter voice: 8-bit weights against 32-bit ones, odd input, the sample that the README links.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { PocketTTS, PocketTTSError } from '../../dist/node.js';
import { packFiles } from '../../models/starter/evaluate/speak.mjs';
import { Engine } from '../parity/engine.mjs';
import { openNodeDoor } from '../parity/node_door.mjs';
import { recorded, series } from '../parity/speech.mjs';
import { root, starter, temporary } from './support.mjs';

const SENTENCES = ['The birch canoe slid on the smooth planks.', 'Wait... what? No!', 'Four hours of steady work faced us, and then it rained.'];
const SILENCE = -50; // dBFS, of 10 ms: below this f32 is silent
const [HIDDEN, LATENTS, FLOOR] = [0.99, 0.99, 6]; // least cosines; dB

const dbfs = (x) => 10 * Math.log10(x.reduce((sum, v) => sum + v * v, 0) / x.length + 1e-12);
function cosine(a, b) {
  let [ab, aa, bb] = [0, 0, 0];
  a.forEach((x, i) => {
    ab += x * b[i];
    aa += x * x;
    bb += b[i] * b[i];
  });
  return ab / Math.sqrt(aa * bb);
}

/** A sentence of one chunk, step by step: the session's own latents, or `teacher`'s, are what the model reads. */
async function run(engine, { model, voice }, text, teacher) {
  const session = await engine.openSession(model, voice, text, {});
  const codec = await engine.openCodec(model);
  const [latents, sound] = [[], []];
  let end = -1;
  const [, recordings] = await recorded(engine, async () => {
    for (let step = 0; teacher === undefined || step < teacher.length; step++) {
      const previous = teacher === undefined || step === 0 ? null : teacher[step - 1];
      const { result, event, latent } = await (teacher === undefined ? engine.step(session) : engine.force(session, previous, null));
      if (event.eos !== 0 && end < 0) end = event.step;
      if (result !== 'frame') break;
      latents.push(latent);
      sound.push(...(await engine.decode(codec, latent, 1)));
    }
  });
  for (const object of [codec, session]) await engine.close(object);
  return { latents, sound, end, hidden: series(recordings, 'hidden').map(({ data }) => data) };
}

let engine;
const models = {};
before(async () => {
  engine = new Engine(await openNodeDoor(['dist/pocket_tts.mjs']));
  const files = packFiles(starter);
  for (const precision of ['f32', 'q8']) {
    const { model } = await engine.openModel({ ...files.model, precision });
    models[precision] = { model, ...(await engine.loadVoice(model, files.voice)) };
  }
});
after(async () => {
  for (const { model, voice } of Object.values(models)) {
    await engine.close(voice);
    await engine.close(model);
  }
});

for (const text of SENTENCES) {
  test(`starter, q8 against f32: ${text}`, async (t) => {
    const exact = await run(engine, models.f32, text);
    const eight = await run(engine, models.q8, text, exact.latents);
    assert.ok(exact.end >= 6, 'f32 ends by itself');
    assert.equal(eight.end, exact.end, 'the end is found at the same step');
    const steps = exact.latents.keys();
    const lowest = { hidden: 1, latents: 1 };
    for (const i of steps) {
      lowest.hidden = Math.min(lowest.hidden, cosine(exact.hidden[i], eight.hidden[i]));
      lowest.latents = Math.min(lowest.latents, cosine(exact.latents[i], eight.latents[i]));
    }
    const silent = { f32: [], q8: [] };
    for (let at = 0; at + 240 <= exact.sound.length; at += 240) {
      const window = exact.sound.slice(at, at + 240);
      if (dbfs(window) > SILENCE) continue;
      silent.f32.push(...window);
      silent.q8.push(...eight.sound.slice(at, at + 240));
    }
    assert.ok(silent.f32.length > 0, 'there is silence in it');
    const louder = dbfs(silent.q8) - dbfs(silent.f32);
    t.diagnostic(`least cosine: hidden ${lowest.hidden.toFixed(5)}, latents ${lowest.latents.toFixed(5)}; silence ${dbfs(silent.f32).toFixed(1)} dBFS, q8 ${louder.toFixed(1)} dB above`);
    assert.ok(lowest.hidden >= HIDDEN, `hidden states: cosine ${lowest.hidden}`);
    assert.ok(lowest.latents >= LATENTS, `latents: cosine ${lowest.latents}`);
    assert.ok(louder <= FLOOR, `silence is ${louder} dB louder`);
  });
}

test('starter: whatever it is given, it ends by itself or says why not', async () => {
  const tts = await PocketTTS.load();
  const cases = JSON.parse(readFileSync(join(starter, 'evaluate', 'robust.json'), 'utf8'));
  assert.ok(cases.length > 30);
  // `open` names what is known to fail: a typed warning is all that is asked of it.
  for (const { text, open } of cases) {
    const warnings = [];
    try {
      const { duration, chunks, samples } = await tts.generate(text, { onWarning: ({ code }) => warnings.push(code) });
      assert.ok(samples.every(Number.isFinite), text);
      assert.equal(warnings.includes('no-eos'), chunks.some(({ truncated }) => truncated), text);
      if (open !== undefined) continue;
      assert.ok(!warnings.includes('no-eos'), `no end: ${text}`);
      // The teacher takes 60 ms for each letter on the average; nothing takes four times as long, but for numbers and marks.
      assert.ok(duration < 2 + 0.25 * text.length, `${duration} s: ${text}`);
      if (/[a-z]{2}/i.test(text)) assert.ok(duration > 0.3 && dbfs(samples) > -40, `nothing to be heard: ${text}`);
    } catch (error) {
      assert.ok(error instanceof PocketTTSError, error);
      assert.equal(error.code, 'text-empty', text);
      assert.ok(!/[a-z0-9]/i.test(text), text);
    }
  }
  await tts.dispose();
});

test("starter: the README's sample is what the command line says", async (t) => {
  const made = join(temporary(t), 'starter.wav');
  const { status, stderr } = spawnSync(join(root, 'scripts', 'sample.sh'), [made], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  const committed = readFileSync(join(root, 'docs', 'audio', 'starter.wav'));
  assert.ok(readFileSync(made).equals(committed), 'docs/audio/starter.wav is not what the pack says: run `make sample` and commit it');
  assert.ok(committed.length <= 400_000);
});
