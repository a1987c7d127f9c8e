// Downloads and the cache in every browser: OPFS, the Cache API, memory; two tabs, no server, a cut connection, a corrupt byte. Packs
// come from another origin, which misbehaves on purpose and counts what it sends. WebKitGTK has no OPFS under automation: there the
// Cache API does the same work. A killed page and a full disk are Chromium's alone: its protocol can make them. The browsers work
// beside each other.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { after, before, beforeEach, describe, test } from 'node:test';
import { root, starter } from '../node/support.mjs';
import { badServer, CORS } from '../support/bad-server.mjs';
import { TYPES } from './common.mjs';
import { BROWSERS, launch } from './drivers.mjs';

const MODEL = 'model.safetensors';
const FILES = Object.fromEntries(
  ['pack.json', MODEL, 'tokenizer.model', 'voices/slt.safetensors'].map((path) => [`voice/${path}`, readFileSync(join(starter, path))]),
);
const BYTES = FILES[`voice/${MODEL}`].length;
/** The same voice in a file of more than 16 MiB, which a store asks the browser to keep: its header goes on with spaces. */
function large() {
  const model = FILES[`voice/${MODEL}`];
  const header = 8 + Number(model.readBigUInt64LE());
  const spaces = Buffer.alloc((17 << 20) - BYTES, ' ');
  const longer = Buffer.concat([model.subarray(0, header), spaces, model.subarray(header)]);
  longer.writeBigUInt64LE(BigInt(header - 8 + spaces.length));
  const pack = JSON.parse(FILES['voice/pack.json']);
  Object.assign(pack.files.find(({ path }) => path === MODEL), { bytes: longer.length, sha256: createHash('sha256').update(longer).digest('hex') });
  const own = { 'large/pack.json': Buffer.from(JSON.stringify(pack)), [`large/${MODEL}`]: longer };
  return { ...Object.fromEntries(Object.entries(FILES).map(([path, bytes]) => [path.replace('voice', 'large'), bytes])), ...own };
}
/** Where a connection ends, in bytes: at 37 %; the Cache API keeps whole segments of 4 MiB, so there at the end of its first. */
const CUT = { opfs: Math.floor(BYTES * 0.37), 'cache-api': 4 << 20 };
const share = (cache) => (CUT[cache] + 0.5) / BYTES;
const STORES = { chromium: ['opfs', 'cache-api'], firefox: ['opfs', 'cache-api'], webkit: ['cache-api'] };
const PAGE = '<!doctype html><html lang="en"><title>cache</title></html>';
const patient = { timeout: 240_000 };

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

describe('downloads and the cache', { concurrency: BROWSERS.length }, () => {
  for (const name of BROWSERS) describe(name, { concurrency: 1 }, () => keptIn(name));
});

