// models/packs.json and the packs by name: what they are made of, hubs, mirrors, the gated weights.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { PocketTTS } from '../../dist/node.js';
import { badServer } from '../support/bad-server.mjs';
import { officialFiles } from '../support/official.mjs';
import { damaged, fixture, freshCache, refused, root } from './support.mjs';

const NAME = 'english_2m_2026-10';
const GATED = 'kyutai/pocket-tts/';
const PUBLIC = 'kyutai/pocket-tts-without-voice-cloning/';
const TEMPLATE = '/{repository}/{revision}/{path}';
const text = readFileSync(join(root, 'models', 'packs.json'), 'utf8');
const document = JSON.parse(text);

let files;
before(() => {
  files = officialFiles(NAME, ['alba', 'anna']);
});

/** A server with the hub's files, and a cache of its own. */
async function hub(t, options) {
  const folder = freshCache(t);
  const server = await badServer(files, options);
  t.after(() => server.stop());
  return { server, folder, options: { pack: NAME, hub: server.url + TEMPLATE } };
}

async function firstSamples(tts) {
  for await (const { samples } of tts.stream('Hello there.')) return samples;
}

test('packs.json has the configurations, addresses and revisions of the reference', () => {
  // Recorded from the reference by another program.
  const { configs } = JSON.parse(readFileSync(join(root, 'tests', 'golden', 'plans.json'), 'utf8'));
  assert.deepEqual(
    document.packs.map(({ name }) => name),
    Object.keys(configs),
  );
  const address = ({ repository, path, revision }) => `hf://${repository}/${path}@${revision}`;
  for (const { name, files: [weights, gated, tokenizer], config } of document.packs) {
    const { weights_path, weights_path_without_voice_cloning, ...rest } = globalThis.structuredClone(configs[name].config);
    const { tokenizer_path } = rest.flow_lm.lookup_table;
    delete rest.flow_lm.lookup_table.tokenizer_path;
    assert.deepEqual(config, rest, name);
    assert.equal(address(weights), weights_path_without_voice_cloning);
    assert.equal(address(gated), weights_path);
    assert.equal(address(tokenizer), tokenizer_path);
    assert.deepEqual([weights.role, gated.role, gated.cloning, tokenizer.role], ['weights', 'weights', true, 'tokenizer']);
  }
});

test('the default voice of every pack is that of its language', () => {
  const byLanguage = { italian: 'giovanni', spanish: 'lola', german: 'juergen', portuguese: 'rafael', french: 'estelle', dutch: 'daan' };
  for (const { name, default_voice } of document.packs) {
    const language = Object.keys(byLanguage).find((each) => name.includes(each));
    assert.equal(default_voice, byLanguage[language] ?? 'alba', name);
  }
});

test('every name, revision and voice is well formed; what is not known is not there', () => {
  const names = document.voices.map(({ name }) => name);
  assert.equal(names.length, 27);
  assert.equal(new Set(names).size, 27);
  for (const { name, default_voice, files: all } of document.packs) {
    assert.ok(names.includes(default_voice), name);
    for (const file of all) {
      assert.match(file.revision, /^[0-9a-f]{40}$/);
      assert.ok(document.repositories[file.repository] !== undefined, file.repository);
      assert.equal(document.repositories[file.repository].gated, file.cloning === true);
      if (file.sha256 !== undefined) assert.match(file.sha256, /^[0-9a-f]{64}$/);
      if (file.bytes !== undefined) assert.ok(Number.isSafeInteger(file.bytes));
    }
  }
  // Voices whose recordings exclude commercial use are nobody's default.
  const restricted = document.voices.filter(({ license }) => /-NC-/.test(license ?? '')).map(({ name }) => name);
  assert.deepEqual(restricted.sort(), ['cosette', 'jean']);
  assert.ok(document.packs.every(({ default_voice }) => !restricted.includes(default_voice)));
});

