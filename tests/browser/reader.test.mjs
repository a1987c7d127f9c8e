// The reader and the demo from end to end in every browser: kept at the first visit, then with the server stopped for good.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { addServiceWorker, buildPages } from '../../web/pages/build.mjs';
import { servePages } from '../../web/pages/serve.mjs';
import { root } from '../node/support.mjs';
import { BROWSERS, launch } from './drivers.mjs';

const axe = readFileSync(join(root, 'node_modules', 'axe-core', 'axe.min.js'), 'utf8');
const patient = { timeout: 240_000 };

/** 50 KB of Markdown. */
function longArticle() {
  let text = '# The long article\n\n';
  for (let part = 1; text.length < 50_000; part++) {
    text += `## Part ${part}\n\n`;
    for (let line = 1; line <= 3; line++) {
      text += `This is line ${line} of *part ${part}*. It is short, and **plain**. Then [one more](https://example.com/${part}) ends it!\n\n`;
    }
  }
  return text;
}

/** HTML that would run something, fetch something or dress itself up. */
const HOSTILE = `<!doctype html><title>Hostile</title><body onload="self.broken=1"><nav>Menu</nav><main>
<h1 id="play" class="now" style="color:red">A hostile page</h1>
<script>self.broken = 1</script><img src=x onerror="self.broken=1"><img src="http://127.0.0.1:9/a.png" alt="a boat">
<svg><script>self.broken=1</script><image href="http://127.0.0.1:9/b.png"/></svg><iframe srcdoc="<script>parent.broken=1</script>"></iframe>
<link rel=stylesheet href="http://127.0.0.1:9/c.css"><style>@import url(http://127.0.0.1:9/d.css)</style>
<video src="http://127.0.0.1:9/e.mp4" autoplay></video><object data="http://127.0.0.1:9/f"></object>
<p>A sentence with a <a href="javascript:self.broken=1" onclick="self.broken=1">bad link</a>. And
one with a <a href="https://example.com/" ping="http://127.0.0.1:9/g">good one</a>.</p>
<p style="background:url(http://127.0.0.1:9/h.png)">Last words.<img alt="dot" src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="></p>
<math><mtext><table><mglyph><style><img src=x onerror="self.broken=1"></style></mglyph></table></mtext></math></main>`;

/** All of it hidden, by what a saved page had open above it; letters that turn the order of others; nothing at all between letters; nested. */
const ODD = `<!doctype html><html hidden><meta charset=utf-16><meta http-equiv=refresh content="0;url=http://127.0.0.1:9/"><base href="http://127.0.0.1:9/">
<title>Odd \u202e one</title><body hidden aria-hidden=true><p>Still\0 <a href="/there">read</a>\u202e here.</p>${'<div>'.repeat(3000)}Deep.${'</div>'.repeat(3000)}<p>The end.`;

