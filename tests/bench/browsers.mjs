// Chromium and Firefox for the benchmark: a server of the repository's files and one job in one page of a fresh browser.
import { execFileSync, spawn } from 'node:child_process';
import { createReadStream, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { extname, join, normalize } from 'node:path';
import { CHROMIUM_FLAGS, TYPES } from '../browser/common.mjs';

const FLAGS = [...CHROMIUM_FLAGS, '--enable-precise-memory-info'];
// A page that nobody looks at gets less of a machine.
const FOREGROUND = ['--disable-renderer-backgrounding', '--disable-background-timer-throttling', '--disable-backgrounding-occluded-windows'];
// Always the same: what a browser keeps (compiled code) belongs to an origin.
const PORT = 47613;
const PAGE_LIMIT_MS = 600_000;

export const PROGRAMS = {
  chromium: process.env.CHROMIUM ?? '/usr/bin/chromium',
  firefox: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
};

/** The reason why a browser cannot be used, or undefined. */
export function missing(host) {
  return existsSync(PROGRAMS[host]) ? undefined : `${PROGRAMS[host]} is missing`;
}

/**
 * Serves `mounts` (URL folder -> folder) under / and, with the headers that shared memory needs, under /isolated/.
 * `measured()` answers requests for /measured; `finished` gets what is posted to /result.
 */
async function serve(mounts, measured, finished) {
  const server = createServer((request, response) => {
    let path = normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname));
    const headers = {};
    if (path.startsWith('/isolated/')) {
      path = path.slice('/isolated'.length);
      headers['cross-origin-opener-policy'] = 'same-origin';
      headers['cross-origin-embedder-policy'] = 'require-corp';
    }
    if (path === '/measured') {
      response.writeHead(200, { ...headers, 'content-type': TYPES['.json'] }).end(JSON.stringify(measured()));
      return;
    }
    if (path === '/result') {
      const parts = [];
      request.on('data', (part) => parts.push(part));
      request.on('end', () => {
        response.writeHead(204, headers).end();
        finished(JSON.parse(Buffer.concat(parts).toString()));
      });
      return;
    }
    const mount = Object.keys(mounts).find((name) => path.startsWith(`/${name}/`));
    const file = mount === undefined ? undefined : join(mounts[mount], path.slice(mount.length + 2));
    if (file === undefined || !file.startsWith(mounts[mount]) || !existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404, headers).end();
      return;
    }
    const { size, mtimeMs } = statSync(file);
    const etag = `"${size}-${mtimeMs}"`;
    if (request.headers['if-none-match'] === etag) {
      response.writeHead(304, { ...headers, etag }).end();
      return;
    }
    response.writeHead(200, {
      ...headers,
      'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
      'content-length': size,
      // Code is kept while it is the same, with what was compiled of it; weights by who asks for them, or not.
      'cache-control': /\.(mjs|js|wasm)$/.test(file) ? 'no-cache' : 'no-store',
      etag,
    });
    createReadStream(file, { highWaterMark: 1 << 20 }).pipe(response);
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(PORT, '127.0.0.1', resolve));
  return server;
}

/** Peak resident memory of the processes below `root` whose command line has `pattern`: of the largest of them. */
function peakBelow(root, pattern) {
  const parents = new Map();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      parents.set(pid, /^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
    } catch { /* it has ended */ }
  }
  const below = (pid) => pid === String(root) || (parents.has(pid) && parents.get(pid) !== '0' && below(parents.get(pid)));
  let peak = 0;
  for (const pid of parents.keys()) {
    try {
      if (!below(pid) || !pattern.test(readFileSync(`/proc/${pid}/cmdline`, 'latin1'))) continue;
      peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024);
    } catch { /* it has ended */ }
  }
  if (peak === 0) throw new Error(`no process of the browser matches ${pattern}`);
  return peak;
}

/** Starts a browser with a page: { ended, close(), peak(), version() }. */
async function start(host, url, profile, modules) {
  mkdirSync(profile, { recursive: true });
  if (host === 'chromium') {
    // Nothing is attached to it: a debugger keeps copies of what a page fetches, in the page's process.
    const args = ['--headless=new', ...FLAGS, ...FOREGROUND, '--no-default-browser-check', `--user-data-dir=${profile}`, url];
    const child = spawn(PROGRAMS.chromium, args, { stdio: 'ignore' });
    const ended = new Promise((resolve) => {
      child.once('exit', resolve).once('error', resolve);
    });
    return {
      ended,
      version: () => /[\d.]+/.exec(execFileSync(PROGRAMS.chromium, ['--version'], { encoding: 'utf8' }))?.[0] ?? '',
      close: async () => {
        child.kill();
        await ended;
      },
      peak: () => peakBelow(child.pid, /--type=renderer/),
    };
  }
  const puppeteer = await import(createRequire(join(modules, 'x.js')).resolve('puppeteer-core'));
  const browser = await puppeteer.default.launch({
    browser: 'firefox',
    executablePath: PROGRAMS.firefox,
    headless: true,
    extraPrefsFirefox: { 'privacy.reduceTimerPrecision': false }, // else clocks step by 1 ms
    userDataDir: profile,
    protocolTimeout: PAGE_LIMIT_MS,
  });
  const page = await browser.newPage();
  await page.goto(url);
  return {
    ended: new Promise((resolve) => {
      browser.once('disconnected', resolve);
    }),
    version: () => browser.version(),
    close: () => browser.close(),
    peak: () => peakBelow(browser.process().pid, /-contentproc[^]*\btab\b/),
  };
}

/** Runs a job in a fresh browser. `profile` keeps what browsers keep from one start to the next: compiled code. */
export async function runInBrowser(job, { mounts, profile, modules }) {
  let browser;
  let finished;
  const finish = new Promise((resolve) => {
    finished = resolve;
  });
  const server = await serve(mounts, () => ({ peak_bytes: browser.peak() }), finished);
  let timer;
  try {
    const isolated = job.engine === 'onnxruntime-web' && job.threads > 1 ? '/isolated' : '';
    const url = `http://127.0.0.1:${server.address().port}${isolated}/tests/bench/page.html?job=${encodeURIComponent(JSON.stringify({ ...job, pack: `${isolated}/packs/${job.packFolder}` }))}`;
    browser = await start(job.host, url, profile, modules);
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, PAGE_LIMIT_MS, { error: `${job.host}: the page did not finish` });
    });
    const gone = browser.ended.then(() => ({ error: `${job.host} ended before the page did` }));
    const result = await Promise.race([finish, late, gone]);
    if (result.error !== undefined) throw new Error(result.error);
    return { ...result, versions: { [job.host]: await browser.version() } };
  } finally {
    clearTimeout(timer);
    await browser?.close();
    server.close();
    server.closeAllConnections();
  }
}
