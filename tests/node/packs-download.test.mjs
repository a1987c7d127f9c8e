// Downloads from a server that misbehaves: what is kept, what is fetched again, what is never spoken. Bytes are counted
// where they are sent.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { before, test } from 'node:test';
import { PocketTTS } from '../../dist/node.js';
import { badServer } from '../support/bad-server.mjs';
import { freshCache, refused, sha256, starter, temporary } from './support.mjs';

const MODEL = 'model.safetensors';
const FILES = Object.fromEntries(
  ['pack.json', MODEL, 'tokenizer.model', 'voices/slt.safetensors'].map((path) => [`voice/${path}`, readFileSync(join(starter, path))]),
);
const BYTES = FILES[`voice/${MODEL}`].length;
const CUT = Math.floor(BYTES * 0.37);

let expected;
before(async () => {
  expected = await spoken(await PocketTTS.load());
});

async function spoken(tts) {
  const { samples } = await tts.generate('Yes.');
  await tts.dispose();
  return samples;
}

/** The starter pack on a server, and a cache of its own. */
async function served(t, options = {}) {
  const folder = freshCache(t);
  const server = await badServer({ ...FILES }, options);
  t.after(() => server.stop());
  const arrived = () => existsSync(folder) && parts(folder).some((name) => statSync(join(folder, name)).size >= CUT);
  return { server, folder, pack: `${server.url}/voice`, cut: ['cut', 0.37, arrived] };
}

const ranges = (server) => server.requests(MODEL).map(({ headers }) => headers.range);
const parts = (folder) => readdirSync(folder).filter((name) => name.includes('.part'));
/** The model in the cache folder: the largest of its files. */
const kept = (folder) =>
  readdirSync(folder)
    .map((name) => join(folder, name))
    .sort((a, b) => readFileSync(b).length - readFileSync(a).length)[0];

test('cut at 37 %: goes on where it ended, no byte comes twice, and the hash is right', async (t) => {
  const { server, folder, pack, cut } = await served(t);
  server.behave(MODEL, cut);
  assert.deepEqual(await spoken(await PocketTTS.load({ pack })), expected);
  assert.deepEqual(ranges(server), [undefined, `bytes=${CUT}-`]);
  assert.deepEqual(server.requests(MODEL).map(({ sent }) => sent), [CUT, BYTES - CUT]);
  // The file of that validator, or all of it.
  assert.match(server.requests(MODEL)[1].headers['if-range'], /^"[0-9a-f]{16}"$/);
  assert.deepEqual(parts(folder), []);
  assert.equal(sha256(readFileSync(kept(folder))), sha256(FILES[`voice/${MODEL}`]));
});

test('cut for good: the part stays, and the next load fetches the rest of it', async (t) => {
  const { server, folder, pack, cut } = await served(t);
  server.always(MODEL, 'refuse');
  server.behave(MODEL, cut);
  await refused(PocketTTS.load({ pack }), 'network', /model\.safetensors: /);
  assert.equal(server.requests(MODEL).length, 1 + 4);
  assert.deepEqual(parts(folder).length, 1);
  const { files } = await PocketTTS.cacheInfo();
  assert.deepEqual(
    files.filter(({ complete }) => !complete).map(({ bytes, total }) => [bytes, total]),
    [[CUT, BYTES]],
  );
  assert.equal(await PocketTTS.isCached({ pack }), false);
  server.good();
  const seen = [];
  assert.deepEqual(await spoken(await PocketTTS.load({ pack, onProgress: (progress) => seen.push(progress) })), expected);
  assert.equal(server.sent(MODEL), BYTES);
  assert.equal(ranges(server).at(-1), `bytes=${CUT}-`);
  // What was there counts.
  assert.equal(seen.at(-1).loaded, seen.at(-1).total);
  assert.equal(await PocketTTS.isCached({ pack }), true);
});

