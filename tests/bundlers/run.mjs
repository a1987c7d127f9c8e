// Every example as a newcomer would have it: npm pack, a copy of its folder, npm install of the packed package, its build,
// and then it speaks, in Chromium where it is a page: the samples are those of every other host (tests/hosts).
//   node tests/bundlers/run.mjs [NAME...]        needs dist (make web)
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { CHROMIUM_FLAGS, TYPES } from '../browser/common.mjs';
import { root, sha256 } from '../node/support.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const hosts = (name) => JSON.parse(readFileSync(join(root, 'tests', 'hosts', name), 'utf8'));
const { text } = hosts('requests.json').requests.find(({ name }) => name === 'starter-q8');
const expected = hosts('expected.json')['starter-q8'];

/** No eval, and no script but files of the site; blob: is what the page plays, which this reads. */
const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self' blob:; media-src blob:";

/** A command in a folder, its output shown only when it fails. */
function run(folder, command, ...args) {
  try {
    return execFileSync(command, args, {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1', CI: '1' },
    });
  } catch (error) {
    throw new Error(`${command} ${args.join(' ')}: ${error.stdout ?? ''}${error.stderr ?? error.message}`, { cause: error });
  }
}

/** Serves a folder; what `change` makes of a text is sent. Without `packages`, what is only in node_modules is not there. */
async function serve(folder, { headers = {}, packages = false, change = (body) => body } = {}) {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    const path = decodeURIComponent(pathname.endsWith('/') ? `${pathname}index.html` : pathname);
    const file = join(folder, path);
    if (pathname === '/favicon.ico') response.writeHead(204).end();
    else if ((!packages && path.includes('node_modules')) || !existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('no such file');
    } else {
      const body = readFileSync(file);
      response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream', ...headers });
      response.end(extname(file) === '.html' ? change(body.toString('utf8')) : body);
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/** A server of the example's own, started with a free port; `close` ends it. */
async function start(folder, script, ...args) {
  const free = await serve(folder);
  free.close();
  const { port } = new URL(free.url);
  const child = spawn(process.execPath, [join(folder, script), ...args, '--port', port], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1' },
  });
  let said = '';
  child.stdout.on('data', (bytes) => (said += String(bytes)));
  child.stderr.on('data', (bytes) => (said += String(bytes)));
  const ended = new Promise((resolve) => child.on('exit', resolve));
  const url = `http://127.0.0.1:${port}`;
  for (let i = 0; ; i++) {
    if ((await fetch(url).catch(() => undefined))?.ok) break;
    if (child.exitCode !== null || i === 300) throw new Error(`${script} does not answer: ${said}`);
    await setTimeout(200);
  }
  return {
    url,
    close: async () => {
      child.kill();
      await ended;
    },
  };
}

/** A WAV file of the package holds the expected samples, and 200 ms of silence. */
function check(wav) {
  const samples = wav.subarray(44, -9600);
  assert.equal(samples.length / 2 / 1920, expected.frames, 'frames');
  assert.equal(sha256(samples), expected.sha256, 'samples');
}

/** Speaks with the page of an example; `worker`: whether it is to have one. */
async function speak(context, url, { worker = true } = {}) {
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => {
    // Browsers ask for an icon of every site by themselves.
    if (message.location().url.endsWith('/favicon.ico')) return;
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('requestfailed', (request) => complaints.push(`${request.url()}: ${request.failure()?.errorText}`));
  page.on('response', (response) => {
    if (response.status() >= 400) complaints.push(`${response.url()}: ${response.status()}`);
  });
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  try {
    await page.goto(url, { waitUntil: 'networkidle' });
    assert.deepEqual(asked.filter((name) => /\.(wasm|safetensors|model)\b/.test(name)), [], 'fetched before it is used');
    const status = page.locator('[role=status]');
    const ended = async (form) => {
      for (let i = 0; i < 600; i++) {
        const said = (await status.textContent()) ?? '';
        if (form.test(said) || said.startsWith('Failed')) return said;
        await setTimeout(100);
      }
      return 'it did not end';
    };
    await page.locator('[name=text]').fill(text);
    await page.locator('[name=wav]').click();
    const said = await ended(/^Done: \d/);
    assert.match(said, worker ? /^Done: .* in a worker$/ : /^Done: .* without a worker$/, complaints.join('\n'));
    const wav = await page.evaluate(async () => {
      const bytes = new Uint8Array(await (await fetch(document.querySelector('audio').src)).arrayBuffer());
      return bytes.reduce((all, byte) => all + String.fromCharCode(byte), '');
    });
    check(Buffer.from(wav, 'latin1'));
    assert.ok(asked.some((name) => name.includes('.safetensors')), 'where the voice came from');
    await page.locator('[name=text]').fill('Yes.');
    await page.locator('[name=play]').click();
    assert.equal(await ended(/^Done: played$/), 'Done: played');
    assert.deepEqual(complaints, []);
    return page;
  } catch (error) {
    if (complaints.length > 0) error.message += `\nThe page complained:\n${complaints.join('\n')}`;
    throw error;
  }
}

let browser;

/** A browser's window of its own for `body`. */
async function inChromium(body) {
  browser ??= await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_FLAGS });
  const context = await browser.newContext();
  try {
    await body(context);
  } finally {
    await context.close();
  }
}

