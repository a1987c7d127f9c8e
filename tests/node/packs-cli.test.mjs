// The commands `packs list|pull|verify|rm`, and speaking with an official pack from the command line.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { badServer } from '../support/bad-server.mjs';
import { officialFiles } from '../support/official.mjs';
import { freshCache, run, starter, temporary } from './support.mjs';

const NAME = 'english_2m_2026-10';
let files;
before(() => {
  files = officialFiles(NAME, ['alba', 'anna']);
  for (const path of ['pack.json', 'model.safetensors', 'tokenizer.model', 'voices/slt.safetensors']) {
    files[`voice/${path}`] = readFileSync(join(starter, path));
  }
});

async function hub(t) {
  const folder = freshCache(t);
  const server = await badServer(files);
  t.after(() => server.stop());
  return { server, folder, hub: ['--hub', `${server.url}/{repository}/{revision}/{path}`] };
}

const large = (folder) =>
  readdirSync(folder)
    .map((name) => join(folder, name))
    .find((path) => readFileSync(path).length > 1e6);

test('pull, list, verify, rm', async (t) => {
  const { server, folder, hub: from } = await hub(t);
  const nothing = await run(['packs', 'list']);
  assert.equal(nothing.code, 0);
  const lines = nothing.stdout.toString().split('\n');
  assert.match(lines[0], /^starter +in the package$/);
  assert.equal(lines.filter((line) => /^(dutch|english|french|german|italian|portuguese|spanish)[a-z0-9_-]*$/.test(line)).length, 27);
  assert.equal(lines.at(-2), `Cache: ${folder}`);

  // Cut for good, then the rest.
  server.always('model.safetensors', 'refuse');
  server.behave('model.safetensors', ['cut', 0.5]);
  const cut = await run(['packs', 'pull', NAME, ...from]);
  assert.equal(cut.code, 1);
  assert.match(cut.stderr, /^ERROR: \S+model\.safetensors: the request failed/m);
  assert.match((await run(['packs', 'list'])).stdout.toString(), new RegExp(`^${NAME} +in part, \\d+\\.\\d MB$`, 'm'));
  server.good();
  const pulled = await run(['packs', 'pull', NAME, '--voice', 'anna', ...from]);
  assert.equal(pulled.code, 0, pulled.stderr);
  assert.equal(pulled.stdout.length, 0);
  for (const path of ['tokenizer.model', 'model.safetensors', 'anna.safetensors']) assert.match(pulled.stderr, new RegExp(`INFO: \\S*${path}: \\d+ bytes$`, 'm'));
  assert.ok(server.requests('model.safetensors').at(-1).headers.range?.startsWith('bytes='));
  // Without its default voice it is not all there.
  assert.match((await run(['packs', 'list'])).stdout.toString(), new RegExp(`^${NAME} +in part,`, 'm'));
  assert.equal((await run(['packs', 'pull', NAME, '-q', ...from])).stderr, '');
  assert.match((await run(['packs', 'list'])).stdout.toString(), new RegExp(`^${NAME} +cached, 23\\.\\d MB$`, 'm'));

  const good = await run(['packs', 'verify', NAME]);
  assert.equal(good.code, 0);
  const sha256 = createHash('sha256').update(readFileSync(large(folder))).digest('hex');
  assert.ok(good.stderr.includes(`bytes, sha256 ${sha256}\n`), good.stderr);
  const bytes = readFileSync(large(folder));
  bytes[bytes.length - 1] ^= 1;
  writeFileSync(large(folder), bytes);
  const bad = await run(['packs', 'verify']);
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, new RegExp(`^WARNING: hf://\\S+: expected sha256 ${sha256}, found [0-9a-f]{64}; removed$`, 'm'));
  assert.equal(large(folder), undefined);

  const removed = await run(['packs', 'rm', NAME]);
  assert.deepEqual([removed.code, readdirSync(folder)], [0, []]);
  const again = await run(['packs', 'rm', NAME]);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /^ERROR: english_2m_2026-10: nothing of it is in the cache$/m);
  assert.equal((await run(['packs', 'rm', '--all'])).code, 0);
});

test('a pack at a URL, and one that is here', async (t) => {
  const { server } = await hub(t);
  const pack = `${server.url}/voice/`;
  assert.equal((await run(['packs', 'pull', pack, '-q'])).code, 0);
  assert.ok((await run(['packs', 'list'])).stdout.toString().split('\n').some((line) => line.startsWith(pack) && /cached, 7\.\d MB$/.test(line)));
  const local = await run(['packs', 'pull', starter]);
  assert.equal(local.code, 0);
  assert.match(local.stderr, /is on this machine/);
  const voice = await run(['packs', 'pull', pack, '--voice', 'nobody']);
  assert.equal(voice.code, 1);
  assert.match(voice.stderr, /No voice "nobody" in the pack starter \(it has: slt\)/);
});

