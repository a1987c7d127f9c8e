// Downloads and the cache in Chromium: OPFS, the Cache API, memory; a killed page, two tabs, a full disk, no server. Packs
// come from another origin, which misbehaves on purpose and counts what it sends.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { after, before, beforeEach, test } from 'node:test';
import { chromium } from 'playwright-core';
import { root, starter } from '../node/support.mjs';
import { badServer, CORS } from '../support/bad-server.mjs';
import { CHROMIUM_FLAGS, TYPES } from './common.mjs';

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
const MODEL = 'model.safetensors';
const FILES = Object.fromEntries(
  ['pack.json', MODEL, 'tokenizer.model', 'voices/slt.safetensors'].map((path) => [`voice/${path}`, readFileSync(join(starter, path))]),
);
const BYTES = FILES[`voice/${MODEL}`].length;
const CUT = Math.floor(BYTES * 0.37);
const PAGE = '<!doctype html><html lang="en"><title>cache</title></html>';

let folder;
let site;
let server;
let context;
let page;
let pack;
let expected;

/** The package, and an empty page. */
function repository(path, response) {
  const file = join(root, path);
  const known = /^(dist|models\/starter)\//.test(path) && !path.includes('..') && existsSync(file);
  const body = path === '' ? Buffer.from(PAGE) : known ? readFileSync(file) : undefined;
  if (body === undefined) return false;
  const type = path === '' ? TYPES['.html'] : (TYPES[extname(path)] ?? 'application/octet-stream');
  response.writeHead(200, { 'content-type': type, 'content-length': body.length }).end(body);
  return true;
}

before(async () => {
  assert.ok(existsSync(EXECUTABLE), `${EXECUTABLE} is missing: apt-get install chromium, or set CHROMIUM`);
  site = await badServer({ 'favicon.ico': Buffer.alloc(0) }, { fallback: repository });
  server = await badServer({ ...FILES }, { headers: CORS });
  pack = `${server.url}/voice`;
  folder = mkdtempSync(join(tmpdir(), 'pocket-tts-chromium-'));
  // Not incognito, where OPFS is in memory.
  context = await chromium.launchPersistentContext(folder, { executablePath: EXECUTABLE, args: CHROMIUM_FLAGS });
  page = await open();
  expected = (await speak(page, {})).hash;
});

after(async () => {
  await context?.close();
  await site?.stop();
  await server?.stop();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  server.good();
  await page.evaluate(() => globalThis.api.clearCache());
  await page.evaluate(() => globalThis.api.clearCache({ cache: 'cache-api' }));
  server.forget();
});

