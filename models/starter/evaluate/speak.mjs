// Speaks texts with a pack as any program does, through the npm package, and keeps what a measurement needs:
//
//   node models/starter/evaluate/speak.mjs PACK TEXTS.json OUT [--precision f32|q8] [--no-latents] [--memory]
//
// TEXTS.json is an array of strings. For each text OUT gets NNNN.f32 (samples, 24 kHz) and NNNN.latents (a row for each frame),
// both little-endian float32, and OUT/index.json says what happened. The latents come from the same module through the door of
// the parity tests; their sound must be the package's, sample by sample, or this program fails.
import { readFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { PocketTTS } from '../../../dist/node.js';
import { bytesOf, Engine } from '../../../tests/parity/engine.mjs';
import { openNodeDoor } from '../../../tests/parity/node_door.mjs';
import { concatenate } from '../../../tests/parity/tensors.mjs';

const MEMORY_EVERY = 125; // frames: 10 s

/** The pack's files as the door takes them. */
export function packFiles(folder) {
  const manifest = JSON.parse(readFileSync(join(folder, 'pack.json'), 'utf8'));
  const find = (test) => manifest.files.find(test);
  const read = ({ path }) => new Uint8Array(readFileSync(join(folder, path)));
  const tokenizer = find(({ role }) => role === 'tokenizer');
  return {
    manifest,
    model: {
      config: manifest.config,
      tokenizer: read(tokenizer),
      tokenizerKind: tokenizer.kind,
      files: [{ kind: 'bundle', path: join(folder, find(({ role }) => role === 'weights').path) }],
    },
    voice: read(find(({ role, name }) => role === 'voice' && name === manifest.default_voice)),
  };
}

/** Latents, chunks and sound of a text through the door. */
async function speakThroughDoor(engine, model, voice, text) {
  const maxTokens = 50;
  const plan = await engine.plan(model, voice, text, maxTokens);
  const session = await engine.openSession(model, voice, text, { maxTokens });
  const codec = await engine.openCodec(model);
  const [latents, sound, chunks] = [[], [], []];
  let begin = 0;
  for (;;) {
    const { result, event, latent } = await engine.step(session);
    if (result === 'done') break;
    if (result === 'frame') {
      latents.push(latent);
      sound.push(await engine.decode(codec, latent, 1));
      continue;
    }
    await engine.resetCodec(codec);
    const { prompt, ids, overLimit, maxFrames } = plan[chunks.length];
    chunks.push({ prompt, ids, begin, frames: latents.length - begin, maxFrames, truncated: event.truncated !== 0, overLimit: overLimit !== 0 });
    begin = latents.length;
  }
  for (const object of [codec, session]) await engine.close(object);
  return { latents: concatenate(latents), sound: concatenate(sound), chunks };
}

function same(a, b) {
  return a.length === b.length && Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { precision: { type: 'string', default: 'f32' }, 'no-latents': { type: 'boolean' }, memory: { type: 'boolean' } },
  });
  if (positionals.length !== 3) throw new Error('usage: speak.mjs PACK TEXTS.json OUT [--precision f32|q8] [--no-latents] [--memory]');
  const [pack, list, out] = positionals.map((path) => resolve(path));
  const { precision } = values;
  const texts = JSON.parse(readFileSync(list, 'utf8'));
  mkdirSync(out, { recursive: true });
  const tts = await PocketTTS.load({ pack, precision });
  const engine = new Engine(await openNodeDoor(['dist/pocket_tts.mjs']));
  const { model, voice } = await openInDoor(engine, pack, precision);
  const index = [];
  for (const [i, text] of texts.entries()) {
    const name = String(i).padStart(4, '0');
    const entry = { text };
    index.push(entry);
    const warnings = [];
    const memory = [];
    const parts = [];
    const begun = performance.now();
    try {
      const stream = tts.stream(text, { onWarning: ({ code, chunk }) => warnings.push({ code, chunk }) });
      for await (const { samples, frame } of stream) {
        parts.push(samples);
        if (values.memory && frame % MEMORY_EVERY === 0) memory.push(measure(tts, frame));
      }
      entry.chunks = stream.chunks.map(({ text: prompt, tokens, frames, truncated, overLimit }) => ({ prompt, tokens, frames, truncated, overLimit }));
    } catch (error) {
      if (error.code === undefined) throw error;
      entry.refused = { code: error.code, message: error.message };
      continue;
    }
    entry.seconds = (performance.now() - begun) / 1000;
    const samples = concatenate(parts);
    entry.samples = samples.length;
    entry.warnings = warnings;
    if (values.memory) entry.memory = memory;
    writeFileSync(join(out, `${name}.f32`), bytesOf(samples));
    if (values['no-latents']) continue;
    const door = await speakThroughDoor(engine, model, voice, text);
    if (!same(door.sound, samples)) throw new Error(`the package and the door speak differently: ${text}`);
    entry.chunks = door.chunks;
    writeFileSync(join(out, `${name}.latents`), bytesOf(door.latents));
  }
  writeFileSync(join(out, 'index.json'), `${JSON.stringify({ info: tts.info, texts: index }, null, 1)}\n`);
  await tts.dispose();
}

async function openInDoor(engine, pack, precision) {
  const files = packFiles(pack);
  const { model } = await engine.openModel({ ...files.model, precision });
  return { model, ...(await engine.loadVoice(model, files.voice)) };
}

/** Bytes that the engine holds, of its linear memory, and of the process outside it. */
function measure(tts, frame) {
  const { allocatedBytes, memoryBytes } = tts.info;
  const { rss } = process.memoryUsage();
  return { frame, allocatedBytes, memoryBytes, rss };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
