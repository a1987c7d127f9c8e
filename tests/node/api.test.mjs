// What the package does for a caller: speaking, streaming, voices, options, information.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { PocketTTS, PocketTTSError } from '../../dist/node.js';
import { fixture, loadFixture, pcm, refused, root, sha256, starter } from './support.mjs';

const TEXT = 'Hello world, this is a test.';

test('the starter voice speaks with nothing but the package', async () => {
  const tts = await PocketTTS.load();
  assert.deepEqual(
    tts.voices.map(({ name }) => name),
    ['slt'],
  );
  const speech = await tts.generate('The quick brown fox jumps over the lazy dog.');
  assert.equal(speech.sampleRate, 24000);
  assert.equal(speech.samples.length % 1920, 0);
  assert.ok(speech.duration > 1 && speech.duration < 6, `${speech.duration} s`);
  assert.ok(
    speech.samples.some((x) => Math.abs(x) > 0.05),
    'it is not silent',
  );
  const { info } = tts;
  assert.equal(info.pack.name, 'starter');
  assert.equal(info.precision, 'q8');
  assert.equal(info.canClone, false);
  assert.ok(
    info.weightBytes > 1e6 && info.allocatedBytes >= info.weightBytes && info.memoryBytes >= info.allocatedBytes,
  );
  assert.match(info.version, /^\d+\.\d+\.\d+/);
  await tts.dispose();
});

test('a pack loads by name, from a folder, and from a file URL', async () => {
  for (const pack of ['starter', starter, pathToFileURL(`${starter}/`)]) {
    const tts = await PocketTTS.load({ pack, voice: 'slt' });
    assert.ok((await tts.generate('Yes.')).samples.length > 0);
    await tts.dispose();
  }
});

test('streaming gives the samples of one call, frame by frame', async () => {
  const tts = await loadFixture('lsd6');
  const whole = await tts.generate(TEXT);
  const stream = tts.stream(TEXT);
  assert.deepEqual(stream.chunks, []);
  const frames = [];
  for await (const frame of stream) {
    assert.equal(frame.samples.length, 1920);
    assert.equal(frame.frame, frames.length);
    assert.ok(Math.abs(frame.time - frames.length * 0.08) < 1e-9);
    frames.push(frame);
  }
  assert.equal(stream.chunks.length, 1);
  assert.equal(stream.chunks[0].frames, frames.length);
  const joined = Float32Array.from(frames.flatMap(({ samples }) => [...samples]));
  assert.deepEqual(joined, whole.samples);
  await tts.dispose();
});

test('the same request gives the same samples; another seed does not', async () => {
  const tts = await loadFixture('lsd6');
  const hash = async (options) => sha256(pcm((await tts.generate(TEXT, options)).samples));
  const first = await hash({});
  assert.equal(await hash({}), first);
  assert.equal(await hash({ seed: 42 }), first);
  assert.notEqual(await hash({ seed: 43 }), first);
  // One chunk draws the same numbers from both kinds of streams.
  assert.equal(await hash({ rng: 'torch' }), first);
  await tts.dispose();
  const again = await loadFixture('lsd6');
  assert.equal(sha256(pcm((await again.generate(TEXT)).samples)), first);
  await again.dispose();
});

test('options reach the engine', async () => {
  const tts = await loadFixture('lsd6');
  const frames = async (options) => (await tts.generate(TEXT, options)).samples.length / 1920;
  // A threshold that is always exceeded: the end counts from step 6 on.
  assert.equal(await frames({ eosThreshold: -1e6, framesAfterEos: 2 }), 8);
  assert.equal(await frames({ eosThreshold: -1e6, framesAfterEos: 0 }), 6);
  const [one, four] = [await tts.generate(TEXT, { decodeSteps: 1 }), await tts.generate(TEXT, { decodeSteps: 4 })];
  assert.notDeepEqual(one.samples, four.samples);
  assert.notDeepEqual((await tts.generate(TEXT, { noiseClamp: 0.1 })).samples, one.samples);
  assert.notDeepEqual((await tts.generate(TEXT, { temperature: 0 })).samples, one.samples);
  await tts.dispose();
});

test('a long text is cut into chunks that know their place in it', async () => {
  const tts = await loadFixture('lsd6');
  const text = 'Ünë 😀 one. And a second sentence comes here. Then the third one.';
  const { chunks, samples } = await tts.generate(text, { maxTokens: 10, eosThreshold: -1e6 });
  assert.ok(chunks.length > 1);
  assert.equal(chunks.reduce((sum, { frames }) => sum + frames, 0) * 1920, samples.length);
  chunks.forEach((chunk, i) => {
    assert.equal(chunk.index, i);
    assert.ok(chunk.begin >= (chunks[i - 1]?.end ?? 0) && chunk.end > chunk.begin && chunk.end <= text.length);
  });
  // Positions are UTF-16, so that slice() works: the second sentence begins where it begins.
  const last = chunks.at(-1);
  assert.ok(text.slice(last.begin, last.end).includes('third one'), text.slice(last.begin, last.end));
  // As bytes, the positions are bytes.
  const bytes = new TextEncoder().encode(text);
  const same = await tts.generate(bytes, { maxTokens: 10, eosThreshold: -1e6 });
  assert.deepEqual(same.samples, samples);
  assert.ok(
    Buffer.from(bytes.subarray(same.chunks.at(-1).begin, same.chunks.at(-1).end))
      .toString()
      .includes('third one'),
  );
  await tts.dispose();
});