/** A built site speaks under the policy, without anything that is only in node_modules. */
async function site(folder, options) {
  const server = await serve(folder, { headers: { 'content-security-policy': POLICY } });
  try {
    await inChromium((context) => speak(context, server.url, options));
  } finally {
    server.close();
  }
}

async function ownServer(folder, [script, ...args], more = async () => undefined) {
  const server = await start(folder, script, ...args);
  try {
    await inChromium((context) => speak(context, server.url));
    await more(server.url);
  } finally {
    await server.close();
  }
}

/** What each example does when it is installed and built. */
const EXAMPLES = {
  async vite(folder) {
    await site(join(folder, 'dist'));
    await ownServer(folder, ['node_modules/vite/bin/vite.js', '--host', '127.0.0.1', '--strictPort']);
  },
  webpack: site,
  rollup: site,
  esbuild: site,
  async next(folder) {
    const speaking = () =>
      ownServer(folder, ['node_modules/next/dist/bin/next', 'start', '--hostname', '127.0.0.1'], async (url) => {
        // And on the server.
        const answer = await fetch(`${url}/api/speak`, { method: 'POST', body: text });
        assert.equal(answer.status, 200);
        check(Buffer.from(await answer.arrayBuffer()));
      });
    // As Turbopack builds it, then as webpack does.
    await speaking();
    run(folder, 'npm', 'run', '--silent', 'build:webpack');
    await speaking();
  },
  async cdn(folder) {
    // Two sites: the page's, and one with the files of the package as npm has them.
    const cdn = await serve(join(folder, 'node_modules'), { packages: true, headers: { 'access-control-allow-origin': '*' } });
    const change = (body) => body.replace(/https:\/\/cdn\.example\/pocket-tts-wasm@[^/]+/, `${cdn.url}/pocket-tts-wasm`);
    const home = await serve(folder, { packages: true, change });
    try {
      await inChromium((context) => speak(context, home.url));
      await inChromium((context) => speak(context, `${home.url}/own-site.html`));
    } finally {
      home.close();
      cdn.close();
    }
  },
  async node(folder) {
    run(folder, 'npm', 'start', '--silent', '--', text, 'spoken.wav');
    check(readFileSync(join(folder, 'spoken.wav')));
  },
  async extension(folder) {
    const context = await chromium.launchPersistentContext(mkdtempSync(join(folder, 'profile-')), {
      executablePath: CHROMIUM,
      headless: true,
      args: [...CHROMIUM_FLAGS, `--disable-extensions-except=${folder}`, `--load-extension=${folder}`],
      ignoreDefaultArgs: ['--disable-extensions'],
    });
    try {
      const background = context.serviceWorkers()[0] ?? (await context.waitForEvent('serviceworker', { timeout: 20000 }));
      const page = await speak(context, new URL('popup.html', background.url()).href);
      // The same in the background, which has no workers.
      const answer = await page.evaluate((said) => globalThis.chrome.runtime.sendMessage({ text: said }), text);
      assert.equal(answer.error, undefined);
      assert.equal(answer.worker, false);
      assert.equal(answer.samples.length / 1920, expected.frames);
    } finally {
      await context.close();
    }
  },
};

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(EXAMPLES);
const unknown = names.filter((name) => !Object.hasOwn(EXAMPLES, name));
assert.deepEqual(unknown, [], `Examples: ${Object.keys(EXAMPLES).join(', ')}`);

const work = mkdtempSync(join(tmpdir(), 'pocket-tts-bundlers-'));
let failed = 0;
try {
  run(root, 'npm', 'pack', '--ignore-scripts', '--pack-destination', work);
  const [packed] = readdirSync(work);
  for (const name of names) {
    const begin = performance.now();
    const folder = join(work, name);
    cpSync(join(here, name), folder, { recursive: true, filter: (path) => !/\/(node_modules|dist|\.next)$/.test(path) });
    try {
      run(folder, 'npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', join(work, packed));
      const { scripts = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
      for (const script of ['build', 'check']) if (scripts[script] !== undefined) run(folder, 'npm', 'run', '--silent', script);
      const built = performance.now();
      await EXAMPLES[name](folder);
      const seconds = (from, to) => ((to - from) / 1000).toFixed(1);
      console.log(`${name}: speaks (installed and built in ${seconds(begin, built)} s, spoken in ${seconds(built, performance.now())} s)`);
    } catch (error) {
      failed++;
      console.error(`${name}: ${error.message}`);
    }
    rmSync(folder, { recursive: true, force: true });
  }
} finally {
  await browser?.close();
  rmSync(work, { recursive: true, force: true });
}
process.exitCode = failed === 0 ? 0 : 1;
