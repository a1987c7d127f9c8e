// Arguments that TypeScript would have refused: every one gets an error that names it, what was expected and what was
// found, and the object goes on.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { PocketTTS } from '../../dist/node.js';
import { PocketTTS as Browser } from '../../dist/index.js';
import { loadFixture, pcm, refused, run, sha256, wav, withFixture } from './support.mjs';

let tts;
before(async () => {
  tts = await loadFixture('lsd6');
});
after(() => tts.dispose());

const exactly = (text) => new RegExp(`^${text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`);

/** No voice, and no file. */
const WRONG = [
  [5, '5'],
  [null, 'null'],
  [{}, 'an object'],
  [Object.create(null), 'an object'],
  [{ constructor: null }, 'an object'],
  [new Float64Array(3), 'a Float64Array'],
  [new DataView(new ArrayBuffer(3)), 'a DataView'],
];

const NUMBERS = [
  [{ temperature: '1' }, 'temperature: expected a number, found "1"'],
  [{ temperature: null }, 'temperature: expected a number, found null'],
  [{ temperature: 1n }, 'temperature: expected a number, found 1'],
  [{ temperature: -1 }, 'temperature: expected 0 to 100, found -1'],
  [{ temperature: Number.NaN }, 'temperature: expected 0 to 100, found NaN'],
  [{ temperature: 1e39 }, 'temperature: expected 0 to 100, found 1e+39'],
  [{ eosThreshold: true }, 'eosThreshold: expected a number, found a boolean'],
  [{ eosThreshold: 1e39 }, 'eosThreshold: expected a finite number, found 1e+39'],
  [{ noiseClamp: [1] }, 'noiseClamp: expected a number, found an array'],
  [{ noiseClamp: -0.5 }, 'noiseClamp: expected 0 (none) to 1e6, found -0.5'],
  [{ decodeSteps: 1.5 }, 'decodeSteps: expected a whole number from 1 to 1000, found 1.5'],
  [{ decodeSteps: '2' }, 'decodeSteps: expected a whole number from 1 to 1000, found "2"'],
  [{ decodeSteps: 0 }, 'decodeSteps: expected 1 to 1000, found 0'],
  [{ framesAfterEos: -1 }, 'framesAfterEos: expected 0 to 10000, found -1'],
  [{ maxTokens: 5000 }, 'maxTokens: expected 1 to 4096, found 5000'],
  [{ maxTokens: 1e300 }, 'maxTokens: expected 1 to 4096, found 1e+300'],
  [{ maxTokens: null }, 'maxTokens: expected a whole number from 1 to 4096, found null'],
  [{ rng: 'dice' }, 'rng: expected "chunk" or "torch", found "dice"'],
  [{ rng: null }, 'rng: expected "chunk" or "torch", found null'],
];

const SEEDS = [-1, 1.5, Number.NaN, 2 ** 53, -1n, 2n ** 64n, '42', null];

const KINDS = [
  [null, 'options: expected an object, found null'],
  [[], 'options: expected an object, found an array'],
  ['fast', 'options: expected an object, found "fast"'],
  [{ signal: {} }, 'signal: expected an AbortSignal, found an object'],
  [{ signal: null }, 'signal: expected an AbortSignal, found null'],
  [{ onWarning: 5 }, 'onWarning: expected a function, found 5'],
  [{ onWarning: null }, 'onWarning: expected a function, found null'],
  ...WRONG.map(([voice, found]) => [{ voice }, `voice: expected the name of a voice or a Voice, found ${found}`]),
];

test('options of generate and stream: each is named, with what was expected and found', async () => {
  for (const [options, message] of [...NUMBERS, ...KINDS]) {
    await refused(tts.generate('Yes.', options), 'argument', exactly(message));
    await refused(tts.stream('Yes.', options).next(), 'argument', exactly(message));
  }
  for (const seed of SEEDS) {
    await refused(
      tts.generate('Yes.', { seed }),
      'argument',
      /^seed: expected a whole number from 0 to 9007199254740991, or a bigint up to 18446744073709551615, found /,
    );
  }
  // Not given at all.
  const nothing = Object.fromEntries(
    ['seed', 'temperature', 'maxTokens', 'rng', 'voice', 'signal', 'onWarning'].map((name) => [name, undefined]),
  );
  assert.deepEqual((await tts.generate('Yes.', nothing)).samples, (await tts.generate('Yes.')).samples);
});

