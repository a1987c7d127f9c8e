// The native host: every request of requests.json through the native parity door (build/native/parity_door).
//
//   node --test tests/hosts/native.test.mjs        PTTS_NATIVE_DOOR=<program> for another build
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Engine } from '../parity/engine.mjs';
import { openRemoteDoor } from '../parity/remote_door.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path) => readFileSync(join(root, path));
const document = JSON.parse(read('tests/hosts/requests.json'));
const expected = JSON.parse(read('tests/hosts/expected.json'));

/** What the door needs to open a model, and its voice. */
function files(name) {
  const model = document.models[name];
  if (model.pack === undefined) {
    return { ...model, tokenizer: read(model.tokenizer), weights: join(root, model.weights), voice: read(model.voice) };
  }
  const manifest = JSON.parse(read(join(model.pack, 'pack.json')));
  const path = (test) => join(model.pack, manifest.files.find(test).path);
  return {
    config: manifest.config,
    tokenizer: read(path(({ role }) => role === 'tokenizer')),
    tokenizerKind: manifest.files.find(({ role }) => role === 'tokenizer').kind,
    weights: join(
      root,
      path(({ role }) => role === 'weights'),
    ),
    voice: read(path((file) => file.role === 'voice' && file.name === manifest.default_voice)),
  };
}

let door;
let engine;
before(() => {
  door = openRemoteDoor(process.env.PTTS_NATIVE_DOOR ?? join(root, 'build', 'native', 'parity_door'), []);
  engine = new Engine(door);
});
after(() => door.close());

for (const { name, model: modelName, precision = 'f32', text, options = {} } of document.requests) {
  test(`native: ${name}`, async () => {
    const { config, tokenizer, tokenizerKind, weights, voice: voiceFile } = files(modelName);
    const { model } = await engine.openModel({
      config,
      tokenizer,
      tokenizerKind,
      precision,
      files: [{ kind: 'bundle', path: weights }],
    });
    const { voice } = await engine.loadVoice(model, voiceFile);
    const session = await engine.openSession(model, voice, text, options);
    const codec = await engine.openCodec(model);
    const hash = createHash('sha256');
    let frames = 0;
    for (;;) {
      const { result, latent } = await engine.step(session);
      if (result === 'done') break;
      if (result === 'chunk_end') {
        await engine.resetCodec(codec);
        continue;
      }
      const samples = await engine.decode(codec, latent, 1);
      hash.update(Int16Array.from(samples, (x) => Math.trunc(Math.fround(Math.min(1, Math.max(-1, x)) * 32767))));
      frames += 1;
    }
    for (const object of [codec, session, voice, model]) await engine.close(object);
    assert.deepEqual({ frames, sha256: hash.digest('hex') }, expected[name]);
  });
}