test('packs.json is what its generator makes of the reference', { skip: process.env.REFERENCE_PYTHON === undefined && 'needs REFERENCE_PYTHON' }, () => {
  execFileSync(process.env.REFERENCE_PYTHON, [join(root, 'models', 'make_packs.py'), '--check']);
});

test('an official pack by name: from the hub once, then from the cache, then without a server', async (t) => {
  const { server, options } = await hub(t);
  assert.equal(await PocketTTS.isCached({ pack: NAME }), false);
  const first = await PocketTTS.load(options);
  assert.equal(first.info.pack.name, NAME);
  assert.equal(first.info.canClone, false);
  assert.deepEqual(first.voices.length, 27);
  assert.equal(first.voices.find(({ name }) => name === 'cosette').license, 'CC-BY-NC-4.0');
  const samples = await firstSamples(first);
  assert.ok(samples.every(Number.isFinite));
  const needed = ['model.safetensors', 'tokenizer.model', 'alba.safetensors'];
  assert.deepEqual(server.requests().map(({ path }) => path.split('/').at(-1)).sort(), needed.sort());
  assert.ok(server.requests().every(({ path }) => path.startsWith(PUBLIC)));
  assert.equal(server.sent(), server.requests().reduce((sum, { path }) => sum + files[path].length, 0));
  await first.dispose();
  assert.equal(await PocketTTS.isCached({ pack: NAME }), true);
  assert.equal(await PocketTTS.isCached({ pack: NAME, voice: 'anna' }), false);
  await server.stop();
  const again = await PocketTTS.load(options);
  assert.deepEqual(await firstSamples(again), samples);
  // What was not fetched cannot be had, and the message says what and where.
  await refused(again.loadVoice('anna'), 'network', /english_2m_2026-10: .*anna\.safetensors|embeddings\/anna\.safetensors: the request failed/);
  await again.dispose();
  await server.start();
  // Another hub, the same files: what they are does not depend on where they came from.
  server.forget();
  const elsewhere = await PocketTTS.load({ pack: NAME, hub: 'http://127.0.0.1:1/{repository}/{revision}/{path}' });
  await elsewhere.dispose();
  // No hub at all: only the cache.
  await (await PocketTTS.load({ pack: NAME, hub: [] })).dispose();
  await refused(PocketTTS.load({ pack: 'english', hub: [] }), 'network', /hf:\/\/kyutai\/\S+@[0-9a-f]{40} is not in the cache, and no hub may be asked for it; load the pack english once/);
  assert.equal(server.requests().length, 0);
});

test('a voice that the hub does not have', async (t) => {
  const { options } = await hub(t);
  await refused(PocketTTS.load({ ...options, voice: 'lola' }), 'not-found', /embeddings\/lola\.safetensors: HTTP status 404/);
  await refused(PocketTTS.load({ ...options, voice: 'nobody' }), 'not-found', /No voice "nobody" in the pack english_2m_2026-10/);
});

test('mirrors are tried in order', async (t) => {
  const { server, options } = await hub(t);
  server.always('/first/', 'status', 503);
  const bad = `${server.url}/first{path}`;
  const warnings = [];
  const onWarning = (warning) => warnings.push(warning);
  const tts = await PocketTTS.load({ ...options, hub: ['http://127.0.0.1:1/{path}', bad, options.hub], onWarning });
  await tts.dispose();
  assert.deepEqual([...new Set(warnings.map(({ code }) => code))], ['mirror']);
  assert.ok(warnings.some(({ message }) => /^http:\/\/127\.0\.0\.1:1\/languages\S+: the request failed \(.*\); asking the next hub$/.test(message)), JSON.stringify(warnings));
  assert.ok(warnings.some(({ message }) => /\/firstlanguages\S+: HTTP status 404; asking/.test(message)));
  // All of them fail: all of them are named.
  const error = await refused(PocketTTS.load({ ...options, pack: 'french', hub: ['http://127.0.0.1:1/{path}', bad] }), 'network', /the request failed/);
  assert.match(error.message, /HTTP status 404/);
});