test('an option that is not known is an error, and the one that was meant is named', async () => {
  for (const [name, meant] of [
    ['temprature', 'temperature'],
    ['max_tokens', 'maxTokens'],
    ['noise-clamp', 'noiseClamp'],
    ['framesAfterEOS', 'framesAfterEos'],
    ['onWarnings', 'onWarning'],
    ['Seed', 'seed'],
  ]) {
    await refused(
      tts.generate('Yes.', { [name]: undefined }),
      'argument',
      new RegExp(`^options: expected only seed, .*, found "${name}"; did you mean ${meant}\\?$`),
    );
  }
  await refused(tts.stream('Yes.', { speed: 2 }).next(), 'argument', /found "speed"; did you mean seed\?$/);
  await refused(tts.generate('Yes.', { colour: 'red' }), 'argument', /found "colour"$/);
  await refused(tts.loadVoice('x', { nam: 'x' }), 'argument', /only name, signal, found "nam"; did you mean name\?/);
  await refused(tts.cloneVoice(new Uint8Array(), { seconds: 5 }), 'argument', /found "seconds"/);
  await refused(PocketTTS.load({ packs: 'x' }), 'argument', /found "packs"; did you mean pack\?/);
  await refused(PocketTTS.load({ onprogress: () => {} }), 'argument', /did you mean onProgress\?/);
  // The same in browsers, where no configurations are read.
  await refused(Browser.load({ pack: '' }), 'argument', /pack: expected a folder/);
  await refused(Browser.load({ config: 'x.yaml' }), 'argument', /only pack, voice, precision, instances, parallel, worker, wasmUrl, workerUrl, workletUrl, signal, onProgress, cache, hub, token, idleTimeout, onWarning, found "config"/);
});

const VOICE = 'voice: expected the name of a voice, or a voice file as a Uint8Array or ArrayBuffer, found ';

test('options of load', async () => {
  const pack = 'pack: expected a folder, a URL or a name, found ';
  for (const [options, message, code = 'argument'] of [
    [null, 'options: expected an object, found null'],
    [{ pack: 5 }, `${pack}5`],
    [{ pack: null }, `${pack}null`],
    [{ pack: '' }, `${pack}""`],
    [{ pack: {} }, `${pack}an object`],
    [{ pack: 'http://' }, 'pack: expected a URL, found "http://"'],
    [{ pack: 'file://server/pack' }, 'pack: expected a URL of this machine (file:///folder), found "file://server/pack"'],
    [
      { pack: 'hf://owner/pack' },
      'pack: expected a folder or a URL of http, https or file, found "hf://owner/pack"',
      'unsupported',
    ],
    [{ config: 5 }, 'config: expected a string, found 5'],
    [{ config: null }, 'config: expected a string, found null'],
    [
      { config: 'ftp://example.invalid/x.yaml' },
      'config: expected a local path, a URL of http or https, or hf://OWNER/NAME/PATH@REVISION, found "ftp://example.invalid/x.yaml"',
      'unsupported',
    ],
    [{ onProgress: 5 }, 'onProgress: expected a function, found 5'],
    [{ signal: 5 }, 'signal: expected an AbortSignal, found 5'],
    [{ precision: 5 }, 'precision: expected "f32" or "q8" or "q4", found 5'],
    [{ precision: 'q5' }, 'precision: expected "f32" or "q8" or "q4", found "q5"'],
    [{ idleTimeout: 0 }, 'idleTimeout: expected 0.001 to 86400 seconds, found 0'],
    [{ idleTimeout: '30' }, 'idleTimeout: expected a number, found "30"'],
    [{ pack: 'x', config: 'y.yaml' }, 'Cannot load both a pack and a config, please choose one or the other'],
    ...WRONG.map(([voice, found]) => [{ voice }, VOICE + found]),
  ]) {
    await refused(PocketTTS.load(options), code, exactly(message));
  }
});

test('arguments of loadVoice, cloneVoice and exportVoice', async () => {
  const detached = new ArrayBuffer(8);
  globalThis.structuredClone(detached, { transfer: [detached] });
  for (const [voice, found] of [...WRONG, [undefined, 'nothing'], [detached, 'an ArrayBuffer']]) {
    await refused(tts.loadVoice(voice), 'argument', exactly(VOICE + found));
  }
  await refused(tts.loadVoice('x', null), 'argument', exactly('options: expected an object, found null'));
  await refused(tts.loadVoice('x', { name: 5 }), 'argument', exactly('name: expected a string, found 5'));
  await refused(tts.exportVoice(null), 'argument', exactly('voice: expected the name of a voice or a Voice, found null'));
  await refused(tts.exportVoice(5), 'argument', exactly('voice: expected the name of a voice or a Voice, found 5'));

  const audio = 'audio: expected a WAV file as a Uint8Array or ArrayBuffer, or { samples, sampleRate }, found ';
  for (const [given, found] of [
    [undefined, 'nothing'],
    ['voice.wav', '"voice.wav"'],
    [{}, 'an object'],
    [new Float64Array(24000), 'a Float64Array'],
    [new Float32Array(24000), 'a Float32Array'],
  ]) {
    await refused(tts.cloneVoice(given), 'argument', exactly(audio + found));
  }
  const samples = new Float32Array(24000);
  for (const [given, message] of [
    [{ samples: new Float64Array(3), sampleRate: 24000 }, 'audio.samples: expected a Float32Array, found a Float64Array'],
    [{ samples, sampleRate: '24000' }, 'audio.sampleRate: expected a whole number of Hz, found "24000"'],
    [{ samples, sampleRate: 24000.5 }, 'audio.sampleRate: expected a whole number of Hz, found 24000.5'],
    [{ samples, sampleRate: 2 ** 40 }, 'audio.sampleRate: expected a whole number of Hz, found 1099511627776'],
    [{ samples }, 'audio.sampleRate: expected a whole number of Hz, found nothing'],
  ]) {
    await refused(tts.cloneVoice(given), 'argument', exactly(message));
  }
  await refused(tts.cloneVoice(wav(Buffer.alloc(48000)), null), 'argument', /options: expected an object/);
  for (const maxSeconds of [-1, Number.NaN]) {
    await refused(
      tts.cloneVoice({ samples, sampleRate: 24000 }, { maxSeconds }),
      'argument',
      /^maxSeconds: expected 0 \(all\) or more, found /,
    );
  }
  assert.ok((await tts.generate('Yes.')).samples.length > 0, 'the object goes on');
});