test('a second load asks for nothing but pack.json; without the server it speaks all the same', async (t) => {
  const { server, pack } = await served(t);
  assert.deepEqual(await spoken(await PocketTTS.load({ pack })), expected);
  server.forget();
  const seen = [];
  assert.deepEqual(await spoken(await PocketTTS.load({ pack, onProgress: (progress) => seen.push(progress) })), expected);
  assert.deepEqual(server.requests().map(({ path }) => path), ['voice/pack.json']);
  assert.ok(seen.every(({ phase }) => phase === 'load'));
  await server.stop();
  assert.deepEqual(await spoken(await PocketTTS.load({ pack })), expected);
  await refused(PocketTTS.load({ pack, cache: 'none' }), 'network', /pack\.json: the request failed/);
  // A server that answers is right, whatever it says.
  await server.start();
  server.behave('pack.json', ['status', 404]);
  await refused(PocketTTS.load({ pack }), 'not-found', /pack\.json: HTTP status 404/);
});

for (const [what, behaviour, sent] of [
  ['a server without Range', ['no-range'], BYTES],
  ['206 with all of it and no Content-Range', ['wrong-206'], 2 * BYTES],
  ['a Content-Range of other bytes', ['wrong-content-range'], undefined],
]) {
  test(`${what}: the part is given up, and all of it is fetched`, async (t) => {
    const { server, folder, pack, cut } = await served(t);
    server.always(MODEL, 'refuse');
    server.behave(MODEL, cut);
    await refused(PocketTTS.load({ pack }), 'network');
    server.good();
    server.forget();
    server.behave(MODEL, behaviour);
    assert.deepEqual(await spoken(await PocketTTS.load({ pack })), expected);
    assert.equal(ranges(server)[0], `bytes=${CUT}-`);
    if (behaviour[0] === 'no-range') assert.equal(server.sent(MODEL), sent);
    else assert.equal(ranges(server)[1], undefined);
    assert.equal(sha256(readFileSync(kept(folder))), sha256(FILES[`voice/${MODEL}`]));
  });
}

test('a server without Range in the middle of a load: what has been used is passed over', async (t) => {
  const { server, pack, cut } = await served(t);
  server.behave(MODEL, cut, ['no-range']);
  assert.deepEqual(await spoken(await PocketTTS.load({ pack })), expected);
  assert.deepEqual(server.requests(MODEL).map(({ sent }) => sent), [CUT, BYTES]);
});

test('the file changed between two connections', async (t) => {
  const { server, pack, cut } = await served(t);
  const other = Buffer.from(FILES[`voice/${MODEL}`]);
  other[other.length - 5] ^= 1;
  server.behave(MODEL, cut);
  const loading = PocketTTS.load({ pack, onProgress: () => { server.files[`voice/${MODEL}`] = other; } });
  await refused(loading, 'pack', /the file changed while it was being fetched; load again/);
  // And when it is another file, its hash is not the one that pack.json has.
  await refused(PocketTTS.load({ pack }), 'pack', /expected sha256/);
  server.files[`voice/${MODEL}`] = FILES[`voice/${MODEL}`];
  assert.deepEqual(await spoken(await PocketTTS.load({ pack })), expected);
});

test('a body that ends early without a word is a cut', async (t) => {
  const { server, pack } = await served(t);
  server.behave(MODEL, ['truncated', 0.5]);
  assert.deepEqual(await spoken(await PocketTTS.load({ pack })), expected);
  assert.equal(server.sent(MODEL), BYTES);
});

test('a transfer that stands still is a cut: the rest is asked for again', async (t) => {
  const { server, pack } = await served(t);
  // Each brings something, so that none is one too many.
  server.behave(MODEL, ...[0.2, 0.3, 0.4, 0.5, 0.6].map((share) => ['stall', share]));
  assert.deepEqual(await spoken(await PocketTTS.load({ pack, idleTimeout: 1 })), expected);
  assert.equal(server.requests(MODEL).length, 6);
  assert.equal(server.sent(MODEL), BYTES);
});

