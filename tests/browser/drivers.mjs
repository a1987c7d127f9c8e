// One seam for three browsers, as Debian ships them: Chromium through playwright-core, Firefox ESR through puppeteer-core
// (WebDriver BiDi), WebKitGTK's MiniBrowser through WebKitWebDriver and plain fetch.
//
//   const browser = await launch('webkit');
//   const page = await browser.open(url);
//   await page.evaluate((a, b) => a + b, 1, 2);      // runs in the page, awaits promises, JSON both ways
//   await page.click('button'); await page.type('textarea', 'Hello.'); await page.press('ArrowRight');
//   await page.complaints();                         // warnings and errors of the console, uncaught errors
//   await page.close(); await browser.close();
//
// Pages of one browser share its storage. Firefox and WebKit want something to play sound on: a null sink of PulseAudio;
// WebKit also wants a display: Xvfb.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CHROMIUM_FLAGS } from './common.mjs';

/** The browsers that a spec runs in; BROWSERS=chromium,webkit chooses. */
export const BROWSERS = (process.env.BROWSERS ?? 'chromium,firefox,webkit').split(',');

/** How long a page may take for one thing, in milliseconds: generous, nothing here is timed. */
const PATIENCE = 120_000;
/** How long a browser may take for one command. */
const COMMAND = 60_000;
const KEYS = { ArrowLeft: '\ue012', ArrowUp: '\ue013', ArrowRight: '\ue014', ArrowDown: '\ue015', Enter: '\ue007', Escape: '\ue00c', Tab: '\ue004', Space: ' ' };

/** Polls `condition` in a page until it is truthy, and returns what it gave. */
async function waitFor(page, condition, args) {
  for (const end = Date.now() + PATIENCE; ; ) {
    // A page that goes on to another takes the question with it, and now and then nobody says so.
    const found = await Promise.race([page.evaluate(condition, ...args), sleep(5000)]).catch((error) => {
      if (Date.now() > end) throw error;
    });
    if (found) return found;
    if (Date.now() > end) throw new Error(`${page.browser}: waited ${PATIENCE / 1000} s for ${condition}\n${(await page.complaints()).join('\n')}`);
    await sleep(50);
  }
}

/** The same page, each of whose commands ends in time, or fails by its name. */
function limited(page) {
  const named = ([name, command]) => [
    name,
    async (...args) => {
      const late = new AbortController();
      const limit = sleep(COMMAND, undefined, { signal: late.signal }).then(() => {
        throw new Error(`${page.browser}: ${name}(${args.join(', ').slice(0, 200)}) did not end in ${COMMAND / 1000} s`);
      });
      try {
        return await Promise.race([command(...args), limit]);
      } finally {
        limit.catch(() => undefined);
        late.abort();
      }
    },
  ];
  const commands = Object.entries(page).filter(([, value]) => typeof value === 'function');
  const same = { ...page, ...Object.fromEntries(commands.map(named)) };
  same.waitFor = (condition, ...args) => waitFor(same, condition, args);
  return same;
}

function program(name, variable, fallbacks) {
  const found = [process.env[variable], ...fallbacks].find((path) => path !== undefined && existsSync(path));
  if (found === undefined) throw new Error(`${name} is missing: scripts/setup.sh --tests installs it, or set ${variable}`);
  return found;
}

/** A child process that ends with its browser. */
function start(command, args, options) {
  const child = spawn(command, args, { stdio: 'ignore', ...options });
  const gone = new Promise((resolve) => child.once('exit', resolve).once('error', resolve));
  return {
    child,
    gone,
    async stop() {
      child.kill();
      await Promise.race([gone, sleep(3000)]);
      child.kill('SIGKILL');
      await gone;
    },
  };
}

/** A sound server whose sink is silence: the variables by which programs find it. */
async function nullSink(folder) {
  const socket = join(folder, 'pulse', 'native');
  const env = { ...process.env, XDG_RUNTIME_DIR: folder, HOME: folder };
  const server = start(
    program('PulseAudio', 'PULSEAUDIO', ['/usr/bin/pulseaudio']),
    ['--exit-idle-time=-1', '-n', '-L', 'module-native-protocol-unix', '-L', 'module-null-sink sink_name=null'],
    { env },
  );
  for (let i = 0; !existsSync(socket); i++) {
    if (i > 200 || server.child.exitCode !== null) throw new Error('PulseAudio does not start');
    await sleep(50);
  }
  return { env: { ...env, PULSE_SERVER: `unix:${socket}` }, stop: server.stop };
}

