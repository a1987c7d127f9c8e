// Everything that is wrong gets a typed error that says what was expected and found, and nothing traps.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PocketTTS } from '../../dist/node.js';
import { damaged, fixture, loadFixture, readSafetensors, refused, temporary, wav, writeSafetensors } from './support.mjs';

const bytesOf = (path) => new Uint8Array(readFileSync(path));
const model = () => readSafetensors(fixture('lsd6').file('model.safetensors'));
const load = (t, files) => PocketTTS.load({ config: damaged(t, 'lsd6', files) });

/** A repeatable source of numbers below n. */
function random(seed) {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % n;
  };
}

/** The model with one change to its header. */
function changed(change) {
  const { header, data } = model();
  change(header);
  return writeSafetensors(header, data);
}

const NAME = 'flow_lm.input_linear.weight';

const weights = {
  'an empty file': () => Buffer.alloc(0),
  'seven bytes': () => Buffer.alloc(7),
  'a header length of zero': () => writeSafetensors('', Buffer.alloc(0)),
  'a header length beyond the file': () => writeSafetensors(model().header, model().data, 1n << 40n),
  'a header length of 2^63': () => writeSafetensors(model().header, model().data, 1n << 63n),
  'a header length that cuts the header': () => writeSafetensors(model().header, model().data, 100n),
  'a header that is not JSON': () => writeSafetensors('{"a":', model().data),
  'a header that is a list': () => writeSafetensors('[]', model().data),
  text: () => Buffer.from('<!doctype html><html>not a model</html>'),
  'a file cut in half': () => readFileSync(fixture('lsd6').file('model.safetensors')).subarray(0, 700000),
  'a file cut by one byte': () => readFileSync(fixture('lsd6').file('model.safetensors')).subarray(0, -1),
  'bytes after the end': () =>
    Buffer.concat([readFileSync(fixture('lsd6').file('model.safetensors')), Buffer.alloc(4)]),
  'a missing tensor': () => changed((header) => delete header[NAME]),
  'a tensor too many': () => {
    const { header, data } = model();
    header['flow_lm.extra'] = { dtype: 'F32', shape: [1], data_offsets: [data.length, data.length + 4] };
    return writeSafetensors(header, Buffer.concat([data, Buffer.alloc(4)]));
  },
  'a tensor twice': () => {
    const { header, data } = model();
    const twice = JSON.stringify(header).replace(/\}$/, `,"${NAME}":${JSON.stringify(header[NAME])}}`);
    return writeSafetensors(twice, data);
  },
  'overlapping ranges': () =>
    changed((header) => {
      const [a, b] = Object.keys(header).filter(
        (name) => JSON.stringify(header[name].shape) === JSON.stringify(header[NAME].shape) || name === NAME,
      );
      header[b ?? a].data_offsets = header[a].data_offsets.map((x) => x + 4);
    }),
  'a range outside of the file': () =>
    changed((header) => {
      const [begin, end] = header[NAME].data_offsets;
      header[NAME].data_offsets = [begin + 2 ** 40, end + 2 ** 40];
    }),
  'a range that runs backwards': () => changed((header) => header[NAME].data_offsets.reverse()),
  'a negative offset': () =>
    changed((header) => {
      header[NAME].data_offsets = [-4, 0];
    }),
  'an offset that is a word': () =>
    changed((header) => {
      header[NAME].data_offsets = ['a', 'b'];
    }),
  'a wrong shape': () => changed((header) => header[NAME].shape.reverse()),
  'a shape of enormous numbers': () =>
    changed((header) => {
      header[NAME].shape = [2 ** 32, 2 ** 32];
    }),
  'a wrong type': () =>
    changed((header) => {
      header[NAME].dtype = 'I64';
    }),
  'an unknown type': () =>
    changed((header) => {
      header[NAME].dtype = 'Q7';
    }),
  'a weight that is not a number': () => {
    const { header, data } = model();
    data.writeFloatLE(Number.NaN, header[NAME].data_offsets[0] + 8);
    return writeSafetensors(header, data);
  },
};