test('one that stands still for good: `network`, in words, and the part stays', async (t) => {
  const { server, folder, pack } = await served(t);
  server.always(MODEL, 'stall', 0.37);
  server.behave(MODEL, ['stall', 0.37]);
  await refused(PocketTTS.load({ pack, idleTimeout: 1 }), 'network', /model\.safetensors: the transfer stands still: no byte for 1 s$/);
  assert.deepEqual(ranges(server), [undefined, `bytes=${CUT}-`, `bytes=${CUT}-`]);
  assert.equal(parts(folder).length, 1);
  for (let i = 0; i < 200 && server.requests(MODEL).some(({ closed }) => !closed); i++) await setTimeout(10);
  assert.ok(server.requests(MODEL).every(({ closed }) => closed), 'a connection is still open');
  server.good();
  assert.deepEqual(await spoken(await PocketTTS.load({ pack })), expected);
  assert.equal(server.sent(MODEL), BYTES);
});

test('a server that takes the connection and says nothing', async (t) => {
  const { server, pack } = await served(t);
  server.always('pack.json', 'silent');
  await refused(PocketTTS.load({ pack, idleTimeout: 1 }), 'network', /pack\.json: no answer for 1 s$/);
  server.good();
  await (await PocketTTS.load({ pack })).dispose();
  // The pack that was seen last is as good as without a network.
  server.always('pack.json', 'silent');
  assert.deepEqual(await spoken(await PocketTTS.load({ pack, idleTimeout: 1 })), expected);
});

test('a process that is held up is no server that stands still', async (t) => {
  const { server, pack } = await served(t);
  const onProgress = () => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  };
  assert.deepEqual(await spoken(await PocketTTS.load({ pack, idleTimeout: 0.2, onProgress })), expected);
  assert.equal(server.requests(MODEL).length, 1);
});

test('a corrupt byte is never spoken and never kept', async (t) => {
  const { server, folder, pack } = await served(t);
  for (const layout of [{}, { instances: 2 }]) {
    server.behave(MODEL, ['corrupt', -5]);
    await refused(PocketTTS.load({ pack, ...layout }), 'pack', /model\.safetensors: expected sha256 [0-9a-f]{64}, found [0-9a-f]{64}$/);
    assert.ok(readdirSync(folder).every((name) => readFileSync(join(folder, name)).length < BYTES / 2));
  }
  for (const path of ['tokenizer.model', 'slt.safetensors']) {
    await PocketTTS.clearCache();
    server.behave(path, ['corrupt', -5]);
    await refused(PocketTTS.load({ pack }), 'pack', /expected sha256/);
  }
  assert.deepEqual(await spoken(await PocketTTS.load({ pack })), expected);
});

test('a corrupt byte after a resumed cut: all of it is fetched again, at once', async (t) => {
  const { server, folder, pack, cut } = await served(t);
  server.always(MODEL, 'refuse');
  server.behave(MODEL, cut);
  await refused(PocketTTS.load({ pack }), 'network');
  const [part] = parts(folder);
  for (const at of [CUT - 5, 100]) {
    const bytes = Buffer.from(FILES[`voice/${MODEL}`].subarray(0, CUT));
    bytes[at] ^= 1;
    writeFileSync(join(folder, part), bytes);
    writeFileSync(join(folder, part.replace('.part', '.json')), JSON.stringify({
      identity: `sha256:${sha256(FILES[`voice/${MODEL}`])}`, url: `${pack}/${MODEL}`, pack: `${pack}/`, bytes: BYTES, sha256: sha256(FILES[`voice/${MODEL}`]),
    }));
    server.good();
    server.forget();
    // The second of them the engine refuses before the hash is known.
    assert.deepEqual(await spoken(await PocketTTS.load({ pack })), expected);
    assert.deepEqual(ranges(server), [`bytes=${CUT}-`, undefined]);
    await PocketTTS.clearCache();
  }
});

