// Stopping: abort, dispose, the queue, leaving a stream, and an engine that traps.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { PocketTTS } from '../../dist/node.js';
import { fixture, loadFixture, refused, root, temporary } from './support.mjs';

const LONG = 'This sentence is here to take a while. '.repeat(20);
const ENDLESS = { eosThreshold: 1e6 };

test('an abort takes effect within one frame and keeps its reason', async () => {
  const tts = await loadFixture('lsd6');
  const stop = new AbortController();
  const reason = new Error('enough');
  let frames = 0;
  const error = await refused(
    (async () => {
      for await (const frame of tts.stream(LONG, { signal: stop.signal })) {
        frames = frame.frame + 1;
        if (frames === 5) stop.abort(reason);
      }
    })(),
    'aborted',
  );
  assert.equal(frames, 5);
  assert.equal(error.name, 'AbortError');
  assert.equal(error.cause, reason);
  assert.ok((await tts.generate('Yes.')).samples.length > 0, 'the object goes on');
  await tts.dispose();
});

test('a timer aborts generate(), because frames give way to the event loop', async () => {
  const tts = await loadFixture('lsd6');
  // generate() reads its frames from here.
  const stream = tts.stream.bind(tts);
  let [frames, atAbort] = [0, -1];
  tts.stream = (...args) => {
    const made = stream(...args);
    const next = made.next.bind(made);
    made.next = async () => {
      const frame = await next();
      frames++;
      return frame;
    };
    return made;
  };
  const stop = new AbortController();
  setTimeout(() => {
    atAbort = frames;
    stop.abort();
  }, 50);
  await refused(tts.generate(LONG.repeat(20), { signal: stop.signal, ...ENDLESS }), 'aborted');
  assert.ok(atAbort >= 0 && frames <= atAbort + 1, `${frames - atAbort} frames after the abort`);
  await tts.dispose();
});

test('a signal that has fired stops every call before it starts', async () => {
  const signal = AbortSignal.abort();
  await refused(loadFixture('lsd6', { signal }), 'aborted');
  const tts = await loadFixture('lsd6');
  await refused(tts.generate('Yes.', { signal }), 'aborted');
  await refused(tts.loadVoice('x', { signal }), 'aborted');
  await refused(tts.cloneVoice(new Uint8Array(), { signal }), 'aborted');
  await tts.dispose();
});

test('loading can be aborted', async () => {
  const stop = new AbortController();
  await refused(PocketTTS.load({ signal: stop.signal, onProgress: () => stop.abort() }), 'aborted');
});

test('streams advance beside each other, and a forgotten one holds up nobody', async () => {
  const tts = await PocketTTS.load();
  const alone = await tts.generate('Hello.');
  const forgotten = tts.stream('This one is never read to its end.');
  await forgotten.next();
  const streams = [tts.stream('Hello.'), tts.stream('Hello.')];
  for (let frame = 0; frame < 3; frame++) {
    for (const stream of streams) {
      const { value } = await stream.next();
      assert.deepEqual(value.samples, alone.samples.subarray(frame * 1920, (frame + 1) * 1920));
    }
  }
  assert.deepEqual((await tts.generate('Hello.')).samples, alone.samples);
  const late = tts.generate('Hello.');
  await tts.dispose();
  await assert.rejects(late, { code: 'disposed' });
  await assert.rejects(streams[0].next(), { code: 'disposed' });
});

test('calls queue in order; one that is aborted in the queue lets the others pass', async () => {
  const tts = await loadFixture('lsd6');
  const order = [];
  const stop = new AbortController();
  const call = (name, options) => tts.generate('One two three.', options).then(() => order.push(name));
  const calls = [call('a'), call('b', { signal: stop.signal }), call('c'), call('d')];
  stop.abort();
  const results = await Promise.allSettled(calls);
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
  );
  assert.deepEqual(order, ['a', 'c', 'd']);
  await tts.dispose();
});

test('leaving a stream early frees it and lets the next call run', async () => {
  const tts = await loadFixture('lsd6');
  await tts.generate('Yes.');
  const before = tts.info.allocatedBytes;
  for await (const frame of tts.stream(LONG)) {
    if (frame.frame === 3) break;
  }
  assert.equal(tts.info.allocatedBytes, before);
  // A stream that nobody reads holds nothing.
  tts.stream(LONG);
  assert.ok((await tts.generate('Yes.')).samples.length > 0);
  await tts.dispose();
});

test('a frame is made when it is asked for', async () => {
  const tts = await loadFixture('lsd6');
  const stream = tts.stream(LONG);
  await stream.next();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(stream.chunks[0].frames, 1);
  await stream.return();
  assert.deepEqual(await stream.next(), { done: true, value: undefined });
  await tts.dispose();
});

test('dispose() ends a running stream, and every later call says so', async () => {
  const tts = await loadFixture('lsd6');
  const stream = tts.stream(LONG);
  await stream.next();
  await tts.dispose();
  await refused(stream.next(), 'disposed');
  await refused(tts.generate('Yes.'), 'disposed');
  await refused(tts.loadVoice('x'), 'disposed');
  await refused(tts.cloneVoice(new Uint8Array()), 'disposed');
  await refused(tts.exportVoice(), 'disposed');
  assert.throws(() => tts.info, { code: 'disposed' });
  await tts.dispose();
});

test('`await using` disposes', async () => {
  const tts = await loadFixture('lsd6');
  await tts[Symbol.asyncDispose]();
  await refused(tts.generate('Yes.'), 'disposed');
});

test('an engine that traps is reported, never used again, and replaced', async (t) => {
  // A copy of the package whose engine traps on request.
  const folder = temporary(t);
  cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true });
  mkdirSync(join(folder, 'models'));
  symlinkSync(join(root, 'models', 'starter'), join(folder, 'models', 'starter'));
  renameSync(join(folder, 'dist', 'pocket_tts.mjs'), join(folder, 'dist', 'real.mjs'));
  writeFileSync(
    join(folder, 'dist', 'pocket_tts.mjs'),
    `
    import create from './real.mjs';
    export default async function (settings) {
      const door = await create(settings);
      globalThis.instances = (globalThis.instances ?? 0) + 1;
      const step = door.Session.prototype.step;
      door.Session.prototype.step = function (latent) {
        if (globalThis.trap) throw new WebAssembly.RuntimeError('unreachable');
        return step.call(this, latent);
      };
      return door;
    }`,
  );
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  const { PocketTTS: Trapping } = await import(pathToFileURL(join(folder, 'dist', 'node.js')).href);
  const { config, voice } = fixture('lsd6');
  const tts = await Trapping.load({ config, voice: new Uint8Array(readFileSync(voice)) });
  const other = await tts.loadVoice(new Uint8Array(readFileSync(voice)));
  const before = await tts.generate('Yes.');
  globalThis.trap = true;
  await refused(tts.generate('Yes.'), 'crashed', /unreachable/);
  globalThis.trap = false;
  assert.equal(globalThis.instances, 1);
  const after = await tts.generate('Yes.');
  assert.equal(globalThis.instances, 2);
  assert.deepEqual(after.samples, before.samples);
  await refused(tts.generate('Yes.', { voice: other }), 'voice', /another engine/);
  await tts.dispose();
});
