// The package's files in Chromium: from elsewhere (wasmUrl, workerUrl), from another site, in one file (./inline), under
// policies, and what is fetched when.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { pcm, root, sha256 } from '../node/support.mjs';
import { CHROMIUM_FLAGS, TYPES } from './common.mjs';

const expected = JSON.parse(readFileSync(join(root, 'tests', 'hosts', 'expected.json'), 'utf8'))['starter-q8'];
const STRICT = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'self'";

/** A site of the repository, with `headers` on every answer; answers in `special` go first. Keeps what was asked for. */
async function site(headers, special = {}) {
  const asked = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    asked.push(pathname);
    const send = (status, type, body) => response.writeHead(status, { 'content-type': type, ...headers }).end(body);
    const file = join(root, pathname);
    if (special[pathname] !== undefined) send(200, ...special[pathname]);
    else if (pathname === '/favicon.ico') send(204, 'image/x-icon');
    else if (existsSync(file) && statSync(file).isFile()) send(200, TYPES[extname(file)] ?? 'application/octet-stream', readFileSync(file));
    else send(404, 'text/plain', 'no such file');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, asked, close: () => server.close() };
}

let browser;
before(async () => {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: CHROMIUM_FLAGS });
});
after(() => browser.close());

/** What a page of `from` reports for an entry and options; `hash` is that of its samples. */
async function visit(from, entry, options = {}) {
  const page = await browser.newPage();
  try {
    await page.goto(`${from.url}/tests/browser/package.html?entry=${encodeURIComponent(entry)}&options=${encodeURIComponent(JSON.stringify(options))}`);
    for (let i = 0; i < 600 && (await page.title()) !== 'done'; i++) await setTimeout(100);
    const { samples, ...result } = JSON.parse(await page.textContent('pre'));
    assert.equal(result.error, undefined);
    return samples === undefined ? result : { ...result, hash: sha256(pcm(samples)) };
  } finally {
    await page.close();
  }
}

async function withSites(t, ...sites) {
  const made = await Promise.all(sites.map(([headers, special]) => site(headers, special)));
  t.after(() => made.forEach(({ close }) => close()));
  return made;
}

test('nothing is fetched before it is used; then three files of the voice, the engine, the worker and the worklet, once each', async (t) => {
  const [home] = await withSites(t, [{ 'content-security-policy': STRICT }]);
  const result = await visit(home, '/dist/index.js');
  assert.deepEqual([result.hash, result.worker, result.isolated, result.played], [expected.sha256, true, false, true]);
  assert.deepEqual(result.before.filter((name) => /wasm|starter|worker|worklet/.test(name)), []);
  assert.deepEqual(home.asked.filter((path) => !/^\/tests\/|favicon/.test(path)).sort(), [
    '/dist/index.js',
    '/dist/player-worklet.js',
    '/dist/pocket_tts.wasm',
    '/dist/worker.js',
    '/models/starter/model.safetensors',
    '/models/starter/tokenizer.model',
    '/models/starter/voices/slt.safetensors',
  ]);
});

test('wasmUrl, workerUrl and workletUrl: the files from elsewhere, and from nowhere else', async (t) => {
  const engine = readFileSync(join(root, 'dist', 'pocket_tts.wasm'));
  const script = readFileSync(join(root, 'dist', 'worker.js'));
  const worklet = readFileSync(join(root, 'dist', 'player-worklet.js'));
  const [home] = await withSites(t, [
    { 'content-security-policy': STRICT },
    { '/own/p.js': ['text/javascript', worklet], '/own/engine': ['application/octet-stream', engine], '/own/w.js': ['text/javascript', script], '/page': ['text/html', '<!doctype html><p>Home'] },
  ]);
  const result = await visit(home, '/dist/index.js', { wasmUrl: '/own/engine', workerUrl: '/own/w.js', workletUrl: '/own/p.js' });
  assert.deepEqual([result.hash, result.worker, result.played], [expected.sha256, true, true]);
  assert.ok(!home.asked.includes('/dist/player-worklet.js') && !home.asked.includes('/dist/pocket_tts.wasm') && !home.asked.includes('/dist/worker.js'));

  const page = await visit(home, '/dist/index.js', { wasmUrl: '/page' });
  assert.equal(page.code, 'network');
  assert.match(page.message, /\/page: expected the engine .* found an HTML page$/);
  const nothing = await visit(home, '/dist/index.js', { wasmUrl: '/nothing', worker: false });
  assert.equal(nothing.code, 'network');
  assert.match(nothing.message, /\/nothing: expected the engine .* found HTTP status 404$/);
});

test('isolated says whether the page has the headers for it', async (t) => {
  const [home] = await withSites(t, [{ 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' }]);
  const result = await visit(home, '/dist/index.js');
  assert.deepEqual([result.hash, result.worker, result.isolated], [expected.sha256, true, true]);
});

test('from another site: the inline entry has its worker, the default one speaks without and says why', async (t) => {
  const [home, cdn] = await withSites(t, [{}], [{ 'access-control-allow-origin': '*' }]);
  const inline = await visit(home, `${cdn.url}/dist/inline.js`);
  assert.deepEqual([inline.hash, inline.worker, inline.played], [expected.sha256, true, true]);
  assert.deepEqual(cdn.asked.filter((path) => path.startsWith('/dist/')), ['/dist/inline.js']);
  const plain = await visit(home, `${cdn.url}/dist/index.js`);
  assert.deepEqual([plain.hash, plain.worker], [expected.sha256, false]);
  assert.match(plain.reason, /^Workers do not start here: .*origin/);
  const asked = await visit(home, `${cdn.url}/dist/index.js`, { worker: true });
  assert.equal(asked.code, 'unsupported');
});

test('the inline entry: in a worker where blob: is allowed, in the page where it is not', async (t) => {
  const [open, strict] = await withSites(
    t,
    [{ 'content-security-policy': STRICT.replace("worker-src 'self'", 'worker-src blob:') }],
    [{ 'content-security-policy': STRICT }],
  );
  const inside = await visit(open, '/dist/inline.js');
  assert.deepEqual([inside.hash, inside.worker], [expected.sha256, true]);
  const outside = await visit(strict, '/dist/inline.js');
  assert.deepEqual([outside.hash, outside.worker], [expected.sha256, false]);
  assert.match(outside.reason, /^Workers do not start here: /);
  const own = await visit(strict, '/dist/inline.js', { workerUrl: '/dist/worker.js' });
  assert.deepEqual([own.hash, own.worker], [expected.sha256, true]);
});