test('pull looks at the folder it is given', async (t) => {
  const nothing = await run(['packs', 'pull', 'nope'], { cwd: temporary(t) });
  assert.equal(nothing.code, 1);
  assert.match(nothing.stderr, /^ERROR: \S*nope\S*pack\.json: no such file or directory$/m);
});

test('pull refuses weights whose size nobody says, as load() does', async (t) => {
  freshCache(t);
  const pack = JSON.parse(files['voice/pack.json']);
  for (const file of pack.files) if (file.role === 'weights') delete file.bytes;
  const own = { 'voice/pack.json': Buffer.from(JSON.stringify(pack)), 'voice/tokenizer.model': files['voice/tokenizer.model'] };
  let sent = 0;
  const fallback = (path, response) => {
    if (!path.endsWith('model.safetensors')) return false;
    // It would not end by itself; this one does, for a test that fails.
    const write = () => {
      while (!response.destroyed && sent < 64 << 20) {
        sent += 1 << 20;
        if (!response.write(Buffer.alloc(1 << 20))) return;
      }
      response.end();
    };
    response.on('drain', write);
    write();
    return true;
  };
  const server = await badServer(own, { fallback });
  t.after(() => server.stop());
  const refusal = await run(['packs', 'pull', `${server.url}/voice`]);
  assert.equal(refusal.code, 1);
  assert.match(refusal.stderr, /^ERROR: \S+: model\.safetensors: the size is not known: give it as bytes in pack\.json$/m);
  assert.ok(sent < 64 << 20, `${sent} bytes`);
});

test('--language speaks: from the hub, then offline; the environment names hub and token', async (t) => {
  const { server, hub: from } = await hub(t);
  const path = join(temporary(t), 'out.wav');
  const speak = (args, env = {}) => run(['generate', '--text', 'Hi.', '--frames-after-eos', '1', '--max-tokens', '50', '--output-path', path, ...args], { env: { ...process.env, ...env } });
  const first = await speak(['--language', NAME, ...from]);
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stderr, /^INFO: Pack english_2m_2026-10 \(q8\) loaded in/m);
  const wav = readFileSync(path);
  server.forget();
  const offline = await speak(['--pack', NAME], { HF_HUB_OFFLINE: '1' });
  assert.equal(offline.code, 0, offline.stderr);
  assert.deepEqual(readFileSync(path), wav);
  assert.equal(server.requests().length, 0);
  const missing = await speak(['--language', 'french'], { HF_HUB_OFFLINE: '1' });
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /^ERROR: hf:\/\/kyutai\/\S+french\S+ is not in the cache, and no hub may be asked for it; load the pack french once with a network$/m);
  // The layout of the hub itself.
  await speak(['--language', NAME, '--cache', 'none'], { HF_ENDPOINT: server.url, HF_TOKEN: 'hf_secret' });
  const asked = server.requests();
  assert.ok(asked.length > 0);
  assert.ok(asked.every(({ path: each, headers }) => /^kyutai\/[a-z-]+\/resolve\/[0-9a-f]{40}\/languages\//.test(each) && headers.authorization === 'Bearer hf_secret'));
});

test('usage errors of packs', async () => {
  for (const [args, message] of [
    [['pull'], "Missing argument 'PACK'."],
    [['pull', ''], "Missing argument 'PACK'."],
    [['rm'], "Missing argument 'PACK' (or --all)."],
    [['list', 'x'], 'Got unexpected extra argument (x)'],
    [['verify', '--fast'], 'No such option: --fast'],
  ]) {
    const { code, stdout, stderr } = await run(['packs', ...args]);
    assert.deepEqual([code, stdout.length], [2, 0], args.join(' '));
    assert.ok(stderr.startsWith('Usage: pocket-tts-wasm packs list | pull | verify | rm | convert\n'), stderr);
    assert.ok(stderr.endsWith(`\nERROR: ${message}\n`), stderr);
  }
  for (const args of [['--help'], ['-h'], ['pull', '--help'], ['list', '-h']]) {
    const { code, stdout } = await run(['packs', ...args]);
    assert.equal(code, 0);
    assert.match(stdout.toString(), /packs verify \[PACK\][^]*--hub TEMPLATE/);
  }
});