/** A page of Playwright or Puppeteer, which share most names; `own` is what they do not. */
async function opened(browser, inner, url, own) {
  const complaints = [];
  inner.on('console', (message) => {
    if (['error', 'warn', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  inner.on('pageerror', (error) => complaints.push(String(error)));
  const page = limited({
    browser,
    complaints: () => Promise.resolve(complaints),
    inner,
    goto: (to) => inner.goto(to),
    reload: () => inner.reload(),
    evaluate: (what, ...args) => inner.evaluate(`(${what})(...${JSON.stringify(args)})`),
    click: (selector) => inner.click(selector),
    screenshot: (path, whole = false) => inner.screenshot({ path, fullPage: whole }),
    close: () => inner.close(),
    ...own,
  });
  await page.goto(url);
  return page;
}

async function chromium() {
  const { chromium: driver } = await import('playwright-core');
  const folder = mkdtempSync(join(tmpdir(), 'chromium-'));
  const context = await driver.launchPersistentContext(folder, {
    executablePath: program('Chromium', 'CHROMIUM', ['/usr/bin/chromium']),
    args: CHROMIUM_FLAGS,
    viewport: { width: 1280, height: 800 },
  });
  return {
    context,
    async open(url) {
      const inner = await context.newPage();
      return opened('chromium', inner, url, {
        type: (selector, text) => inner.locator(selector).pressSequentially(text),
        press: (key) => inner.keyboard.press(key),
        upload: (selector, path) => inner.setInputFiles(selector, path),
        viewport: (width, height) => inner.setViewportSize({ width, height }),
        scheme: (colorScheme) => inner.emulateMedia({ colorScheme }),
      });
    },
    async close() {
      await context.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function firefox() {
  const { default: puppeteer } = await import('puppeteer-core');
  const folder = mkdtempSync(join(tmpdir(), 'firefox-'));
  const sink = await nullSink(folder);
  let browser;
  try {
    browser = await puppeteer.launch({
      browser: 'firefox',
      executablePath: program('Firefox', 'FIREFOX', ['/usr/bin/firefox-esr', '/usr/bin/firefox']),
      headless: true,
      env: sink.env,
      protocolTimeout: COMMAND,
      defaultViewport: { width: 1280, height: 800 },
      // Sound without a click, as the other two have it here.
      extraPrefsFirefox: { 'media.autoplay.default': 0 },
    });
  } catch (error) {
    await sink.stop();
    throw error;
  }
  return {
    async open(url) {
      const inner = await browser.newPage();
      return opened('firefox', inner, url, {
        type: (selector, text) => inner.type(selector, text),
        press: (key) => inner.keyboard.press(key === 'Space' ? ' ' : key),
        async upload(selector, path) {
          const input = await inner.$(selector);
          await input.uploadFile(path);
          // This ESR sets the files and tells nobody.
          await input.evaluate((element) => element.dispatchEvent(new self.Event('change', { bubbles: true })));
        },
        viewport: (width, height) => inner.setViewport({ width, height }),
      });
    },
    async close() {
      await browser.close();
      await sink.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

function miniBrowser() {
  const library = '/usr/lib/x86_64-linux-gnu';
  const folders = existsSync(library) ? readdirSync(library).filter((name) => name.startsWith('webkit2gtk-4')) : [];
  return program('MiniBrowser of WebKitGTK', 'MINIBROWSER', folders.map((name) => join(library, name, 'MiniBrowser')));
}

/**
 * In the page: keeps what it complains of. WebDriver hears nothing of a console, and runs nothing before a page's own
 * scripts: what is said while a page loads is heard in the other two only.
 */
function LISTEN() {
  const heard = (self.heard = []);
  for (const level of ['error', 'warn']) {
    const say = console[level];
    console[level] = (...args) => {
      heard.push(args.map(String).join(' '));
      say.apply(console, args);
    };
  }
  self.addEventListener('error', (event) => heard.push(String(event.message ?? event.type)));
  self.addEventListener('unhandledrejection', (event) => heard.push(String(event.reason)));
  self.addEventListener('securitypolicyviolation', (event) => heard.push(`${event.violatedDirective}: ${event.blockedURI}`));
}

const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf';

async function webkit() {
  const folder = mkdtempSync(join(tmpdir(), 'webkit-'));
  const running = [];
  const close = async () => {
    for (const one of running.reverse()) await one.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const sink = await nullSink(folder);
    running.push(sink);
    const display = start(program('Xvfb', 'XVFB', ['/usr/bin/Xvfb']), ['-displayfd', '3', '-screen', '0', '1400x1000x24', '-nolisten', 'tcp'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    });
    running.push(display);
    const [number] = await Promise.race([once(display.child.stdio[3], 'data'), display.gone.then(() => [])]);
    if (number === undefined) throw new Error('Xvfb does not start');
    const port = await freePort();
    const driver = start(program('WebKitWebDriver', 'WEBKIT_DRIVER', ['/usr/bin/WebKitWebDriver']), [`--port=${port}`], {
      env: { ...sink.env, DISPLAY: `:${String(number).trim()}`, GDK_BACKEND: 'x11', NO_AT_BRIDGE: '1' },
    });
    running.push(driver);
    const call = async (method, path, body) => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, {
        method,
        headers: { 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const { value } = await response.json();
      if (!response.ok) throw new Error(`webkit: ${method} ${path}: ${value?.error}: ${value?.message}`);
      return value;
    };
    for (let i = 0; ; i++) {
      if (await call('GET', '/status').then(({ ready }) => ready, () => false)) break;
      if (i > 200) throw new Error('WebKitWebDriver does not start');
      await sleep(50);
    }
    const { sessionId } = await call('POST', '/session', {
      capabilities: {
        alwaysMatch: {
          'webkitgtk:browserOptions': {
            binary: miniBrowser(),
            args: ['--automation', '--autoplay-policy=allow'],
          },
          timeouts: { script: COMMAND, pageLoad: COMMAND },
        },
      },
    });
    const session = `/session/${sessionId}`;
    const post = (path, body = {}) => call('POST', session + path, body);
    const element = async (selector) => (await post('/element', { using: 'css selector', value: selector }))[ELEMENT];
    let first = true;
    return {
      async open(url) {
        // The window that is there, then others; WebDriver talks to one at a time.
        const { handle } = first ? { handle: await call('GET', `${session}/window`) } : await post('/window/new', { type: 'tab' });
        first = false;
        const here = async (path, body) => {
          await post('/window', { handle });
          return post(path, body);
        };
        const complaints = [];
        /** Before a page goes, and when it is asked for: what LISTEN heard. */
        const collect = async () => complaints.push(...((await page.evaluate(() => self.heard?.splice(0))) ?? []));
        const move = async (path, body) => {
          await collect();
          await here(path, body);
          await page.evaluate(LISTEN);
        };
        const page = limited({
          browser: 'webkit',
          complaints: async () => {
            await collect();
            return complaints;
          },
          goto: (to) => move('/url', { url: to }),
          reload: () => move('/refresh'),
          async evaluate(what, ...args) {
            const script = `const done = arguments[arguments.length - 1]; (async () => (${what})(...${JSON.stringify(args)}))().then((value) => done({ value }), (error) => done({ error: String(error) + ' ' + error?.stack }));`;
            const { value, error } = await here('/execute/async', { script, args: [] });
            if (error !== undefined) throw new Error(`webkit: ${error}`);
            return value;
          },
          async click(selector) {
            await post('/window', { handle });
            await post(`/element/${await element(selector)}/click`);
          },
          async type(selector, text) {
            await post('/window', { handle });
            await post(`/element/${await element(selector)}/value`, { text });
          },
          press: (key) =>
            here('/actions', {
              actions: [
                { type: 'key', id: 'keys', actions: ['keyDown', 'keyUp'].map((type) => ({ type, value: KEYS[key] ?? key })) },
              ],
            }),
          upload: (selector, path) => page.type(selector, path),
          async viewport(width, height) {
            // The size of a window is set, with its bars.
            const outer = await here('/window/rect', { width, height: height + 100 });
            const inner = await page.evaluate(() => ({ width: self.innerWidth, height: self.innerHeight }));
            await here('/window/rect', { width: outer.width + width - inner.width, height: outer.height + height - inner.height });
          },
          async screenshot(path) {
            await post('/window', { handle });
            writeFileSync(path, await call('GET', `${session}/screenshot`), 'base64');
          },
          async close() {
            await post('/window', { handle });
            // The last window would take the session with it.
            if ((await call('GET', `${session}/window/handles`)).length === 1) {
              await post('/url', { url: 'about:blank' });
              first = true;
            } else await call('DELETE', `${session}/window`);
          },
        });
        await page.goto(url);
        return page;
      },
      async close() {
        await call('DELETE', session).catch(() => undefined);
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Starts a browser with storage of its own that goes when it is closed. */
export function launch(name) {
  if (name === 'chromium') return chromium();
  if (name === 'firefox') return firefox();
  if (name === 'webkit') return webkit();
  throw new Error(`BROWSERS: expected chromium, firefox or webkit, found ${name}`);
}