test('maxSeconds takes the beginning, of a file and of samples alike', async () => {
  const bytes = Buffer.alloc(48000);
  for (let i = 0; i < 24000; i++) bytes.writeInt16LE(Math.round(12000 * Math.sin(i / 9) * Math.sin(i / 900)), i * 2);
  const samples = Float32Array.from({ length: 24000 }, (_, i) => bytes.readInt16LE(i * 2) / 32768);
  const voices = [
    await tts.cloneVoice(wav(bytes), { maxSeconds: 0.5 }),
    await tts.cloneVoice({ samples, sampleRate: 24000 }, { maxSeconds: 0.5 }),
    await tts.cloneVoice({ samples: samples.subarray(0, 12000), sampleRate: 24000 }),
    await tts.cloneVoice({ samples, sampleRate: 24000 }),
  ];
  const [file, beginning, cut, whole] = await Promise.all(voices.map((voice) => tts.exportVoice(voice)));
  assert.deepEqual(beginning, cut);
  assert.deepEqual(file, cut);
  assert.notDeepEqual(whole.length, cut.length);
  for (const voice of voices) voice.dispose();
});

test('files that are too large are refused by their size', async () => {
  // Never touched, so never there.
  await refused(
    tts.loadVoice(new ArrayBuffer((64 << 20) + 1)),
    'voice',
    exactly('voice: expected at most 67108864 bytes, found 67108865'),
  );
  await refused(
    tts.cloneVoice(new ArrayBuffer((256 << 20) + 1)),
    'audio',
    exactly('audio: expected at most 268435456 bytes, found 268435457'),
  );
});

test('what comes from another realm is what it is', async () => {
  const { runInNewContext } = await import('node:vm');
  const text = runInNewContext('Uint8Array.of(72, 105, 46)');
  assert.equal(text instanceof Uint8Array, false);
  assert.deepEqual((await tts.generate(text)).samples, (await tts.generate('Hi.')).samples);
});

test('seeds of 64 bits: numbers, bigints and the command line agree', async () => {
  const hash = async (seed) => sha256(pcm((await tts.generate('Hello world.', { seed })).samples));
  assert.equal(await hash(7n), await hash(7));
  // The generator takes the low 32 bits.
  assert.equal(await hash(2 ** 53 - 1), await hash(2 ** 32 - 1));
  assert.notEqual(await hash(2n ** 64n - 2n), await hash(2n ** 64n - 1n));
  for (const seed of [2n ** 64n - 1n, 2n ** 63n + 5n, 2n ** 53n + 1n]) {
    const { stdout, code } = await run([
      'generate', '--text', 'Hello world.', '--output-path', '-', '-q', '--seed', String(seed), ...withFixture('lsd6'),
    ]);
    assert.equal(code, 0);
    assert.equal(sha256(stdout.subarray(44, -9600)), await hash(seed));
  }
});

test('what throws when it is looked at is refused by name', async () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  for (const [options, message] of [
    [{ get seed() { throw new RangeError('mine'); } }, /^seed: cannot be read \(mine\)$/],
    [{ voice: proxy }, /^voice: cannot be read \(.*revoked\)$/],
    [{ seed: proxy }, /^seed: expected a whole number .*, found an object$/],
    [proxy, /^options: cannot be read \(.*revoked\)$/],
  ]) {
    await refused(tts.generate('Hi.', options), 'argument', message);
  }
});

test('bytes that were handed over to somebody else are no text and no file', async () => {
  const bytes = new Uint8Array(8);
  globalThis.structuredClone(bytes, { transfer: [bytes.buffer] });
  const calls = [() => tts.loadVoice(bytes), () => tts.generate(bytes), () => tts.cloneVoice(bytes), () => PocketTTS.load({ voice: bytes })];
  for (const call of calls) await refused(call(), 'argument');
});
