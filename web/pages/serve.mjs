// A small static server for the pages, on this machine only.
//
//   node web/pages/serve.mjs [--port 8080] [--dir build/pages]
import { createReadStream, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, extname, join, normalize, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.webmanifest': 'application/manifest+json',
  '.wasm': 'application/wasm',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.txt': 'text/plain; charset=utf-8',
};

/** Scripts, styles and workers of the page's own place, pictures that a document carries itself, and nothing else. */
export const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "connect-src 'self'",
  "worker-src 'self'",
  "manifest-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const HEADERS = {
  'content-security-policy': POLICY,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  // Asked for again each time: what is built is seen at the next load.
  'cache-control': 'no-cache',
};

/** The path of a request as it was written; undefined for what is none. */
function pathOf(url) {
  try {
    return new URL(url, 'http://localhost').pathname;
  } catch {
    return undefined;
  }
}

/** The file that a request is for, `undefined` for none; a folder's is its index.html. Nothing outside `folder`. */
function fileFor(folder, url) {
  let path;
  try {
    path = decodeURIComponent(new URL(url, 'http://localhost').pathname);
  } catch {
    return undefined;
  }
  if (path.includes('\0')) return undefined;
  const file = join(folder, normalize(path.endsWith('/') ? `${path}index.html` : path));
  if (!file.startsWith(join(folder, sep))) return undefined;
  return statSync(file, { throwIfNoEntry: false })?.isFile() ? file : undefined;
}

/** Serves `folder` on 127.0.0.1; port 0 takes a free one. */
export async function servePages({ folder, port = 0 }) {
  const server = createServer((request, response) => {
    const say = (status, headers, body = '') => response.writeHead(status, { ...HEADERS, 'content-type': 'text/plain; charset=utf-8', ...headers }).end(body);
    const { method, url } = request;
    if (method !== 'GET' && method !== 'HEAD') {
      say(405, { allow: 'GET, HEAD' });
      return;
    }
    const pathname = pathOf(url);
    if (pathname === undefined) {
      say(400, {}, 'This is no path.\n');
      return;
    }
    if (pathname === '/') {
      say(302, { location: '/demo/' });
      return;
    }
    const file = fileFor(folder, url);
    if (file === undefined) {
      // A page without its slash would find none of its files.
      if (fileFor(folder, `${pathname}/`) !== undefined) say(308, { location: `${pathname.replace(/^\/+/, '/')}/` });
      else say(404, {}, `${pathname}: no such file\n`);
      return;
    }
    response.writeHead(200, {
      ...HEADERS,
      'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
      'content-length': statSync(file).size,
    });
    if (method === 'HEAD') response.end();
    else createReadStream(file).on('error', () => response.destroy()).pipe(response);
  });
  await new Promise((resolve, reject) => {
    server.once('error', reject).listen(port, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const fail = (message) => {
    console.error(`ERROR: ${message}`);
    process.exit(2);
  };
  const options = { port: { type: 'string', default: '8080' }, dir: { type: 'string', default: join(root, 'build', 'pages') } };
  let values;
  try {
    ({ values } = parseArgs({ options }));
  } catch (error) {
    fail(error.message);
  }
  if (!/^\d{1,5}$/.test(values.port) || Number(values.port) > 65535) fail(`--port: expected 0 to 65535, found ${JSON.stringify(values.port)}`);
  const { url } = await servePages({ folder: values.dir, port: Number(values.port) });
  console.log(`Demo:   ${url}/demo/\nReader: ${url}/reader/\nCtrl+C ends it.`);
}
