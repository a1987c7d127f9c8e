// The small server of the pages: its own folder and nothing else, on this machine, with a policy.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { servePages } from '../../web/pages/serve.mjs';
import { root, temporary } from './support.mjs';

/** A request as it is written: fetch() would tidy the path. */
async function raw(url, line) {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  let text = '';
  socket.setEncoding('utf8').on('data', (data) => (text += data));
  socket.end(`${line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
  await once(socket, 'close');
  return text;
}

test('serves files with their types, a folder by its index, and nothing else', async (t) => {
  const folder = temporary(t);
  const inside = join(folder, 'inside');
  mkdirSync(join(inside, 'demo'), { recursive: true });
  mkdirSync(join(inside, 'empty'));
  mkdirSync(`${inside}-beside`);
  writeFileSync(join(inside, 'demo', 'index.html'), '<p>demo');
  writeFileSync(join(inside, 'engine.wasm'), 'wasm');
  writeFileSync(join(folder, 'secret.txt'), 'secret');
  writeFileSync(join(`${inside}-beside`, 'secret.txt'), 'secret');
  const server = await servePages({ folder: inside });
  t.after(() => server.close());

  const get = (path, options) => fetch(server.url + path, { redirect: 'manual', ...options });
  const page = await get('/demo/');
  assert.equal(page.status, 200);
  assert.equal(await page.text(), '<p>demo');
  assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8');
  assert.match(page.headers.get('content-security-policy'), /script-src 'self' 'wasm-unsafe-eval'.*connect-src 'self'/);
  assert.equal(page.headers.get('x-content-type-options'), 'nosniff');
  assert.equal((await get('/engine.wasm')).headers.get('content-type'), 'application/wasm');
  assert.equal((await get('/')).headers.get('location'), '/demo/');
  assert.equal((await get('/demo')).headers.get('location'), '/demo/');
  assert.equal((await get('/demo/', { method: 'HEAD' })).headers.get('content-length'), '7');
  assert.equal((await get('/demo/', { method: 'POST' })).status, 405);
  for (const path of ['/empty/', '/empty', '/nothing', '/%00', '/%ff']) assert.equal((await get(path)).status, 404, path);
  for (const path of ['/../secret.txt', '/%2e%2e/secret.txt', '/..%2fsecret.txt', '/../inside-beside/secret.txt', '//../secret.txt']) {
    const answer = await raw(server.url, `GET ${path}`);
    assert.match(answer, /^HTTP\/1.1 404 /, path);
    assert.doesNotMatch(answer, /secret$/);
  }
  assert.match(await raw(server.url, 'GET //'), /^HTTP\/1.1 400 /);
  // It still stands.
  assert.equal((await get('/demo/')).status, 200);
});

test('listens on this machine only', async (t) => {
  const server = await servePages({ folder: temporary(t) });
  t.after(() => server.close());
  const { port } = new URL(server.url);
  assert.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 404);
  const others = Object.values(networkInterfaces()).flat().filter(({ internal, family }) => !internal && family === 'IPv4');
  for (const { address } of others) {
    const socket = connect(Number(port), address);
    await assert.rejects(once(socket, 'connect'), { code: 'ECONNREFUSED' });
  }
});

test('a port that is none, or an option that is unknown, is one line and exit 2', () => {
  for (const args of [['--port', 'abc'], ['--port', '99999'], ['--port', ''], ['--nope']]) {
    const { status, stderr } = spawnSync(process.execPath, [join(root, 'web', 'pages', 'serve.mjs'), ...args], { encoding: 'utf8', timeout: 20_000 });
    assert.equal(status, 2, stderr);
    assert.match(stderr, /^ERROR: [^\n]+\n$/);
  }
});
