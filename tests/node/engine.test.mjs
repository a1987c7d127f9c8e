// The Embind door itself: the shared table of codes, and memory that comes back.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { build } from 'esbuild';
import { test } from 'node:test';
import createDoor from '../../dist/pocket_tts.mjs';
import { PocketTTS } from '../../dist/node.js';
import { join } from 'node:path';
import { root, starter } from './support.mjs';

/** Names exported by a TypeScript file. */
async function source(path) {
  const { outputFiles } = await build({ entryPoints: [join(root, path)], bundle: true, format: 'esm', write: false });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
}

test('codes are the names of the status table of the engine', async () => {
  const door = await createDoor();
  const { ENGINE_CODES, HOST_CODES } = await source('web/errors.ts');
  ENGINE_CODES.forEach((code, i) => {
    assert.equal(door.statusName(-1 - i), `PTTS_ERROR_${code.toUpperCase().replaceAll('-', '_')}`);
  });
  assert.equal(door.statusName(-1 - ENGINE_CODES.length), 'PTTS_UNKNOWN', 'the table has no status without a code');
  assert.equal(new Set([...ENGINE_CODES, ...HOST_CODES]).size, ENGINE_CODES.length + HOST_CODES.length);
});

test('100 rounds of loading, speaking and closing in one instance: nothing stays, the memory does not grow', async () => {
  const door = await createDoor();
  const pack = JSON.parse(readFileSync(join(starter, 'pack.json'), 'utf8'));
  const model = readFileSync(join(starter, 'model.safetensors'));
  const start = door.allocatedBytes();
  const check = (status) => assert.ok(status >= 0, `${door.statusName(status)}: ${door.message()}`);
  const withBytes = (bytes, body) => {
    const memory = new door.Memory();
    assert.ok(memory.allocate(bytes.length));
    memory.bytes().set(bytes);
    check(body(memory));
    memory.delete();
  };
  let memory = 0;
  for (let round = 0; round < 100; round++) {
    const [loading, loaded, voice, session, codec] = [
      new door.Pack(),
      new door.Model(),
      new door.Voice(),
      new door.Session(),
      new door.Codec(),
    ];
    withBytes(Buffer.from(JSON.stringify(pack.config)), (m) => loading.open(m, door.PART_ALL, door.PRECISION_F32));
    withBytes(readFileSync(join(starter, 'tokenizer.model')), (m) =>
      loading.tokenizer(door.TOKENIZER_SENTENCEPIECE, m),
    );
    check(loading.file(door.FILE_BUNDLE, model.length));
    for (let at = 0; at < model.length; at += 1 << 20) {
      const slice = model.subarray(at, at + (1 << 20));
      withBytes(slice, (m) => loading.feed(m, slice.length));
    }
    check(loading.finish(loaded));
    withBytes(readFileSync(join(starter, 'voices', 'slt.safetensors')), (m) => voice.load(loaded, m));
    withBytes(Buffer.from('Hello.'), (m) => session.open(loaded, voice, m, door.defaultOptions(loaded)));
    check(codec.open(loaded));
    const [latent, pcm] = [new door.Memory(), new door.Memory()];
    latent.allocate(4 * loaded.info().latentWidth);
    pcm.allocate(4 * 1920);
    for (let step = 0; step < 3; step++) {
      check(session.step(latent));
      check(codec.decode(latent, 1, pcm));
    }
    // In an order that is wrong on purpose: what builds on the model outlives it.
    for (const object of [loaded, latent, pcm, voice, codec, session, loading]) object.delete();
    assert.equal(door.allocatedBytes(), start, `round ${round}`);
    if (round === 1) memory = door.memoryBytes();
    if (round > 1) assert.equal(door.memoryBytes(), memory, `round ${round}`);
  }
});

test('loading grows the memory once, not tensor by tensor', async (t) => {
  const grow = t.mock.method(WebAssembly.Memory.prototype, 'grow');
  for (const precision of ['f32', 'q8']) {
    const tts = await PocketTTS.load({ precision, worker: false });
    // The small one may fit into what is there from the start.
    const calls = grow.mock.callCount();
    assert.ok(precision === 'f32' ? calls === 1 : calls <= 1, `${precision}: ${calls}`);
    await tts.dispose();
    grow.mock.resetCalls();
  }
});

test('100 rounds of load() and dispose(): each instance the same, the process flat', async () => {
  let first;
  let rss;
  for (let round = 0; round < 100; round++) {
    const tts = await PocketTTS.load();
    const { allocatedBytes, memoryBytes } = tts.info;
    first ??= { allocatedBytes, memoryBytes };
    assert.deepEqual({ allocatedBytes, memoryBytes }, first, `round ${round}`);
    await tts.dispose();
    globalThis.gc?.();
    if (round === 30) rss = process.memoryUsage().rss;
  }
  // Without --expose-gc instances are collected when the collector likes; a leak would be 30 MB a round.
  const grown = process.memoryUsage().rss - rss;
  assert.ok(grown < 600e6, `${(grown / 1e6).toFixed(0)} MB more after 70 rounds`);
});