async function accessible(page, name) {
  await page.evaluate(`() => { ${axe}; self.axe = axe; }`);
  const found = await page.evaluate(async () => (await self.axe.run(document)).violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`));
  assert.deepEqual(found, [], name);
}

async function fits(page, name) {
  await page.viewport(320, 640);
  const [wide, inner] = await page.evaluate(() => [document.documentElement.scrollWidth, self.innerWidth]);
  assert.ok(wide <= Math.max(320, inner), `${name}: ${wide} px wide in a window of ${inner} px`);
  await page.viewport(1280, 800);
}

const shelfReady = (page) =>
  page.waitFor(() => document.documentElement.dataset.voice === 'ready' && document.documentElement.dataset.offline === 'ready');
const state = (page, wanted) => page.waitFor((wanted) => document.getElementById('controls').dataset.state === wanted, wanted);
const at = (page) => page.evaluate(() => Number(document.querySelector('.sentence.now').dataset.index));
/** Waits until the voice has come to a sentence behind `index`. */
const past = (page, index) => page.waitFor((index) => Number(document.querySelector('.sentence.now').dataset.index) > index, index);
/** Keeps where an arrow or a click has led to, and which sentences were marked from then on, one after the other. */
const listen = (page) =>
  page.evaluate(() => {
    const now = () => Number(document.querySelector('.sentence.now').dataset.index);
    self.marked = [];
    new self.MutationObserver(() => {
      if (self.marked.at(-1) !== now()) self.marked.push(now());
    }).observe(document.getElementById('article'), { subtree: true, attributeFilter: ['aria-current'] });
    // Behind the page's own listeners.
    const led = (event) => {
      if (event.type === 'keydown' && !event.key.startsWith('Arrow')) return;
      self.landed = now();
      self.marked = [];
    };
    self.addEventListener('keydown', led);
    self.addEventListener('click', led);
  });
/** Those since then: none left out from `first` on. */
async function inOrder(page, first) {
  const marked = await page.evaluate(() => self.marked.splice(0));
  assert.ok(marked.length > 1, 'nothing was read');
  assert.deepEqual(marked, Array.from(marked, (_, index) => first + index));
}
const visible = (page) =>
  page.evaluate(() => {
    const { top, bottom } = document.querySelector('.sentence.now').getBoundingClientRect();
    return top >= 0 && bottom <= document.getElementById('controls').getBoundingClientRect().top;
  });

let built;
before(async () => {
  built = mkdtempSync(join(tmpdir(), 'pages-'));
  await buildPages(join(built, 'pages'));
  writeFileSync(join(built, 'article.md'), longArticle());
  writeFileSync(join(built, 'hostile.html'), HOSTILE);
  writeFileSync(join(built, 'odd.html'), ODD);
  writeFileSync(join(built, 'notes.pdf'), 'Not read here.');
}, patient);
after(() => rmSync(built, { recursive: true, force: true }));

// Beside each other: most of it is what they read aloud, in real time.
describe('the pages', { concurrency: BROWSERS.length }, () => {
  for (const name of BROWSERS) describe(name, { concurrency: 1 }, () => readsIn(name));
});

function readsIn(name) {
  let browser;
  let server;
  let page;
  before(async () => {
    server = await servePages({ folder: join(built, 'pages') });
    browser = await launch(name);
  }, patient);
  after(async () => {
    await browser?.close();
    await server?.close();
  }, patient);

  test('demo: speaks, shows what it took, stops', patient, async () => {
    const demo = await browser.open(`${server.url}/demo/`);
    await demo.waitFor(() => !document.getElementById('speak').disabled);
    await accessible(demo, 'demo');
    await fits(demo, 'demo');
    await demo.click('#speak');
    await demo.waitFor(() => document.getElementById('status').textContent === 'Done.');
    const [first, factor, heard] = await demo.evaluate(() => [...document.querySelectorAll('dd')].map((each) => each.textContent));
    assert.match(first, /^\d+ ms$/);
    assert.match(factor, /^\d+\.\d×$/);
    assert.ok(parseFloat(heard) > 3, heard);
    // Something was drawn, in the colour of the accent.
    assert.ok(await demo.evaluate(() => {
      const canvas = document.getElementById('wave');
      return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0);
    }));
    await demo.click('#speak');
    await demo.waitFor(() => parseFloat(document.getElementById('heard').textContent) > 0.3);
    await demo.click('#stop');
    await demo.waitFor(() => document.getElementById('status').textContent === 'Stopped.');
    assert.deepEqual(await demo.complaints(), []);
    await demo.close();
  });

  test('reader: first visit, a file is opened and kept', patient, async () => {
    page = await browser.open(`${server.url}/reader/`);
    await shelfReady(page);
    if (name === 'chromium') {
      // The only one of the three that installs here; the others are covered by working offline.
      const session = await browser.context.newCDPSession(page.inner);
      assert.deepEqual((await session.send('Page.getInstallabilityErrors')).installabilityErrors, []);
      assert.deepEqual((await session.send('Page.getAppManifest')).errors, []);
    }
    await accessible(page, 'shelf');
    await fits(page, 'shelf');
    await page.upload('#file', join(built, 'notes.pdf'));
    await page.waitFor(() => document.getElementById('status').textContent === 'notes.pdf: expected a .txt, .md or .html file.');
    await page.upload('#file', join(built, 'article.md'));
    await page.waitFor(() => document.querySelectorAll('#article .sentence').length > 1000);
    assert.equal(await at(page), 0);
    // What was said of another file is no longer there.
    assert.equal(await page.evaluate(() => document.getElementById('status').textContent), '');
    await accessible(page, 'document');
    await fits(page, 'document');
    if (page.scheme !== undefined) {
      await page.scheme('dark');
      await accessible(page, 'document in the dark');
      await page.scheme('light');
    }
  });

  test('reader: hostile HTML is text, and fetches nothing', patient, async () => {
    await page.goto(`${server.url}/reader/#/`);
    await page.upload('#file', join(built, 'hostile.html'));
    await page.waitFor(() => document.querySelector('#article h1')?.textContent === 'A hostile page');
    const found = await page.evaluate(() => ({
      text: document.getElementById('article').textContent.replaceAll(/\s+/g, ' ').trim(),
      attributes: [...new Set([...document.querySelectorAll('#article *')].flatMap((each) => each.getAttributeNames()))].sort(),
      tags: [...new Set([...document.querySelectorAll('#article *')].map(({ tagName }) => tagName))].sort(),
      broken: self.broken === undefined,
      links: [...document.querySelectorAll('#article a')].map((link) => link.getAttribute('href')),
    }));
    assert.match(found.text, /^A hostile page \[a boat\] A sentence with a bad link\. And one with a good one\. Last words\./);
    assert.doesNotMatch(found.text, /Menu|self\.broken/);
    assert.deepEqual(found.attributes, ['alt', 'aria-current', 'class', 'data-index', 'href', 'rel', 'src', 'target']);
    assert.deepEqual(found.tags.filter((tag) => !['A', 'H1', 'IMG', 'P', 'SPAN', 'TABLE', 'TBODY'].includes(tag)), []);
    assert.deepEqual(found.links, [null, 'https://example.com/']);
    assert.ok(found.broken);
    // The parser of the sanitiser is under the policy as well, and reports what of its input it does not run. Nothing else is
    // said: no request was refused, and none was made.
    const others = (await page.complaints()).splice(0).filter((text) => !/inline (?:event handler|style)|(?:script-src|style-src)-(?:attr|elem)/.test(text));
    assert.deepEqual(others, []);
  });

  test('reader: a page that hides itself, wants to go elsewhere, and says what it is not', patient, async () => {
    await page.goto(`${server.url}/reader/#/`);
    await page.upload('#file', join(built, 'odd.html'));
    await page.waitFor(() => document.getElementById('article').textContent.includes('The end.'));
    const [text, links, address] = await page.evaluate(() => [
      [...document.querySelectorAll('.sentence')].map((span) => span.textContent.replaceAll(/[\0\ufffd]/g, '')).join('|'),
      [...document.querySelectorAll('#article a')].map((link) => link.getAttribute('href')),
      self.location.pathname,
    ]);
    assert.equal(text, 'Still |read|\u202e here.|Deep.|The end.');
    assert.deepEqual([links, address], [[null], '/reader/']);
    (await page.complaints()).splice(0);
  });

  if (name === 'chromium') {
    test('reader: where nothing can be kept, it reads all the same, and says so', patient, async () => {
      const status = (where) => where.evaluate(() => document.getElementById('status').textContent);
      const lacking = await browser.open('about:blank');
      await lacking.inner.addInitScript(() => {
        self.IDBFactory.prototype.open = () => {
          throw new self.DOMException('Denied.', 'SecurityError');
        };
      });
      await lacking.goto(`${server.url}/reader/`);
      await shelfReady(lacking);
      const nothing = /^This browser keeps nothing more here: what is new is gone with this window \((\w+): .+\)\.$/;
      assert.equal(nothing.exec(await status(lacking))?.[1], 'SecurityError');
      await lacking.upload('#file', join(built, 'article.md'));
      await lacking.waitFor(() => document.querySelectorAll('#article .sentence').length > 1000);
      assert.match(await status(lacking), nothing);
      await lacking.press('ArrowRight');
      await lacking.press('ArrowRight');
      await lacking.click('#home');
      await lacking.click('#entries a');
      await lacking.waitFor(() => document.querySelectorAll('#article .sentence').length > 1000);
      assert.equal(await at(lacking), 2);
      assert.deepEqual(await lacking.complaints(), []);

      // What a full disk does: the transaction is broken off.
      await page.evaluate(() => {
        const { put } = self.IDBObjectStore.prototype;
        const broken = new WeakSet();
        self.IDBObjectStore.prototype.put = function (...args) {
          const request = put.apply(this, args);
          // Once the other one is there, too.
          if (!broken.has(this.transaction)) self.queueMicrotask(() => this.transaction.abort());
          broken.add(this.transaction);
          return request;
        };
      });
      await page.goto(`${server.url}/reader/#/`);
      const count = () => page.evaluate(() => document.querySelectorAll('#entries a').length);
      await page.waitFor(() => !document.getElementById('shelf').hidden);
      const before = await count();
      await page.evaluate((text) => {
        document.getElementById('text').value = text;
        document.getElementById('paste').requestSubmit();
      }, 'Not kept. Only read.');
      await page.waitFor(() => document.querySelector('.sentence')?.textContent === 'Not kept.');
      assert.equal(nothing.exec(await status(page))?.[1], 'AbortError');
      await page.click('#home');
      await page.waitFor((more) => document.querySelectorAll('#entries a').length === more, before + 1);
      assert.deepEqual(await page.complaints(), []);
      // Only the window knows it.
      await page.reload();
      await shelfReady(page);
      assert.equal(await count(), before);
      await lacking.close();
    });
  }

  test('reader: with the server stopped, reads, jumps, changes speed, and is found again where it was', patient, async () => {
    const { url } = server;
    await server.close();
    server = undefined;
    await page.goto(`${url}/reader/`);
    // A load that is broken off by the next is an error on Firefox's console.
    await shelfReady(page);
    await page.reload();
    await shelfReady(page);
    await page.evaluate(() => [...document.querySelectorAll('#entries a')].find((link) => link.textContent === 'The long article').click());
    await page.waitFor(() => document.querySelectorAll('#article .sentence').length > 1000);

    await page.press('Space');
    await state(page, 'playing');
    await past(page, 1);

    // Steps; the voice goes on from there.
    const before = await at(page);
    await page.press('ArrowDown');
    await page.press('ArrowDown');
    assert.ok((await at(page)) >= before + 3);
    await page.click('.sentence[data-index="100"]');
    await listen(page);
    await page.press('ArrowRight');
    const there = await page.waitFor(() => self.landed);
    assert.ok(there > 100 && there < 110, String(there));
    await past(page, there + 1);
    await inOrder(page, there);

    await page.click('.sentence[data-index="200"]');
    await past(page, 201);
    await page.press('Space');
    await state(page, 'paused');
    await inOrder(page, 200);
    await page.waitFor(() => document.querySelector('.sentence.now').getBoundingClientRect().top > 0);
    assert.ok(await visible(page));
    await page.press('Space');
    await state(page, 'playing');

    await page.evaluate(() => document.getElementById('rate').focus());
    for (let i = 0; i < 5; i++) await page.press('ArrowRight');
    assert.equal(await page.evaluate(() => document.getElementById('rate-shown').textContent), '1.5×');
    await past(page, await at(page));

    await page.evaluate(() => document.getElementById('article').focus());
    await page.press('Space');
    await state(page, 'paused');
    const stopped = await at(page);
    assert.ok(stopped > 200);
    assert.deepEqual(await page.complaints(), []);
    // The place is written behind the mark: a window that closes within milliseconds of a new sentence is found at the one before.
    await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 500)));
    await page.close();

    page = await browser.open(`${url}/reader/`);
    await shelfReady(page);
    await page.click('#entries a');
    await page.waitFor(() => document.querySelectorAll('#article .sentence').length > 1000);
    assert.equal(await at(page), stopped);
    assert.ok(await visible(page));
    assert.equal(await page.evaluate(() => document.getElementById('rate-shown').textContent), '1.5×');
    await listen(page);
    await page.press('Space');
    await past(page, stopped + 1);
    // The mark on it was there already; the first to be marked is the next.
    const [, ...rest] = [stopped, ...(await page.evaluate(() => self.marked.splice(0)))].filter((each, index, all) => each !== all[index - 1]);
    assert.deepEqual(rest, Array.from(rest, (_, index) => stopped + 1 + index));
    assert.deepEqual(await page.complaints(), []);
    await page.close();
  });

  test('an update waits for the last window of the old version', patient, async (t) => {
    const folder = join(built, `update-${name}`);
    cpSync(join(built, 'pages'), folder, { recursive: true });
    const server = await servePages({ folder });
    t.after(() => server.close());
    const page = await browser.open(`${server.url}/reader/`);
    await shelfReady(page);
    const other = await browser.open(`${server.url}/reader/`);
    await shelfReady(other);

    const index = join(folder, 'reader', 'index.html');
    writeFileSync(index, readFileSync(index, 'utf8').replace('<title>Reader', '<meta name="version" content="2"><title>Reader'));
    await addServiceWorker(join(folder, 'reader'));
    // What has not changed is not fetched again, and never from another deployment.
    writeFileSync(join(folder, 'reader', 'style.css'), '/* newer still */');
    const version = (from) => from.evaluate(async () => [document.querySelector('meta[name=version]')?.content ?? '1', (await (await fetch('./')).text()).includes('name="version"') ? '2' : '1']);
    const update = () => page.evaluate(async () => {
      const registration = await self.navigator.serviceWorker.getRegistration();
      const said = await registration.update().then(() => 'begun', (error) => String(error));
      const { installing } = registration;
      if (installing !== null) {
        await new Promise((resolve) => {
          installing.onstatechange = () => installing.state !== 'installing' && resolve();
          if (installing.state !== 'installing') resolve();
        });
      }
      return { waits: registration.waiting !== null, why: `update: ${said}, then ${installing?.state ?? 'nothing to install'}` };
    });
    const waits = async (expected) => {
      const { waits: found, why } = await update();
      assert.equal(found, expected, why);
    };
    await waits(true);
    assert.deepEqual(await version(page), ['1', '1']);

    // Another window is open: nobody takes over, not at a reload either.
    await page.reload();
    await shelfReady(page);
    assert.deepEqual(await version(page), ['1', '1']);
    assert.deepEqual(await version(other), ['1', '1']);
    await other.close();
    await page.reload();
    await page.waitFor(() => document.querySelector('meta[name=version]') !== null);
    await shelfReady(page);
    assert.deepEqual(await version(page), ['2', '2']);
    assert.equal(await page.evaluate(async () => (await (await fetch('style.css')).text()).includes('newer still')), false);

    // Damaged on the way: the version that is there stays.
    const text = readFileSync(index, 'utf8');
    writeFileSync(index, text.replace('content="2"', 'content="3"'));
    await addServiceWorker(join(folder, 'reader'));
    writeFileSync(index, text.replace('content="2"', 'content="x"'));
    await waits(false);
    assert.deepEqual(await version(page), ['2', '2']);
  });
}
