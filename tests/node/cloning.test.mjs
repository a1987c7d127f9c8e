// Voices out of recordings: an encoder that is a file of its own is fetched for the first of them and not before; aborts do
// not wait for the engine where it works in a worker.
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { PocketTTS } from '../../dist/node.js';
import { badServer } from '../support/bad-server.mjs';
import { fixture, freshCache, loadFixture, refused, root, run, sha256, temporary } from './support.mjs';

const { config, voice, file } = fixture('lsd6');
const RECORDING = new Uint8Array(readFileSync(file('voice.wav')));
const VOICE = new Uint8Array(readFileSync(voice));
const LAYOUTS = { here: { worker: false }, one: { worker: true }, halves: { instances: 2 }, shared: { parallel: 2 } };
const ENCODER = 'encoder.safetensors';
const MODEL = 'model.safetensors';
const SHORT = 'One two three.';

const threads = () => readdirSync('/proc/self/task').length;
const spoken = async (tts, options) => sha256((await tts.generate(SHORT, options)).samples);

/** Waits until `probe` answers `wanted`. */
async function becomes(wanted, probe) {
  for (let i = 0; i < 500 && probe() !== wanted; i++) await setTimeout(10);
  assert.equal(probe(), wanted);
}

/** lsd6 as a converted pack: its encoder is a file of its own. And what its bundle makes of the recording. */
let files;
let want;
before(async (t) => {
  const folder = join(temporary(t), 'pack');
  assert.equal((await run(['packs', 'convert', '-q', config, folder])).code, 0);
  files = Object.fromEntries(readdirSync(folder).map((path) => [`pack/${path}`, readFileSync(join(folder, path))]));
  const tts = await loadFixture('lsd6', { precision: 'q8', worker: false });
  const made = await tts.cloneVoice(RECORDING);
  want = { file: sha256(await tts.exportVoice(made)), spoken: await spoken(tts, { voice: made }) };
  await tts.dispose();
});

async function served(t) {
  freshCache(t);
  const server = await badServer({ ...files });
  t.after(() => server.stop());
  return { server, pack: `${server.url}/pack` };
}

test('the encoder is fetched at the first cloneVoice(), in every layout, and then kept', async (t) => {
  const { server, pack } = await served(t);
  for (const [name, layout] of Object.entries(LAYOUTS)) {
    await PocketTTS.clearCache();
    server.forget();
    const tts = await PocketTTS.load({ pack, voice: VOICE, ...layout });
    const { weightBytes, allocatedBytes } = tts.info;
    await spoken(tts);
    assert.deepEqual(server.requests(ENCODER), [], name);
    assert.equal(tts.info.canClone, true);
    assert.equal(await PocketTTS.isCached({ pack }), true);
    const before = threads();
    const made = await tts.cloneVoice(RECORDING);
    assert.equal(sha256(await tts.exportVoice(made)), want.file, name);
    assert.equal(await spoken(tts, { voice: made }), want.spoken, name);
    // Two at once as well, and nothing is asked for twice.
    const more = await Promise.all([tts.cloneVoice(RECORDING), tts.cloneVoice(RECORDING, { name: 'again' })]);
    assert.deepEqual(more.map((each) => each.name), ['clone', 'again']);
    assert.equal(server.sent(ENCODER), files[`pack/${ENCODER}`].length);
    assert.equal(server.sent(MODEL), files[`pack/${MODEL}`].length);
    // It is gone again.
    for (const each of [made, ...more]) each.dispose();
    await becomes(allocatedBytes, () => tts.info.allocatedBytes);
    assert.equal(tts.info.weightBytes, weightBytes);
    await becomes(before, threads);
    await tts.dispose();
  }
});

test('an encoder that cannot be had, or is not the right one, is an error of cloneVoice() alone', async (t) => {
  const { server, pack } = await served(t);
  for (const layout of [LAYOUTS.here, LAYOUTS.one]) {
    await PocketTTS.clearCache();
    const tts = await PocketTTS.load({ pack, voice: VOICE, ...layout });
    const sound = await spoken(tts);
    server.behave(ENCODER, ['status', 404]);
    await refused(tts.cloneVoice(RECORDING), 'not-found', /encoder\.safetensors: HTTP status 404/);
    server.behave(ENCODER, ['corrupt', -5]);
    await refused(tts.cloneVoice(RECORDING), 'pack', /encoder\.safetensors: expected sha256/);
    await refused(tts.cloneVoice(RECORDING.subarray(0, 50)), 'audio');
    const stop = new AbortController();
    await PocketTTS.clearCache();
    server.behave(ENCODER, ['stall', 0.5]);
    server.forget();
    const waiting = refused(tts.cloneVoice(RECORDING, { signal: stop.signal }), 'aborted');
    while (server.sent(ENCODER) === 0) await setTimeout(5);
    stop.abort();
    await waiting;
    assert.equal(await spoken(tts), sound);
    const made = await tts.cloneVoice(RECORDING);
    assert.equal(await spoken(tts, { voice: made }), want.spoken);
    // Half done when it is disposed of.
    await PocketTTS.clearCache();
    server.behave(ENCODER, ['stall', 0.5]);
    server.forget();
    const late = refused(tts.cloneVoice(RECORDING), 'disposed');
    while (server.sent(ENCODER) === 0) await setTimeout(5);
    await tts.dispose();
    await late;
  }
});