test('a damaged file of the cache is removed and fetched again', async (t) => {
  const { server, folder, pack } = await served(t);
  await (await PocketTTS.load({ pack })).dispose();
  const file = kept(folder);
  const damage = {
    'a byte at the end': (bytes) => { bytes[bytes.length - 5] ^= 1; return bytes; },
    'a byte of the header, which the engine refuses first': (bytes) => { bytes[9] = 0; return bytes; },
    'its end is missing': (bytes) => bytes.subarray(0, 1000),
    'empty': () => Buffer.alloc(0),
  };
  for (const [what, change] of Object.entries(damage)) {
    writeFileSync(file, change(readFileSync(file)));
    server.forget();
    assert.deepEqual(await spoken(await PocketTTS.load({ pack })), expected, what);
    assert.equal(server.sent(MODEL), BYTES, what);
  }
  // Its sidecar too, and a voice.
  for (const name of readdirSync(folder).filter((each) => each.endsWith('.json'))) writeFileSync(join(folder, name), '{');
  assert.deepEqual(await spoken(await PocketTTS.load({ pack })), expected);
  for (const name of readdirSync(folder).filter((each) => !each.endsWith('.json'))) {
    const bytes = readFileSync(join(folder, name));
    bytes[bytes.length - 1] ^= 1;
    writeFileSync(join(folder, name), bytes);
  }
  assert.deepEqual(await spoken(await PocketTTS.load({ pack })), expected);
});

test('HTML instead of a file is named as such', async (t) => {
  const { server, pack } = await served(t);
  const html = /found an HTML page \(an error or login page, or the start page of an app\); check the address$/;
  for (const path of ['pack.json', MODEL, 'tokenizer.model', 'slt.safetensors']) {
    for (const behaviour of ['html', 'hidden-html']) {
      await PocketTTS.clearCache();
      server.always(path, behaviour);
      const message = behaviour === 'html' || path === 'pack.json' ? html : /expected \d+ bytes, found \d+$|HTML/;
      await refused(PocketTTS.load({ pack }), 'pack', message);
      server.good();
    }
  }
  assert.deepEqual(await spoken(await PocketTTS.load({ pack })), expected);
});

test('statuses: none of them is tried again; a size that is wrong is refused at once', async (t) => {
  const { server, pack, cut } = await served(t);
  for (const [status, code] of [[404, 'not-found'], [403, 'network'], [410, 'network'], [500, 'network'], [503, 'network']]) {
    server.forget();
    server.always(MODEL, 'status', status);
    await refused(PocketTTS.load({ pack }), code, new RegExp(`model\\.safetensors: HTTP status ${status}`));
    assert.equal(server.requests(MODEL).length, 1);
  }
  // After a cut a server may need a moment; a file that is gone is gone.
  server.good();
  server.behave(MODEL, cut, ['status', 503]);
  assert.deepEqual(await spoken(await PocketTTS.load({ pack })), expected);
  await PocketTTS.clearCache();
  server.forget();
  server.behave(MODEL, cut, ['status', 404]);
  server.always(MODEL, 'status', 404);
  await refused(PocketTTS.load({ pack }), 'not-found', /HTTP status 404/);
  server.good();
  server.behave(MODEL, ['short', 0.5]);
  await refused(PocketTTS.load({ pack, cache: 'none' }), 'pack', new RegExp(`expected ${BYTES} bytes, found ${Math.floor(BYTES / 2)}`));
});