for (const [what, make] of Object.entries(weights)) {
  test(`weights: ${what}`, async (t) => {
    await refused(load(t, { 'model.safetensors': make() }), 'weights');
  });
}

test('weights: bit flips are refused or harmless, and never trap', async (t) => {
  const bytes = readFileSync(fixture('lsd6').file('model.safetensors'));
  const next = random(7);
  const header = Number(bytes.readBigUInt64LE(0)) + 8;
  for (let i = 0; i < 60; i++) {
    const flipped = Buffer.from(bytes);
    const at = i % 3 === 0 ? next(flipped.length) : next(header);
    flipped[at] ^= 1 << next(8);
    const tts = await load(t, { 'model.safetensors': flipped }).catch((error) => {
      assert.equal(error.code, 'weights', `byte ${at}: ${error.code} ${error.message}`);
    });
    await tts?.dispose();
  }
});

test('the message names the tensor, what was expected and what was found', async (t) => {
  const error = await refused(
    load(t, { 'model.safetensors': changed((header) => header[NAME].shape.reverse()) }),
    'weights',
    /flow_lm\.input_linear\.weight/,
  );
  assert.match(error.message, /64/);
  assert.match(error.message, /model\.safetensors/);
});

for (const [what, bytes] of Object.entries({
  'an empty file': Buffer.alloc(0),
  text: Buffer.from('hello, I am no tokenizer'),
  'half of one': readFileSync(fixture('lsd6').file('tokenizer.model')).subarray(0, 3000),
  'another size': readFileSync(fixture('german').file('tokenizer.model')),
})) {
  test(`tokenizer: ${what}`, async (t) => {
    await refused(load(t, { 'tokenizer.model': bytes }), 'tokenizer');
  });
}

test('tokenizer: bit flips are refused or harmless, and never trap', async (t) => {
  const bytes = readFileSync(fixture('lsd6').file('tokenizer.model'));
  const next = random(11);
  for (let i = 0; i < 60; i++) {
    const flipped = Buffer.from(bytes);
    flipped[next(flipped.length)] ^= 1 << next(8);
    const tts = await load(t, { 'tokenizer.model': flipped }).catch((error) => {
      assert.equal(error.code, 'tokenizer', `${error.code} ${error.message}`);
    });
    if (tts === undefined) continue;
    const voice = await tts.loadVoice(bytesOf(fixture('lsd6').voice));
    await tts.generate('Hello.', { voice, eosThreshold: -1e6 });
    await tts.dispose();
  }
});