test('packs pull fetches the encoder too: voices are made without a network', async (t) => {
  const { server, pack } = await served(t);
  const { code, stderr } = await run(['packs', 'pull', pack]);
  assert.equal(code, 0, stderr);
  await server.stop();
  const tts = await PocketTTS.load({ pack, voice: VOICE });
  assert.equal(await spoken(tts, { voice: await tts.cloneVoice(RECORDING) }), want.spoken);
  await tts.dispose();
});

/** A copy of the package whose engine stands still in a method as long as there is a file hold-METHOD in its folder. */
async function holding(t) {
  const folder = temporary(t);
  cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true });
  mkdirSync(join(folder, 'models'));
  symlinkSync(join(root, 'models', 'starter'), join(folder, 'models', 'starter'));
  renameSync(join(folder, 'dist', 'pocket_tts.mjs'), join(folder, 'dist', 'real.mjs'));
  writeFileSync(
    join(folder, 'dist', 'pocket_tts.mjs'),
    `
    import { existsSync, writeFileSync } from 'node:fs';
    import create from './real.mjs';
    const path = (name) => new URL('../' + name, import.meta.url);
    export default async function (settings) {
      const door = await create(settings);
      for (const [type, name, method = name] of [['Voice', 'fromWav'], ['Session', 'open'], ['Session', 'step'], ['Session', 'stepMany', 'step']]) {
        const real = door[type].prototype[name];
        door[type].prototype[name] = function (...args) {
          if (existsSync(path('hold-' + method))) writeFileSync(path('in-' + method), '');
          while (existsSync(path('hold-' + method))) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
          return real.apply(this, args);
        };
      }
      return door;
    }`,
  );
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  const module = await import(pathToFileURL(join(folder, 'dist', 'node.js')).href);
  const at = (name) => join(folder, name);
  return {
    PocketTTS: module.PocketTTS,
    hold: (method) => writeFileSync(at(`hold-${method}`), ''),
    entered: async (method) => {
      while (!existsSync(at(`in-${method}`))) await setTimeout(5);
      rmSync(at(`in-${method}`));
    },
    letGo: (method) => rmSync(at(`hold-${method}`)),
  };
}

test('in workers an abort does not wait for the engine, and what it had begun is freed', async (t) => {
  const { PocketTTS: Holding, hold, entered, letGo } = await holding(t);
  const { here, ...workers } = LAYOUTS;
  assert.ok(here);
  for (const [name, layout] of Object.entries(workers)) {
    const tts = await Holding.load({ config, voice: VOICE, ...layout });
    // Before anything speaks: what workers let go of may be reported after the first look.
    const idle = tts.info.allocatedBytes;
    const sound = await spoken(tts);
    for (const [method, call] of [
      // A recording; opening a text; and the first step of a chunk, which reads its text.
      ['fromWav', (options) => tts.cloneVoice(RECORDING, options)],
      ['open', (options) => tts.generate(SHORT, options)],
      ['step', (options) => tts.generate(SHORT, options)],
    ]) {
      const stop = new AbortController();
      const reason = new Error('enough');
      hold(method);
      const calling = refused(call({ signal: stop.signal }), 'aborted');
      await entered(method);
      stop.abort(reason);
      // The engine is held until letGo(): nothing of it can have been waited for.
      assert.equal((await calling).cause, reason);
      const next = spoken(tts);
      letGo(method);
      assert.equal(await next, sound, `${name} ${method}`);
      await becomes(idle, () => tts.info.allocatedBytes);
    }
    await tts.dispose();
  }
});

test('the worker that makes a voice apart is ended by an abort, whatever it is doing', async (t) => {
  const { pack } = await served(t);
  const { PocketTTS: Holding, hold, entered, letGo } = await holding(t);
  const tts = await Holding.load({ pack, voice: VOICE, worker: true });
  const sound = await spoken(tts);
  const before = threads();
  const stop = new AbortController();
  hold('fromWav');
  const calling = refused(tts.cloneVoice(RECORDING, { signal: stop.signal }), 'aborted');
  await entered('fromWav');
  // Others go on meanwhile.
  assert.equal(await spoken(tts), sound);
  stop.abort();
  await calling;
  await becomes(before, threads);
  letGo('fromWav');
  assert.equal(await spoken(tts, { voice: await tts.cloneVoice(RECORDING) }), want.spoken);
  await tts.dispose();
});