test('progress: monotone, at most ten a second, the last one always, totals of the manifest', async (t) => {
  const { server, pack, cut } = await served(t);
  server.always(MODEL, 'slow');
  server.behave(MODEL, cut);
  const seen = [];
  const began = performance.now();
  const tts = await PocketTTS.load({ pack, onProgress: (progress) => seen.push({ ...progress, at: performance.now() }) });
  const seconds = (performance.now() - began) / 1000;
  await tts.dispose();
  const total = Object.entries(FILES).reduce((sum, [path, { length }]) => sum + (path.endsWith('.json') ? 0 : length), 0);
  assert.ok(seen.length >= 3 && seen.length <= 10 * seconds + 2, `${seen.length} in ${seconds} s`);
  assert.ok(seen.every((progress) => progress.total === total));
  assert.ok(seen.every(({ loaded }, i) => i === 0 || loaded > seen[i - 1].loaded));
  // The last one comes when it does.
  assert.ok(seen.slice(1, -1).every(({ at }, i) => at - seen[i].at >= 99));
  assert.equal(seen.at(-1).loaded, total);
  assert.equal(seen.at(-1).eta, 0);
  assert.ok(seen.every(({ phase }) => phase === 'download'));
  const middle = seen.slice(1, -1);
  assert.ok(middle.length > 0);
  for (const { loaded, bytesPerSecond, eta } of middle) {
    assert.ok(bytesPerSecond > 0);
    assert.ok(Math.abs(eta - (total - loaded) / bytesPerSecond) < 1e-6);
  }
});

test('abort during a download: at once, the part stays, nothing is left open', async (t) => {
  const { server, folder, pack } = await served(t);
  for (let round = 0; round < 3; round++) {
    server.always(MODEL, 'stall', 0.37);
    const stop = new AbortController();
    const loading = PocketTTS.load({ pack, signal: stop.signal });
    while (server.requests(MODEL).length === round || !parts(folder).some((name) => statSync(join(folder, name)).size === CUT)) await setTimeout(5);
    stop.abort(new Error('enough'));
    const error = await refused(loading, 'aborted');
    assert.equal(error.name, 'AbortError');
    assert.equal(error.cause.message, 'enough');
    // The server sends nothing and ends nothing by itself: nothing else can have been waited for.
    assert.ok(server.requests(MODEL).at(-1).sent <= CUT);
    for (let i = 0; i < 100 && server.requests(MODEL).some(({ closed }) => !closed); i++) await setTimeout(10);
    assert.ok(server.requests(MODEL).every(({ closed }) => closed), 'a connection is still open');
    assert.equal(parts(folder).length, 1);
    assert.ok(!parts(folder)[0].includes('part-'), parts(folder)[0]);
    server.good();
  }
  assert.deepEqual(await spoken(await PocketTTS.load({ pack })), expected);
  assert.equal(ranges(server).at(-1)?.startsWith('bytes='), true);
});

test('abort while another load fetches the same file', async (t) => {
  const { server, pack } = await served(t);
  server.always(MODEL, 'slow');
  const first = PocketTTS.load({ pack });
  while (server.requests(MODEL).length === 0) await setTimeout(5);
  const signal = AbortSignal.timeout(20);
  await refused(PocketTTS.load({ pack, signal }), 'aborted');
  const [a, b] = await Promise.all([first, PocketTTS.load({ pack })]);
  assert.deepEqual(await spoken(a), expected);
  assert.deepEqual(await spoken(b), expected);
  assert.equal(server.sent(MODEL), BYTES);
});

/** Loads in a process of its own: resolves with its exit code. */
function loadElsewhere(pack, env = {}) {
  const script = `
    import { PocketTTS } from ${JSON.stringify(new URL('../../dist/node.js', import.meta.url).href)};
    const tts = await PocketTTS.load({ pack: ${JSON.stringify(pack)} });
    await tts.generate('Yes.');
    await tts.dispose();`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, ...env } });
  return { child, done: new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal))) };
}

test('two processes at once: one fetches, the other waits for it', async (t) => {
  const { server, folder, pack } = await served(t);
  server.always(MODEL, 'slow');
  const first = loadElsewhere(pack);
  while (server.requests(MODEL).length === 0) await setTimeout(5);
  const second = loadElsewhere(pack);
  assert.deepEqual(await Promise.all([first.done, second.done]), [0, 0]);
  assert.equal(server.sent(MODEL), BYTES);
  assert.deepEqual(parts(folder), []);
});

