// --voice and --config at https:// and hf://: fetched, kept as far as their names allow, found again without a network, and in
// the folder of the hub's own programs. And what is spoken when no text is given.
import assert from 'node:assert/strict';
import { build } from 'esbuild';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { badServer } from '../support/bad-server.mjs';
import { fixture, freshCache, root, run, temporary } from './support.mjs';

const { config, voice, file } = fixture('lsd6');
const REVISION = '0123456789abcdef0123456789abcdef01234567';
const YAML = readFileSync(config, 'utf8')
  .replace('weights_path: model.safetensors', `weights_path: hf://me/model/model.safetensors@${REVISION}`)
  .replace('tokenizer_path: tokenizer.model', `tokenizer_path: hf://me/model/deep/tokenizer.model@${REVISION}`);
const FILES = {
  'config.yaml': Buffer.from(YAML),
  'model.safetensors': readFileSync(file('model.safetensors')),
  'deep/tokenizer.model': readFileSync(file('tokenizer.model')),
  'voice.safetensors': readFileSync(voice),
  'voice.wav': readFileSync(file('voice.wav')),
};
const at = (prefix) => Object.fromEntries(Object.entries(FILES).map(([path, bytes]) => [prefix + path, bytes]));

/** A server with the layout of the hub, and of a site. */
async function served(t, more = {}) {
  freshCache(t);
  const server = await badServer({ ...at(`me/model/resolve/${REVISION}/`), ...at('me/model/resolve/main/'), ...at('site/'), ...more });
  t.after(() => server.stop());
  const say = async (args, env = {}) => {
    const { code, stdout, stderr } = await run(['generate', '--text', 'Hello.', '-q', '--output-path', '-', ...args], {
      env: { ...process.env, HF_ENDPOINT: server.url, ...env },
    });
    return { code, stdout, stderr };
  };
  return { server, say };
}

const OFFLINE = { HF_HUB_OFFLINE: '1' };
const PINNED = `hf://me/model/config.yaml@${REVISION}`;

test('--config and --voice at addresses: the sound of the local files, and again without a network', async (t) => {
  const { server, say } = await served(t);
  const local = await say(['--config', config, '--voice', voice]);
  const cloned = await say(['--config', config, '--voice', file('voice.wav')]);
  assert.deepEqual([local.code, cloned.code], [0, 0], local.stderr + cloned.stderr);
  const site = `${server.url}/site`;
  for (const [args, wanted, offline] of [
    [['--config', `${site}/config.yaml`, '--voice', `${site}/voice.safetensors`], local, true],
    [['--config', PINNED, '--voice', `hf://me/model/voice.safetensors@${REVISION}`], local, true],
    [['--config', 'hf://me/model/config.yaml', '--voice', 'hf://me/model/voice.wav'], cloned, true],
    // A query may be a secret: what came with one is not kept.
    [['--config', PINNED, '--voice', `${site}/voice.wav?token=secret`], cloned, false],
  ]) {
    const first = await say(args, { HF_TOKEN: 'hf_Secret' });
    assert.deepEqual([first.code, first.stderr], [0, ''], args.join(' '));
    assert.deepEqual(first.stdout, wanted.stdout, args.join(' '));
    await server.stop();
    const second = await say(args, OFFLINE);
    assert.equal(second.code, offline ? 0 : 1, second.stderr);
    if (offline) assert.deepEqual(second.stdout, wanted.stdout);
    await server.start();
  }
  // The token is for the hub alone.
  for (const { path, headers } of server.requests()) {
    assert.equal(headers.authorization, path.startsWith('me/') ? 'Bearer hf_Secret' : undefined, path);
  }
  const listed = (await run(['packs', 'list'])).stdout.toString();
  for (const name of [PINNED, `${site}/voice.safetensors`, 'hf://me/model/voice.wav']) {
    assert.ok(listed.split('\n').some((line) => line.startsWith(name) && / cached, \d/.test(line)), listed);
  }
  assert.ok(!listed.includes('secret'));
  // What has a full revision is asked for once.
  assert.equal(server.requests(`${REVISION}/model.safetensors`).length, 1);
  assert.equal(server.requests(`${REVISION}/config.yaml`).length, 1);
});