test('configuration: unknown fields, wrong types, impossible shapes, no YAML', async (t) => {
  const text = readFileSync(fixture('lsd6').config, 'utf8');
  const cases = [
    [text + '\nbogus: 1\n', 'config', /bogus/],
    [text.replace('d_model: 64', 'd_model: -1'), 'config', /d_model/],
    [text.replace('d_model: 64', 'd_model: many'), 'config', /d_model/],
    [text.replace('num_heads: 4', 'num_heads: 0'), 'config', /num_heads/],
    [text.replace('num_layers: 6', 'num_layers: 1000000000'), 'config', /num_layers/],
    ['just a sentence', 'config', /mapping/],
    [Buffer.from(text.replace('d_model', '\xff'), 'latin1'), 'config', /config\.yaml: expected UTF-8, found other bytes/],
    [`${text}\n#${'x'.repeat(1 << 20)}`, 'config', /config\.yaml: expected at most 1048576 bytes, found \d{7}$/],
    [text.replace('default_temperature: 0.3', 'default_temperature: .inf'), 'config', /default_temperature/],
    [`${text}\nloop: &a {again: *a}\n`, 'config', /./],
    [`${text}\ndeep: ${'['.repeat(20000)}\n`, 'config', /./],
    ['{', 'config', /YAML/],
    [
      text.replace('weights_path: model.safetensors', 'weights_path: elsewhere.safetensors'),
      'not-found',
      /weights_path.*elsewhere/,
    ],
    [text.replace('weights_path: model.safetensors', 'weights_path: https://example.invalid/c.safetensors'), 'unsupported', /expected a local path or hf:.*found "https:.*download it/],
    [text.replace('weights_path: model.safetensors', 'weights_path: hf://a/../c.safetensors'), 'unsupported', /found "hf:/],
    [text.replace('weights_path: model.safetensors', ''), 'config', /weights_path/],
  ];
  for (const [yaml, code, message] of cases) await refused(load(t, { 'config.yaml': yaml }), code, message);
  await refused(PocketTTS.load({ config: 'config.json' }), 'config', /yaml/);
  const folder = join(temporary(t), 'config.yaml');
  mkdirSync(folder);
  await refused(PocketTTS.load({ config: folder }), 'config', /expected a plain file, found a folder/);
  await refused(PocketTTS.load({ config: '/nowhere/config.yaml' }), 'not-found', /nowhere/);
});

test('texts: empty, blank, broken, odd and huge', async () => {
  const tts = await loadFixture('lsd6');
  for (const text of ['', ' ', '\n\t \u00a0\u3000']) await refused(tts.generate(text), 'text-empty');
  await refused(tts.generate(new Uint8Array([0x48, 0xff, 0x69])), 'text-encoding');
  await refused(tts.generate(new Uint8Array([0xed, 0xa0, 0x80])), 'text-encoding');
  await refused(tts.generate('half \ud83d of a pair'), 'text-encoding', /5/);
  await refused(tts.generate('x'.repeat(5 << 20)), 'text-too-long');
  for (const text of ['🤖🎉👩‍👩‍👧', '?!...', '"', '\u0000', 'a\u0301\u202e', '𝔘𝔫𝔦𝔠𝔬𝔡𝔢']) {
    const { samples } = await tts.generate(text, { eosThreshold: -1e6 });
    assert.ok(samples.length > 0, JSON.stringify(text));
  }
  const million = 'All work and no play makes Jack a dull boy. '.repeat(24000);
  for await (const frame of tts.stream(million)) {
    if (frame.frame > 2) break;
  }
  await tts.dispose();
});

test('texts: nothing left after the replacements', async () => {
  const tts = await loadFixture('german');
  await refused(tts.generate('"„“"'), 'text-empty');
  await tts.dispose();
});

test('voices: of another model, cut, and not a voice', async (t) => {
  const tts = await loadFixture('lsd6');
  const own = readFileSync(fixture('lsd6').voice);
  for (const name of ['drifting', 'pointwise2m', 'deep', 'flow_matching']) {
    await refused(tts.loadVoice(bytesOf(fixture(name).voice)), 'voice');
  }
  for (const bytes of [
    Buffer.alloc(0),
    own.subarray(0, 100),
    own.subarray(0, -10),
    Buffer.from('RIFF'),
    Buffer.alloc(5000, 0xff),
  ]) {
    await refused(tts.loadVoice(new Uint8Array(bytes)), 'voice');
  }
  await refused(PocketTTS.load({ config: fixture('lsd6').config, voice: new Uint8Array(10) }), 'voice');
  await refused(tts.loadVoice('nobody'), 'not-found', /nobody/);
  t.diagnostic('the object is still usable');
  assert.ok((await tts.generate('Yes.')).samples.length > 0);
  await tts.dispose();
});

test('voices: rows beyond the length may be anything; those before may not', async () => {
  const tts = await loadFixture('lsd6');
  const { header, data } = readSafetensors(fixture('lsd6').voice);
  const before = await tts.generate('Yes.');
  const layers = Object.keys(header).filter((name) => name.endsWith('/cache'));
  // The same voice with one spare row of NaN behind each cache.
  let tail = Buffer.alloc(0);
  const parts = [];
  const spare = {};
  for (const [name, tensor] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    let bytes = data.subarray(...tensor.data_offsets);
    let { shape } = tensor;
    if (layers.includes(name)) {
      const [two, one, rows, heads, width] = shape;
      const half = bytes.length / 2;
      const row = Buffer.alloc(heads * width * 4);
      for (let i = 0; i < row.length; i += 4) row.writeFloatLE(Number.NaN, i);
      bytes = Buffer.concat([bytes.subarray(0, half), row, bytes.subarray(half), row]);
      shape = [two, one, rows + 1, heads, width];
    }
    spare[name] = { dtype: tensor.dtype, shape, data_offsets: [tail.length, tail.length + bytes.length] };
    parts.push(bytes);
    tail = Buffer.concat([tail, bytes]);
  }
  const voice = await tts.loadVoice(new Uint8Array(writeSafetensors(spare, tail)));
  assert.deepEqual((await tts.generate('Yes.', { voice })).samples, before.samples);
  // The same NaN inside the length.
  data.writeFloatLE(Number.NaN, header[layers[0]].data_offsets[0]);
  await refused(tts.loadVoice(new Uint8Array(writeSafetensors(header, data))), 'voice');
  await tts.dispose();
});

test('recordings: none, one sample, twenty minutes, not a number, not a WAV', async () => {
  const tts = await loadFixture('lsd6');
  const floats = (values) => wav(Buffer.from(Float32Array.from(values).buffer), { bits: 32, format: 3 });
  await refused(tts.cloneVoice(new Uint8Array()), 'audio');
  await refused(tts.cloneVoice(new Uint8Array(Buffer.from('this is not audio at all'))), 'audio');
  await refused(tts.cloneVoice(wav(Buffer.alloc(0))), 'audio');
  await refused(tts.cloneVoice(floats(Array(4800).fill(Number.NaN))), 'audio');
  await refused(tts.cloneVoice(wav(Buffer.alloc(100), { channels: 0 })), 'audio');
  await refused(tts.cloneVoice(wav(Buffer.alloc(100), { rate: 0 })), 'audio');
  await refused(tts.cloneVoice(wav(Buffer.alloc(100), { bits: 13 })), 'audio');
  await refused(tts.cloneVoice({ samples: new Float32Array(0), sampleRate: 24000 }), 'audio');
  await refused(tts.cloneVoice({ samples: new Float32Array(2400), sampleRate: 7 }), 'audio');
  // One sample and silence are short and quiet, but speech could look like that: accepted or refused, never trapped.
  for (const audio of [
    wav(Buffer.alloc(2)),
    wav(Buffer.alloc(48000)),
    wav(Buffer.alloc(20 * 60 * 8000 * 2), { rate: 8000 }),
  ]) {
    const voice = await tts.cloneVoice(audio).catch((error) => {
      assert.ok(['audio', 'voice'].includes(error.code), `${error.code} ${error.message}`);
    });
    voice?.dispose();
  }
  assert.ok((await tts.generate('Yes.')).samples.length > 0);
  await tts.dispose();
});

test('the starter voice says that it cannot clone, and why', async () => {
  const tts = await PocketTTS.load();
  await refused(tts.cloneVoice(bytesOf(fixture('lsd6').file('voice.wav'))), 'cloning', /encoder/);
  await tts.dispose();
});

test('options that make no sense', async () => {
  const tts = await loadFixture('lsd6');
  const cases = [
    { temperature: -1 },
    { temperature: Number.NaN },
    { temperature: Infinity },
    { decodeSteps: 0 },
    { decodeSteps: 1e9 },
    { decodeSteps: 1.5 },
    { decodeSteps: 1e12 },
    { maxTokens: 0 },
    { maxTokens: 1e9 },
    { framesAfterEos: -1 },
    { framesAfterEos: 0.5 },
    { noiseClamp: -1 },
    { noiseClamp: Number.NaN },
    { eosThreshold: Number.NaN },
    { seed: -1 },
    { seed: 1.5 },
    { seed: Number.NaN },
    { seed: 2 ** 60 },
    { rng: 'dice' },
  ];
  for (const options of cases) {
    const error = await refused(tts.generate('Yes.', options), 'argument');
    assert.ok(error.message.length > 10, error.message);
  }
  assert.ok((await tts.generate('Yes.')).samples.length > 0, 'the object goes on');
  await tts.dispose();
  await refused(PocketTTS.load({ precision: 'q5' }), 'argument', /q5/);
  await refused(PocketTTS.load({ pack: 'x', config: 'y.yaml' }), 'argument');
});