test('a hub that stands still in the middle: the rest comes from the next one, where it is the same file for certain', async (t) => {
  const { server: second, options } = await hub(t);
  const first = await badServer(files);
  t.after(() => first.stop());
  const hubs = [first.url + TEMPLATE, second.url + TEMPLATE];
  const model = 'model.safetensors';
  first.always(model, 'stall', 0.37);
  first.behave(model, ['stall', 0.37]);
  first.always('tokenizer.model', 'silent');
  const warnings = [];
  const onWarning = ({ code, message }) => warnings.push(`${code} ${message}`);
  const tts = await PocketTTS.load({ ...options, hub: hubs, idleTimeout: 1, onWarning });
  const samples = await firstSamples(tts);
  await tts.dispose();
  assert.ok(warnings.some((line) => /^mirror http:\S+tokenizer\.model: no answer for 1 s; asking the next hub$/.test(line)), warnings.join('\n'));
  assert.ok(warnings.some((line) => /^mirror http:\S+model\.safetensors: the transfer stands still: no byte for 1 s; asking the next hub for the rest$/.test(line)), warnings.join('\n'));
  const [{ path }] = first.requests(model);
  assert.equal(first.sent(model) + second.sent(model), files[path].length, 'no byte twice');
  assert.ok(first.sent(model) > 0);
  await PocketTTS.clearCache();
  const whole = await PocketTTS.load(options);
  assert.deepEqual(await firstSamples(whole), samples);
  await whole.dispose();
  // Without a hash and without validators nothing says so: what has been used cannot be taken back.
  await PocketTTS.clearCache();
  const silent = await badServer(files, { etag: false });
  t.after(() => silent.stop());
  first.behave(model, ['stall', 0.37]);
  const other = [hubs[0], silent.url + TEMPLATE];
  await refused(PocketTTS.load({ ...options, hub: other, idleTimeout: 1 }), 'network', /the transfer stands still: no byte for 1 s; http:\S+: nothing says that it is the same file$/);
});

test('what a listener to warnings fails with ends load(), and a later call that fetches', async (t) => {
  const { server, options } = await hub(t);
  const mine = new RangeError('mine');
  const failed = (promise) => assert.rejects(promise, (error) => error === mine);
  const hubs = [`${server.url}/nothing/{path}`, options.hub];
  await failed(PocketTTS.load({ ...options, hub: hubs, onWarning: () => { throw mine; } }));
  await failed(PocketTTS.load({ ...options, hub: hubs, onWarning: async () => { throw mine; } }));

  // In the middle of a file: at its end, and it is kept.
  const model = 'model.safetensors';
  const first = await badServer(files);
  t.after(() => first.stop());
  first.always(model, 'stall', 0.37);
  const middle = [first.url + TEMPLATE, options.hub];
  server.forget();
  await failed(PocketTTS.load({ ...options, hub: middle, idleTimeout: 0.1, onWarning: async () => { throw mine; } }));
  assert.equal(first.sent(model) + server.sent(model), files[first.requests(model)[0].path].length);

  let failing = false;
  const tts = await PocketTTS.load({ ...options, hub: hubs, onWarning: async () => { if (failing) throw mine; } });
  failing = true;
  await failed(tts.loadVoice('anna'));
  failing = false;
  assert.equal((await tts.loadVoice('anna')).name, 'anna');
  await tts.dispose();
});