function keptIn(name) {
  let site;
  let server;
  let browser;
  let page;
  let pack;
  let expected;
  const [best] = STORES[name];

  before(async () => {
    site = await badServer({ 'favicon.ico': Buffer.alloc(0) }, { fallback: repository });
    server = await badServer({ ...FILES, ...large() }, { headers: CORS });
    pack = `${server.url}/voice`;
    browser = await launch(name);
    page = await open();
    expected = (await speak(page, {})).hash;
    assert.match(expected, /^[0-9a-f]{64}$/);
  }, patient);

  after(async () => {
    await browser?.close();
    await site?.stop();
    await server?.stop();
  }, patient);

  beforeEach(async () => {
    server.good();
    for (const cache of STORES[name]) await page.evaluate((where) => self.api.clearCache({ cache: where }), cache);
    server.forget();
  }, patient);

  async function open() {
    const fresh = await browser.open(site.url);
    await fresh.evaluate(async () => {
      const { PocketTTS } = await import('/dist/index.js');
      self.api = PocketTTS;
      /** Loads, says a word; the hash of what it said, or the error. */
      self.speak = async (options) => {
        const warnings = [];
        const phases = new Set();
        try {
          const tts = await PocketTTS.load({
            ...options,
            signal: self.stop?.signal,
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

  // In two steps: one page at a time can be talked to in WebKit, and what begins goes on meanwhile.
  const begin = (where, options) =>
    where.evaluate((given) => {
      self.spoken = self.speak(given);
    }, options);
  const end = (where) => where.evaluate(() => self.spoken);
  const speak = async (where, options) => {
    await begin(where, options);
    return end(where);
  };
  const info = (where, options = {}) => where.evaluate((given) => self.api.cacheInfo(given), options);
  const isCached = (where, options) => where.evaluate((given) => self.api.isCached(given), options);
  const ranges = () => server.requests(MODEL).filter(({ method }) => method === 'GET').map(({ headers }) => headers.range);
  const partOf = async (where, options) => (await info(where, options)).files.find(({ complete }) => !complete)?.bytes ?? 0;

  /** Waits for the part of the model in the cache to have so many bytes. */
  async function arrived(where, bytes, options) {
    while ((await partOf(where, options)) < bytes) await setTimeout(20);
  }

  test('what nobody can read is passed over, and goes with the rest', patient, async () => {
    for (const cache of STORES[name]) {
      await speak(page, { pack, cache });
      const sorted = async () => (await info(page, { cache })).files.map(({ identity }) => identity).sort();
      const before = await sorted();
      assert.equal(before.length, 4);
      await page.evaluate(spoil, cache);
      assert.deepEqual(await sorted(), before);
      await page.evaluate((where) => self.api.clearCache({ cache: where }), cache);
      assert.equal(await page.evaluate(entries, cache), 0);
    }
  });

  test('a first visit keeps what came, a reload needs only pack.json, and then no server at all', patient, async () => {
    const first = await speak(page, { pack });
    assert.deepEqual(first, { hash: expected, warnings: [], phases: ['download'] });
    const state = await info(page);
    assert.equal(state.store, best);
    assert.equal(state.bytes, Object.values(FILES).reduce((sum, { length }) => sum + length, 0));
    assert.ok(state.files.every(({ complete }) => complete));
    // WebKitGTK has no StorageManager here, and so nobody to say how much room there is.
    if (name === 'webkit') assert.equal(await page.evaluate(() => self.navigator.storage === undefined), true);
    else assert.ok(state.quota > 0 && typeof state.persisted === 'boolean');
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

  for (const cache of STORES[name]) {
    test(`${cache}: cut in the middle, the rest comes over a second connection, no byte twice`, patient, async () => {
      let there = false;
      server.behave(MODEL, ['cut', share(cache), () => there]);
      await begin(page, { pack, cache });
      await arrived(page, CUT[cache], { cache });
      there = true;
      assert.equal((await end(page)).hash, expected);
      assert.deepEqual(ranges(), [undefined, `bytes=${CUT[cache]}-`]);
      assert.equal(server.sent(MODEL), BYTES);
      assert.ok(server.requests().every(({ method }) => method === 'GET'));
      assert.equal((await info(page, { cache })).store, cache);
    });

    test(`${cache}: a corrupt byte is never spoken and never kept; one in the cache is fetched again`, patient, async () => {
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

    test(`${cache}: an abort in the middle of a download: the connection is closed, the part stays, nobody is locked out`, patient, async () => {
      server.behave(MODEL, ['stall', share(cache)]);
      await page.evaluate(() => {
        self.stop = new AbortController();
      });
      await begin(page, { pack, cache });
      await arrived(page, CUT[cache], { cache });
      await page.evaluate(() => self.stop.abort());
      // Nothing else would end it: the server says no more.
      assert.match((await end(page)).error, /^AbortError aborted: /);
      await page.evaluate(() => {
        delete self.stop;
      });
      for (let i = 0; i < 200 && server.requests(MODEL).some(({ closed }) => !closed); i++) await setTimeout(10);
      assert.ok(server.requests(MODEL).every(({ closed }) => closed));
      server.forget();
      assert.equal((await speak(page, { pack, cache })).hash, expected);
      assert.deepEqual(ranges(), [`bytes=${CUT[cache]}-`]);
    });

    if (name === 'chromium') {
      test(`${cache}: a page that is killed leaves its part to the next one`, patient, async (t) => {
        server.behave(MODEL, ['stall', share(cache)]);
        const doomed = await open();
        t.after(() => doomed.close());
        const lost = speak(doomed, { pack, cache }).catch(() => 'lost');
        await arrived(page, CUT[cache], { cache });
        const crash = await browser.context.newCDPSession(doomed.inner);
        void crash.send('Page.crash').catch(() => undefined);
        assert.equal(await lost, 'lost');
        await doomed.close();
        assert.equal(await isCached(page, { pack, cache }), false);
        assert.equal(await partOf(page, { cache }), CUT[cache]);
        server.forget();
        assert.equal((await speak(page, { pack, cache })).hash, expected);
        assert.deepEqual(ranges(), [`bytes=${CUT[cache]}-`]);
        assert.equal(server.sent(MODEL), BYTES - CUT[cache]);
        assert.equal(await isCached(page, { pack, cache }), true);
      });
    }
  }

  test('two tabs at once: one fetches, the other waits for it', patient, async (t) => {
    server.always(MODEL, 'slow');
    const other = await open();
    t.after(() => other.close());
    for (const tab of [page, other]) await begin(tab, { pack });
    const spoken = [await end(page), await end(other)];
    assert.deepEqual(spoken.map(({ hash }) => hash), [expected, expected]);
    assert.equal(server.sent(MODEL), BYTES);
  });

  test('a large file is kept as well, whether or not the browser can be asked to', patient, async () => {
    const from = `${server.url}/large`;
    assert.deepEqual(await speak(page, { pack: from }), { hash: expected, warnings: [], phases: ['download'] });
    server.forget();
    assert.deepEqual(await speak(page, { pack: from }), { hash: expected, warnings: [], phases: ['load'] });
    assert.equal(server.sent(MODEL), 0);
  });

  test('memory only: as long as the page lives', patient, async () => {
    assert.equal((await speak(page, { pack, cache: 'memory' })).hash, expected);
    server.forget();
    assert.deepEqual((await speak(page, { pack, cache: 'memory' })).phases, ['load']);
    assert.equal(server.sent(MODEL), 0);
    await page.close();
    page = await open();
    assert.equal(await isCached(page, { pack, cache: 'memory' }), false);
  });

  if (best === 'opfs') {
    test('opfs: while another page writes what is known of a file, it can be asked for', patient, async () => {
      await speak(page, { pack });
      const complaints = await page.evaluate(async (source) => {
        const writer = new self.Worker(self.URL.createObjectURL(new self.Blob([`(${source})()`])));
        const ended = new Promise((resolve, reject) => {
          writer.onmessage = resolve;
          writer.onerror = ({ message }) => reject(new Error(message));
        });
        let writing = true;
        void ended.finally(() => (writing = false)).catch(() => undefined);
        const refused = [];
        while (writing) await self.api.cacheInfo().catch((error) => refused.push(String(error)));
        await ended;
        writer.terminate();
        return refused;
      }, String(rewrite));
      assert.deepEqual(complaints, []);
    });
  }

  // By the protocol of Chromium.
  if (name === 'chromium') {
    test('no room: a warning, memory instead, and it speaks', patient, async () => {
      const session = await browser.context.newCDPSession(page.inner);
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

    test('without the file of its workers: the Cache API instead of OPFS', patient, async (t) => {
      const lacking = await browser.context.newPage();
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
  }
}

/** In the page: puts into a store what nobody can read. */
async function spoil(cache) {
  if (cache === 'opfs') {
    const folder = await (await self.navigator.storage.getDirectory()).getDirectoryHandle('pocket-tts-wasm');
    for (const name of ['a'.repeat(40), `${'b'.repeat(40)}.json`]) {
      const inner = await folder.getDirectoryHandle(name, { create: true });
      await inner.getFileHandle('inside', { create: true });
    }
    await folder.getFileHandle('b'.repeat(40), { create: true });
    return;
  }
  const store = await self.caches.open('pocket-tts-wasm');
  const meta = { identity: 'x', url: 'x', pack: 'x' };
  const heads = [{ meta, complete: true, sizes: 5 }, { meta, complete: 'yes', sizes: [] }, { meta, complete: true, sizes: ['1'] }, { meta, complete: true }];
  for (const [i, head] of heads.entries()) {
    await store.put(`/pocket-tts-wasm/${String(i).repeat(40)}/head`, new self.Response(JSON.stringify(head)));
  }
}

/** In the page: the number of entries of a store. */
async function entries(cache) {
  if (cache !== 'opfs') return (await (await self.caches.open('pocket-tts-wasm')).keys()).length;
  const folder = await (await self.navigator.storage.getDirectory()).getDirectoryHandle('pocket-tts-wasm');
  let count = 0;
  for await (const name of folder.keys()) count += name.length > 0 ? 1 : 0;
  return count;
}

/** In the page: changes the last byte of the largest file of a store. */
async function damage(cache) {
  if (cache === 'opfs') {
    const folder = await (await self.navigator.storage.getDirectory()).getDirectoryHandle('pocket-tts-wasm');
    for await (const handle of folder.values()) {
      const file = await handle.getFile();
      if (file.size < 1e6) continue;
      const writable = await handle.createWritable({ keepExistingData: true });
      await writable.write({ type: 'write', position: file.size - 5, data: new Uint8Array([255]) });
      await writable.close();
    }
    return;
  }
  const store = await self.caches.open('pocket-tts-wasm');
  for (const request of await store.keys()) {
    const bytes = new Uint8Array(await (await store.match(request)).arrayBuffer());
    if (bytes.length < 1e6 || !request.url.endsWith('/1')) continue;
    bytes[bytes.length - 5] ^= 255;
    await store.put(request, new self.Response(bytes));
  }
}

/** In a worker: writes a file of the store anew, many times, as the store's own worker does. */
async function rewrite() {
  const folder = await (await self.navigator.storage.getDirectory()).getDirectoryHandle('pocket-tts-wasm');
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
  self.postMessage('done');
}