test('a chunk that finds no end is warned about, and what the callback throws ends the call', async () => {
  const tts = await loadFixture('lsd6');
  const warnings = [];
  const { chunks } = await tts.generate('No.', { eosThreshold: 1e6, onWarning: (warning) => warnings.push(warning) });
  assert.equal(chunks[0].truncated, true);
  assert.deepEqual(
    warnings.map(({ code, chunk }) => [code, chunk]),
    [['no-eos', 0]],
  );
  const mine = new Error('enough');
  await assert.rejects(
    tts.generate('No.', {
      eosThreshold: 1e6,
      onWarning: () => {
        throw mine;
      },
    }),
    mine,
  );
  assert.ok((await tts.generate('No.')).samples.length > 0, 'the object goes on');
  await tts.dispose();
});

test('toWav() has true sizes and 200 ms of silence at the end', async () => {
  const tts = await loadFixture('lsd6');
  const speech = await tts.generate('Yes.');
  const file = Buffer.from(speech.toWav());
  assert.equal(file.length, 44 + speech.samples.length * 2 + 9600);
  assert.equal(file.readUInt32LE(4), file.length - 8);
  assert.equal(file.readUInt32LE(40), file.length - 44);
  assert.deepEqual(file.subarray(44, -9600), pcm(speech.samples));
  assert.ok(file.subarray(-9600).every((byte) => byte === 0));
  await tts.dispose();
});

test('voices: from a file, from a recording, exported and back', async () => {
  const tts = await loadFixture('lsd6', { voice: undefined, precision: 'f32' });
  const { voice: file, file: path } = fixture('lsd6');
  await refused(tts.generate(TEXT), 'argument', /voice/);
  const loaded = await tts.loadVoice(new Uint8Array(readFileSync(file)));
  const spoken = await tts.generate(TEXT, { voice: loaded });
  assert.ok(loaded.positions > 0);
  const exported = await tts.exportVoice(loaded);
  const back = await tts.loadVoice(exported, { name: 'back' });
  assert.equal(back.name, 'back');
  assert.deepEqual((await tts.generate(TEXT, { voice: back })).samples, spoken.samples);
  // The fixture's voice was made from this recording.
  const cloned = await tts.cloneVoice(new Uint8Array(readFileSync(path('voice.wav'))));
  assert.equal(cloned.positions, loaded.positions);
  const similar = await tts.generate(TEXT, { voice: cloned });
  assert.equal(similar.samples.length, spoken.samples.length);
  assert.ok(similar.samples.every((x, i) => Math.abs(x - spoken.samples[i]) < 1e-3));
  for (const voice of [loaded, back, cloned]) voice.dispose();
  await refused(tts.generate(TEXT, { voice: loaded }), 'disposed', /voice/);
  await tts.dispose();
});

test('every model of the fixtures speaks, in both precisions', async () => {
  for (const name of ['lsd6', 'lsd_2026_01', 'flow_matching', 'drifting', 'pointwise2m', 'german', 'deep']) {
    for (const precision of ['f32', 'q8']) {
      const tts = await loadFixture(name, { precision });
      assert.equal(tts.info.precision, precision);
      const { samples } = await tts.generate('Eins, zwei.');
      assert.ok(samples.length > 0 && samples.every(Number.isFinite), `${name} ${precision}`);
      await tts.dispose();
    }
  }
});

test('arguments of the wrong kind are named', async () => {
  const tts = await loadFixture('lsd6');
  for (const text of [5, null, undefined, {}, new ArrayBuffer(3), [1]]) {
    await refused(tts.generate(text), 'argument', /text: expected (a string, a Uint8Array, or an iterable of strings|strings), found/);
  }
  await refused(tts.generate('Hi.', null), 'argument', /options: expected an object, found null/);
  await tts.generate('Hi.');
  await tts.dispose();
});

test('loading reports progress up to the total', async () => {
  const seen = [];
  const tts = await PocketTTS.load({ onProgress: (progress) => seen.push(progress) });
  assert.ok(seen.length >= 2);
  assert.ok(seen.every(({ loaded }, i) => loaded > (seen[i - 1]?.loaded ?? 0)));
  assert.equal(seen.at(-1).loaded, seen.at(-1).total);
  await tts.dispose();
});

test('importing either entry touches nothing', async () => {
  // The browser entry is safe to import on a server.
  const browser = await import('../../dist/index.js');
  assert.equal(typeof browser.PocketTTS.load, 'function');
  assert.notEqual(browser.PocketTTSError, undefined);
  assert.ok(PocketTTSError.prototype instanceof Error);
});

test('the package exports what it says', () => {
  const { exports, bin, files } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'));
  assert.equal(Object.keys(exports['.'])[0], 'types');
  const paths = [
    exports['.'].node,
    exports['.'].default,
    exports['.'].types.node,
    exports['.'].types.default,
    exports['./pocket_tts.wasm'],
    bin['pocket-tts-wasm'],
  ];
  for (const path of paths) assert.ok(readFileSync(`${root}/${path}`).length > 0, path);
  assert.ok(files.includes('models/starter/LICENSE'));
});

test('the lock file names no registry', () => {
  assert.doesNotMatch(readFileSync(`${root}/package-lock.json`, 'utf8'), /"resolved"/);
});