test('a process that is killed leaves its part to the next one', async (t) => {
  const { server, folder, pack } = await served(t);
  server.behave(MODEL, ['stall', 0.37]);
  const first = loadElsewhere(pack);
  const size = () => parts(folder).reduce((sum, name) => sum + readFileSync(join(folder, name)).length, 0);
  while (!existsSync(folder) || size() < CUT) await setTimeout(10);
  first.child.kill('SIGKILL');
  assert.equal(await first.done, 'SIGKILL');
  assert.match(parts(folder)[0], new RegExp(`\\.part-${first.child.pid}-`));
  assert.deepEqual(await spoken(await PocketTTS.load({ pack })), expected);
  assert.equal(server.sent(MODEL), BYTES);
  assert.deepEqual(parts(folder), []);
});

test('no room for it, or no right to write: a warning, memory instead, and it speaks', async (t) => {
  const { server, pack } = await served(t);
  // A file where the folder would be: nobody can write there, root neither.
  const blocked = join(temporary(t), 'file');
  writeFileSync(blocked, '');
  process.env.POCKET_TTS_CACHE = join(blocked, 'cache');
  const warnings = [];
  const onWarning = (warning) => warnings.push(warning);
  assert.deepEqual(await spoken(await PocketTTS.load({ pack, onWarning })), expected);
  assert.equal(warnings.length, 1);
  assert.equal(warnings[0].code, 'cache');
  assert.match(warnings[0].message, /file\/cache: cannot be used \(.*\); memory is used instead$/);
  // It is there.
  server.forget();
  assert.deepEqual(await spoken(await PocketTTS.load({ pack, onWarning })), expected);
  assert.equal(server.sent(MODEL), 0);
  await PocketTTS.clearCache({ cache: 'memory' });
});