async function open() {
  const fresh = await context.newPage();
  await fresh.goto(site.url);
  await fresh.evaluate(async () => {
    const { PocketTTS } = await import('/dist/index.js');
    globalThis.api = PocketTTS;
    /** Loads, says a word; the hash of what it said, or the error. */
    globalThis.speak = async (options) => {
      const warnings = [];
      const phases = new Set();
      try {
        const tts = await PocketTTS.load({
          ...options,
          signal: globalThis.stop?.signal,
          onWarning: (warning) => warnings.push(warning),
          onProgress: ({ phase }) => phases.add(phase),
        });
        const { samples } = await tts.generate('Yes.');
        await tts.dispose();
        const hash = [...new Uint8Array(await crypto.subtle.digest('SHA-256', samples))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
        return { hash, warnings, phases: [...phases] };
      } catch (error) {
        return { error: `${error.name} ${error.code}: ${error.message}`, warnings };
      }
    };
  });
  return fresh;
}

const speak = (where, options) => where.evaluate((given) => globalThis.speak(given), options);
const info = (where, options = {}) => where.evaluate((given) => globalThis.api.cacheInfo(given), options);
const isCached = (where, options) => where.evaluate((given) => globalThis.api.isCached(given), options);
const ranges = () => server.requests(MODEL).filter(({ method }) => method === 'GET').map(({ headers }) => headers.range);
const partOf = async (where, options) => (await info(where, options)).files.find(({ complete }) => !complete)?.bytes ?? 0;

/** Waits for the part of the model in the cache to have so many bytes. */
async function arrived(where, bytes, options) {
  while ((await partOf(where, options)) < bytes) await setTimeout(20);
}

test('OPFS: a first visit keeps what came, a reload needs only pack.json, and then no server at all', async () => {
  const first = await speak(page, { pack });
  assert.deepEqual(first, { hash: expected, warnings: [], phases: ['download'] });
  const state = await info(page);
  assert.equal(state.store, 'opfs');
  assert.equal(state.bytes, Object.values(FILES).reduce((sum, { length }) => sum + length, 0));
  assert.ok(state.files.every(({ complete }) => complete));
  assert.ok(state.quota > 0 && typeof state.persisted === 'boolean');
  const model = state.files.find(({ bytes }) => bytes === BYTES);
  assert.equal(model.sha256, createHash('sha256').update(FILES[`voice/${MODEL}`]).digest('hex'));
  // To another origin, and nobody was asked for leave first.
  assert.ok(server.requests().every(({ method }) => method === 'GET'));

  await page.close();
  page = await open();
  server.forget();
  assert.equal(await isCached(page, { pack }), true);
  assert.deepEqual((await speak(page, { pack })).phases, ['load']);
  assert.deepEqual(server.requests().map(({ path }) => path), ['voice/pack.json']);
  await server.stop();
  assert.deepEqual(await speak(page, { pack }), { hash: expected, warnings: [], phases: ['load'] });
  assert.match((await speak(page, { pack, cache: 'none' })).error, /^PocketTTSError network: .*pack\.json: the request failed/);
  await server.start();
});

for (const cache of ['opfs', 'cache-api']) {
  test(`${cache}: cut at 37 %, the rest comes over a second connection, no byte twice`, async () => {
    // The Cache API takes whole segments of 4 MiB: its part is shorter than what has come.
    server.behave(MODEL, ['cut', 0.37, cache === 'opfs' ? () => partOf(page).then((bytes) => bytes >= CUT) : () => setTimeout(500, true)]);
    assert.equal((await speak(page, { pack, cache })).hash, expected);
    assert.equal(ranges().length, 2);
    if (cache === 'opfs') {
      assert.deepEqual(ranges(), [undefined, `bytes=${CUT}-`]);
      assert.equal(server.sent(MODEL), BYTES);
    }
    assert.ok(server.requests().every(({ method }) => method === 'GET'));
    assert.equal((await info(page, { cache })).store, cache);
  });

  test(`${cache}: a page that is killed leaves its part to the next one`, async (t) => {
    const share = cache === 'opfs' ? 0.37 : 0.8;
    const least = cache === 'opfs' ? CUT : 4 << 20;
    server.behave(MODEL, ['stall', share]);
    const doomed = await open();
    t.after(() => doomed.close());
    const lost = speak(doomed, { pack, cache }).catch(() => 'lost');
    await arrived(page, least, { cache });
    const crash = await context.newCDPSession(doomed);
    void crash.send('Page.crash').catch(() => undefined);
    assert.equal(await lost, 'lost');
    await doomed.close();
    assert.equal(await isCached(page, { pack, cache }), false);
    const part = await partOf(page, { cache });
    assert.ok(part >= least);
    server.forget();
    assert.equal((await speak(page, { pack, cache })).hash, expected);
    assert.deepEqual(ranges(), [`bytes=${part}-`]);
    assert.equal(server.sent(MODEL), BYTES - part);
    assert.equal(await isCached(page, { pack, cache }), true);
  });

  test(`${cache}: a corrupt byte is never spoken and never kept; one in the cache is fetched again`, async () => {
    // Nor in the browser's own cache.
    server.behave(MODEL, ['corrupt', -5]);
    assert.match((await speak(page, { pack, cache })).error, /^PocketTTSError pack: .*expected sha256 [0-9a-f]{64}, found [0-9a-f]{64}$/);
    assert.ok((await info(page, { cache })).files.every(({ bytes }) => bytes < BYTES));
    assert.equal((await speak(page, { pack, cache })).hash, expected);
    await page.evaluate(damage, cache);
    server.forget();
    assert.equal((await speak(page, { pack, cache })).hash, expected);
    assert.equal(server.sent(MODEL), BYTES);
    server.forget();
    assert.deepEqual((await speak(page, { pack, cache })).phases, ['load']);
  });
}

/** In the page: changes the last byte of the largest file of a store. */
async function damage(cache) {
  if (cache === 'opfs') {
    const folder = await (await globalThis.navigator.storage.getDirectory()).getDirectoryHandle('pocket-tts-wasm');
    for await (const handle of folder.values()) {
      const file = await handle.getFile();
      if (file.size < 1e6) continue;
      const writable = await handle.createWritable({ keepExistingData: true });
      await writable.write({ type: 'write', position: file.size - 5, data: new Uint8Array([255]) });
      await writable.close();
    }
    return;
  }
  const store = await globalThis.caches.open('pocket-tts-wasm');
  for (const request of await store.keys()) {
    const bytes = new Uint8Array(await (await store.match(request)).arrayBuffer());
    if (bytes.length < 1e6 || !request.url.endsWith('/1')) continue;
    bytes[bytes.length - 5] ^= 255;
    await store.put(request, new globalThis.Response(bytes));
  }
}

test('opfs: while another page writes what is known of a file, it can be asked for', async () => {
  await speak(page, { pack });
  const complaints = await page.evaluate(async (source) => {
    const writer = new globalThis.Worker(globalThis.URL.createObjectURL(new globalThis.Blob([`(${source})()`])));
    const ended = new Promise((resolve, reject) => {
      writer.onmessage = resolve;
      writer.onerror = ({ message }) => reject(new Error(message));
    });
    let writing = true;
    void ended.finally(() => (writing = false)).catch(() => undefined);
    const refused = [];
    while (writing) await globalThis.api.cacheInfo().catch((error) => refused.push(String(error)));
    await ended;
    writer.terminate();
    return refused;
  }, String(rewrite));
  assert.deepEqual(complaints, []);
});

/** In a worker: writes a file of the store anew, many times, as the store's own worker does. */
async function rewrite() {
  const folder = await (await globalThis.navigator.storage.getDirectory()).getDirectoryHandle('pocket-tts-wasm');
  let handle;
  for await (const [name, found] of folder) if (name.endsWith('.json')) handle = found;
  for (let i = 0; i < 300; i++) {
    const access = await handle.createSyncAccessHandle();
    const bytes = new Uint8Array(access.getSize());
    access.read(bytes, { at: 0 });
    access.truncate(0);
    access.write(bytes, { at: 0 });
    access.flush();
    access.close();
  }
  globalThis.postMessage('done');
}

test('two tabs at once: one fetches, the other waits for it', async (t) => {
  server.always(MODEL, 'slow');
  const other = await open();
  t.after(() => other.close());
  const spoken = await Promise.all([page, other].map((tab) => speak(tab, { pack })));
  assert.deepEqual(spoken.map(({ hash }) => hash), [expected, expected]);
  assert.equal(server.sent(MODEL), BYTES);
});

test('no room: a warning, memory instead, and it speaks', async () => {
  const session = await context.newCDPSession(page);
  const { usage } = await info(page);
  await session.send('Storage.overrideQuotaForOrigin', { origin: site.url, quotaSize: usage + 3e6 });
  const { hash, warnings } = await speak(page, { pack });
  assert.equal(hash, expected);
  assert.deepEqual(warnings.map(({ code }) => code), ['cache-full']);
  assert.match(warnings[0].message, /^OPFS: no room for this download \(.*\); memory is used instead$/);
  server.forget();
  assert.equal((await speak(page, { pack })).hash, expected);
  assert.equal(server.sent(MODEL), 0);
  await session.send('Storage.overrideQuotaForOrigin', { origin: site.url });
  await session.detach();
  await page.close();
  page = await open();
});

test('memory only: as long as the page lives', async () => {
  assert.equal((await speak(page, { pack, cache: 'memory' })).hash, expected);
  server.forget();
  assert.deepEqual((await speak(page, { pack, cache: 'memory' })).phases, ['load']);
  assert.equal(server.sent(MODEL), 0);
  await page.close();
  page = await open();
  assert.equal(await isCached(page, { pack, cache: 'memory' }), false);
});

test('abort in the middle of a download: the connection is closed, the part stays, and nobody is locked out', async () => {
  server.behave(MODEL, ['stall', 0.37]);
  await page.evaluate(() => {
    globalThis.stop = new AbortController();
  });
  const loading = speak(page, { pack });
  await arrived(page, CUT);
  await page.evaluate(() => globalThis.stop.abort());
  // Nothing else would end it: the server says no more.
  assert.match((await loading).error, /^AbortError aborted: /);
  await page.evaluate(() => delete globalThis.stop);
  for (let i = 0; i < 200 && server.requests(MODEL).some(({ closed }) => !closed); i++) await setTimeout(10);
  assert.ok(server.requests(MODEL).every(({ closed }) => closed));
  server.forget();
  assert.equal((await speak(page, { pack })).hash, expected);
  assert.deepEqual(ranges(), [`bytes=${CUT}-`]);
});

test('without the file of its workers: the Cache API instead of OPFS', async (t) => {
  const lacking = await context.newPage();
  t.after(() => lacking.close());
  await lacking.route('**/worker.js', (route) => route.fulfill({ status: 404 }));
  await lacking.goto(site.url);
  const { store, warnings } = await lacking.evaluate(async (from) => {
    const { PocketTTS } = await import('/dist/index.js');
    const all = [];
    const tts = await PocketTTS.load({ pack: from, worker: false, onWarning: (warning) => all.push(warning) });
    await tts.dispose();
    return { store: await PocketTTS.cacheInfo({ cache: 'cache-api' }), warnings: all };
  }, pack);
  assert.deepEqual(warnings.map(({ code }) => code), ['cache']);
  assert.match(warnings[0].message, /^OPFS: cannot be used \(.*\); the Cache API is used instead$/);
  assert.ok(store.bytes > BYTES);
});