test('what the hub\'s own programs have fetched is read from HF_HOME, without a request', async (t) => {
  const { server, say } = await served(t);
  const home = temporary(t);
  const folder = join(home, 'hub', 'models--me--model');
  for (const [path, bytes] of Object.entries(at(`snapshots/${REVISION}/`))) {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), bytes);
  }
  mkdirSync(join(folder, 'refs'));
  writeFileSync(join(folder, 'refs', 'main'), REVISION);
  const args = ['--config', PINNED, '--voice', 'hf://me/model/voice.wav'];
  const wanted = await say(['--config', config, '--voice', file('voice.wav')]);
  const offline = await say(args, { ...OFFLINE, HF_HOME: home });
  assert.deepEqual([offline.code, offline.stderr], [0, '']);
  assert.deepEqual(offline.stdout, wanted.stdout);
  assert.equal(server.requests().length, 0);
  // With a network the newest of what may change, and no more.
  assert.deepEqual((await say(args, { HF_HOME: home })).stdout, wanted.stdout);
  assert.deepEqual(server.requests().map(({ path }) => path), ['me/model/resolve/main/voice.wav']);
  // Neither here nor there: what is missing, in a line.
  const missing = await say(args, OFFLINE);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /^ERROR: hf:\/\/me\/model\/config\.yaml@0123456789abcdef\S+ is not in the cache, and no hub may be asked for it; load it once with a network\n$/);
});

test('what cannot be had, or is something else, is one line', async (t) => {
  const { server, say } = await served(t);
  server.always('site/page.safetensors', 'html');
  for (const [args, message] of [
    [['--voice', 'hf://me/model/nothing.safetensors'], /resolve\/main\/nothing\.safetensors: HTTP status 404$/],
    [['--voice', `${server.url}/site/page.safetensors`], /page\.safetensors: expected a file of a pack, found an HTML page/],
    [['--voice', `${server.url}/site/voice.safetensors`], /voice\.safetensors: .*(expected|found)/],
    [['--config', 'hf://me/model/nothing.yaml'], /resolve\/main\/nothing\.yaml: HTTP status 404$/],
    [['--config', `${server.url}/site/model.safetensors`], /^ERROR: ValueError: Config should be a path to a YAML file/],
  ]) {
    const { code, stdout, stderr } = await say(args);
    assert.deepEqual([code, stdout.length], [1, 0], args.join(' '));
    assert.match(stderr.trimEnd(), /^ERROR: [^\n]+$/);
    assert.match(stderr.trimEnd(), message);
  }
});

test('a configuration without a voice speaks with the recording that the reference takes', async (t) => {
  const { say } = await served(t, { 'kyutai/tts-voices/resolve/main/alba-mackenna/casual.wav': FILES['voice.wav'] });
  const wanted = await say(['--config', config, '--voice', file('voice.wav')]);
  const plain = await say(['--config', config]);
  assert.deepEqual([plain.code, plain.stderr], [0, '']);
  assert.deepEqual(plain.stdout, wanted.stdout);
});

test('the sentence of a language', async () => {
  const { outputFiles } = await build({ entryPoints: [join(root, 'web', 'languages.ts')], bundle: true, format: 'esm', write: false });
  const { defaultText, LANGUAGES } = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
  const english = defaultText();
  assert.match(english, /^Hello world\. /);
  const words = { dutch: /stem/, french: /voix/, german: /Stimme/, italian: /voce/, portuguese: /voz é/, spanish: /voz se/ };
  for (const name of LANGUAGES) {
    const language = Object.keys(words).find((each) => name.startsWith(each));
    if (language === undefined) assert.equal(defaultText(name), english, name);
    else assert.match(defaultText(name), words[language], name);
  }
});