test('a disk that fills up in the middle: the part moves to memory', { skip: process.getuid?.() !== 0 && 'needs root for a small disk' }, async (t) => {
  const { server, pack } = await served(t);
  const disk = mkdtempSync(join(tmpdir(), 'pocket-tts-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'none', disk], { stdio: 'ignore' });
  } catch {
    rmSync(disk, { recursive: true });
    t.skip('no disk can be mounted here');
    return;
  }
  t.after(() => {
    execFileSync('umount', [disk]);
    rmSync(disk, { recursive: true });
  });
  process.env.POCKET_TTS_CACHE = disk;
  const warnings = [];
  assert.deepEqual(await spoken(await PocketTTS.load({ pack, onWarning: (warning) => warnings.push(warning) })), expected);
  assert.deepEqual(warnings.map(({ code }) => code), ['cache-full']);
  assert.match(warnings[0].message, /no room for this download \(.*\); memory is used instead$/);
  assert.equal(readdirSync(disk).some((name) => name.includes('part')), false);
  server.forget();
  assert.deepEqual(await spoken(await PocketTTS.load({ pack })), expected);
  assert.equal(server.sent(MODEL), 0);
  await PocketTTS.clearCache({ cache: 'memory' });
});

test('cacheInfo and clearCache', async (t) => {
  const { folder, pack } = await served(t);
  assert.deepEqual(await PocketTTS.cacheInfo(), { store: 'folder', where: folder, bytes: 0, files: [] });
  assert.equal(await PocketTTS.isCached(), true);
  assert.equal(await PocketTTS.isCached({ pack: starter }), true);
  assert.equal(await PocketTTS.isCached({ pack }), false);
  await (await PocketTTS.load({ pack })).dispose();
  const { files, bytes } = await PocketTTS.cacheInfo();
  assert.deepEqual(files.map((file) => file.bytes).sort(), Object.values(FILES).map(({ length }) => length).sort());
  assert.ok(files.every((file) => file.complete && file.pack === `${pack}/` && /^[0-9a-f]{64}$/.test(file.sha256)));
  assert.equal(bytes, files.reduce((sum, file) => sum + file.bytes, 0));
  assert.equal(await PocketTTS.isCached({ pack }), true);
  await refused(PocketTTS.isCached({ pack, voice: 'nobody' }), 'not-found', /No voice "nobody"/);
  assert.equal(await PocketTTS.clearCache({ pack: 'another' }), 0);
  assert.equal(await PocketTTS.clearCache({ pack }), bytes);
  assert.deepEqual(readdirSync(folder), []);
  assert.deepEqual(await PocketTTS.cacheInfo({ cache: 'none' }), { store: undefined, where: undefined, bytes: 0, files: [] });
  await refused(PocketTTS.clearCache({ packs: 'x' }), 'argument', /found "packs"; did you mean pack\?/);
});

test('a login page that is JSON replaces no manifest that is kept', async (t) => {
  freshCache(t);
  const files = { ...FILES };
  const server = await badServer(files);
  t.after(() => server.stop());
  const pack = `${server.url}/voice`;
  await (await PocketTTS.load({ pack })).dispose();
  files['voice/pack.json'] = Buffer.from('{"error":"log in"}');
  await refused(PocketTTS.load({ pack }), 'pack', /pack\.json: format: expected 1, found nothing/);
  server.always('', 'refuse');
  assert.deepEqual(await spoken(await PocketTTS.load({ pack })), expected);
  assert.equal(await PocketTTS.isCached({ pack }), true);
  const { files: all, where } = await PocketTTS.cacheInfo();
  const { bytes } = all.find(({ identity }) => identity.endsWith('pack.json'));
  const copy = readdirSync(where).map((name) => join(where, name)).find((path) => statSync(path).size === bytes);
  writeFileSync(copy, 'x'.repeat(bytes));
  assert.equal(await PocketTTS.isCached({ pack }), false);
});

/** The name of the model in the cache folder. */
const MODEL_KEY = sha256(`sha256:${sha256(FILES[`voice/${MODEL}`])}`).slice(0, 40);
const LONG = 86_400_000;

/** Leaves a part of the model; its path. */
async function leavePart({ server, folder, pack, cut }) {
  server.always(MODEL, 'refuse');
  server.behave(MODEL, cut);
  await refused(PocketTTS.load({ pack }), 'network');
  server.good();
  return join(folder, `${MODEL_KEY}.part`);
}

test('a part of a process that had the number of this one is gone on with', async (t) => {
  const place = await served(t);
  for (const age of [LONG, -LONG]) {
    await PocketTTS.clearCache();
    place.server.forget();
    const part = await leavePart(place);
    const theirs = `${part}-${process.pid}-abcdef`;
    renameSync(part, theirs);
    utimesSync(theirs, new Date(), new Date(Date.now() - age));
    assert.deepEqual(await spoken(await PocketTTS.load({ pack: place.pack })), expected);
    assert.equal(place.server.sent(MODEL), BYTES);
    assert.deepEqual(parts(place.folder), []);
  }
});

test('a part of another thread of this process is waited for', async (t) => {
  const place = await served(t);
  const part = await leavePart(place);
  renameSync(part, `${part}-${process.pid}-abcdef`);
  const asked = place.server.requests(MODEL).length;
  const loading = PocketTTS.load({ pack: place.pack });
  await setTimeout(1000);
  assert.equal(place.server.requests(MODEL).length, asked);
  renameSync(`${part}-${process.pid}-abcdef`, part);
  assert.deepEqual(await spoken(await loading), expected);
  assert.equal(place.server.sent(MODEL), BYTES);
});

test('a part from the future is not waited for', async (t) => {
  const { folder, pack } = await served(t);
  mkdirSync(folder);
  const part = join(folder, `${MODEL_KEY}.part-1-abcdef`);
  writeFileSync(part, 'x');
  utimesSync(part, new Date(), new Date(Date.now() + LONG));
  assert.deepEqual(await spoken(await PocketTTS.load({ pack, signal: AbortSignal.timeout(60_000) })), expected);
});

test('what is no plain file in the cache: loads go round it, clearCache() removes it', async (t) => {
  const { server, folder, pack } = await served(t);
  const at = (name) => join(folder, name);
  const block = (name) => {
    mkdirSync(at(name), { recursive: true });
    writeFileSync(join(at(name), 'inside'), '');
  };
  block(MODEL_KEY);
  block(`${MODEL_KEY}.part`);
  const tokenizer = sha256(`sha256:${sha256(FILES['voice/tokenizer.model'])}`).slice(0, 40);
  if (process.platform === 'win32') block(`${tokenizer}.json`);
  else execFileSync('mkfifo', [at(`${tokenizer}.json`)]);
  writeFileSync(at(tokenizer), 'x');
  assert.deepEqual((await PocketTTS.cacheInfo()).files, []);
  const warnings = [];
  assert.deepEqual(await spoken(await PocketTTS.load({ pack, onWarning: (warning) => warnings.push(warning) })), expected);
  assert.deepEqual([warnings, parts(folder)], [[], []]);
  await (await PocketTTS.load({ pack })).dispose();
  assert.equal(server.requests(MODEL).length, 1);

  const { files, bytes } = await PocketTTS.cacheInfo();
  assert.equal(files.length, 4);
  block('a'.repeat(40));
  block(`${'b'.repeat(40)}.json`);
  writeFileSync(at('b'.repeat(40)), 'x');
  symlinkSync('c'.repeat(40), at('c'.repeat(40)));
  writeFileSync(at('d'.repeat(40)), 'x');
  symlinkSync(`${'d'.repeat(40)}.json`, at(`${'d'.repeat(40)}.json`));
  assert.deepEqual((await PocketTTS.cacheInfo()).files, files);
  // A folder beside a part of the same file.
  writeFileSync(at(`${MODEL_KEY}.part-1-abcdef`), 'x');
  block(`${MODEL_KEY}.part-2-abcdef`);
  assert.equal(await PocketTTS.clearCache(), bytes + 1);
  assert.deepEqual(readdirSync(folder), []);

  rmSync(folder, { recursive: true });
  writeFileSync(folder, '');
  await refused(PocketTTS.cacheInfo(), 'unsupported', /: the cache cannot be read: /);
  await refused(PocketTTS.clearCache(), 'unsupported', /: the cache cannot be read: /);
});

test('the starter voice is never in the cache', async (t) => {
  const folder = freshCache(t);
  await (await PocketTTS.load()).dispose();
  assert.equal(existsSync(folder), false);
});

test('100 aborted downloads: nothing of them stays in memory', async (t) => {
  const { server, pack } = await served(t);
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  const held = async () => {
    for (let i = 0; i < 3; i++) {
      collect();
      await setTimeout(20);
    }
    const { heapUsed, external, arrayBuffers } = process.memoryUsage();
    return heapUsed + external + arrayBuffers;
  };
  const round = async () => {
    server.behave(MODEL, ['stall', 0.1]);
    const stop = new AbortController();
    const asked = server.requests(MODEL).length;
    const loading = refused(PocketTTS.load({ pack, cache: 'none', signal: stop.signal }), 'aborted');
    while ((server.requests(MODEL)[asked]?.sent ?? 0) < Math.floor(BYTES * 0.1)) await setTimeout(1);
    stop.abort();
    await loading;
  };
  for (let i = 0; i < 10; i++) await round();
  const before = await held();
  for (let i = 0; i < 100; i++) await round();
  const after = await held();
  t.diagnostic(`${((after - before) / 1e6).toFixed(1)} MB after 100 rounds`);
  // The engine's memory of one round is more than that.
  assert.ok(after - before < 8e6, `${after - before} bytes`);
  for (let i = 0; i < 200 && server.requests(MODEL).some(({ closed }) => !closed); i++) await setTimeout(10);
  assert.ok(server.requests(MODEL).every(({ closed }) => closed));
});