test('the gated weights: with a token, which is sent in a header to the first hub only', async (t) => {
  const { server, options } = await hub(t);
  const warnings = [];
  const token = 'hf_Secret';
  const tts = await PocketTTS.load({ ...options, token, onWarning: (warning) => warnings.push(warning) });
  // Random weights have an encoder.
  assert.equal(tts.info.canClone, true);
  await tts.dispose();
  assert.deepEqual(warnings, []);
  const weights = server.requests('model.safetensors');
  assert.ok(weights.length === 1 && weights[0].path.startsWith(GATED));
  assert.ok(server.requests().every(({ headers }) => headers.authorization === `Bearer ${token}`));
  assert.ok(server.requests().every(({ path }) => !path.includes('Secret')));
  assert.ok(!JSON.stringify(await PocketTTS.cacheInfo()).includes('Secret'));

  // Not agreed to: the others, with a warning that says where to agree.
  await PocketTTS.clearCache();
  server.forget();
  server.behave('model.safetensors', ['status', 403]);
  const without = await PocketTTS.load({ ...options, token, onWarning: (warning) => warnings.push(warning) });
  await without.dispose();
  assert.equal(warnings.length, 1);
  assert.equal(warnings[0].code, 'no-cloning');
  assert.match(warnings[0].message, /HTTP status 403: the hub does not give kyutai\/pocket-tts to this token: agree to its terms \(https:\S+\/kyutai\/pocket-tts\).*; loading the weights without voice cloning$/);
  assert.ok(!warnings[0].message.includes('Secret'));
  assert.deepEqual(
    server.requests('model.safetensors').map(({ path }) => path.startsWith(GATED)),
    [true, false],
  );
  // And offline what is there.
  const offline = await PocketTTS.load({ ...options, hub: [], token, onWarning: (warning) => warnings.push(warning) });
  await offline.dispose();
  assert.deepEqual(warnings.map(({ code }) => code), ['no-cloning', 'no-cloning']);
  // A mirror never sees it.
  await PocketTTS.clearCache();
  server.forget();
  const behind = await PocketTTS.load({ ...options, token, hub: ['http://127.0.0.1:1/{path}', options.hub] });
  await behind.dispose();
  assert.ok(server.requests().length > 0);
  assert.ok(server.requests().every(({ headers }) => headers.authorization === undefined));
});

test('options that name a hub', async () => {
  for (const hub of ['english', 'ftp://x/{path}', 'https://x/nothing', [5]]) {
    await refused(PocketTTS.load({ pack: NAME, hub }), 'argument', /^hub: expected /);
  }
  await refused(PocketTTS.load({ pack: NAME, token: 'a secret\n' }), 'argument', /^token: expected a token of printable letters, found nothing$/);
  await refused(PocketTTS.load({ pack: NAME, cache: 'disk' }), 'argument', /^cache: expected "auto"/);
  await refused(PocketTTS.load({ pack: NAME, cache: 'opfs' }), 'unsupported', /^cache: there is no "opfs" in Node$/);
});

test('a configuration of the reference whose files are at the hub', async (t) => {
  freshCache(t);
  const model = fixture('lsd6');
  const revision = '0123456789abcdef0123456789abcdef01234567';
  const server = await badServer({
    [`me/model/${revision}/deep/model.safetensors`]: readFileSync(model.file('model.safetensors')),
    [`me/model/main/tokenizer.model`]: readFileSync(model.file('tokenizer.model')),
  });
  t.after(() => server.stop());
  const yaml = readFileSync(model.config, 'utf8')
    .replace('weights_path: model.safetensors', `weights_path: hf://me/model/deep/model.safetensors@${revision}`)
    .replace('tokenizer_path: tokenizer.model', 'tokenizer_path: hf://me/model/tokenizer.model');
  const config = damaged(t, 'lsd6', { 'config.yaml': yaml });
  const voice = new Uint8Array(readFileSync(model.voice));
  const load = () => PocketTTS.load({ config, voice, hub: server.url + TEMPLATE });
  const tts = await load();
  const local = await PocketTTS.load({ config: model.config, voice });
  assert.deepEqual(await firstSamples(tts), await firstSamples(local));
  await tts.dispose();
  await local.dispose();
  // What has no full revision may be another file tomorrow: it is asked for again.
  await (await load()).dispose();
  assert.equal(server.requests('model.safetensors').length, 1);
  assert.equal(server.requests('tokenizer.model').length, 2);
});
