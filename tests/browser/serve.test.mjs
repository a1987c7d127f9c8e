// The page of `pocket-tts serve` in every browser: it speaks while the sound arrives, stops, and asks nobody but its server.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { root } from '../node/support.mjs';
import { BROWSERS, launch } from './drivers.mjs';

const axe = readFileSync(join(root, 'node_modules', 'axe-core', 'axe.min.js'), 'utf8');
const patient = { timeout: 240_000 };
const SHORT = 'Hello there. This is a page.';
const LONG = 'This sentence is spoken again and again, until somebody has heard enough. '.repeat(200);

let folder, server, address;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'pocket-tts-'));
  const program = join(folder, 'pocket-tts');
  const go = process.env.GO ?? 'go';
  execFileSync(go, ['build', '-o', program, './cmd/pocket-tts'], { cwd: join(root, 'wasi'), stdio: 'inherit' });
  server = spawn(program, ['serve', '--port', '0'], { stdio: ['ignore', 'ignore', 'pipe'] });
  for await (const line of createInterface(server.stderr)) {
    address = /Listening on (http:\S+)/.exec(line)?.[1];
    if (address) break;
  }
  assert.ok(address, 'the server listens');
  server.stderr.resume();
}, patient);

after(() => {
  server?.kill();
  rmSync(folder, { recursive: true });
});

async function figure(name) {
  const lines = await (await fetch(`${address}/metrics`)).text();
  return Number(lines.split('\n').find((line) => line.startsWith(`${name} `))?.slice(name.length));
}

/** Types a text in place of the one that is there. */
const write = (page, text) =>
  page.evaluate((text) => {
    document.getElementById('text').value = text;
  }, text);

const said = (page, pattern) => page.waitFor((pattern) => new RegExp(pattern).exec(document.getElementById('state').textContent)?.[0], pattern);

for (const name of BROWSERS) {
  describe(name, () => {
    let browser, page;
    before(async () => {
      browser = await launch(name);
      page = await browser.open(`${address}/`);
      // What is handed to the speakers, and when it is to sound.
      await page.evaluate(() => {
        self.starts = [];
        const { start } = self.AudioBufferSourceNode.prototype;
        self.AudioBufferSourceNode.prototype.start = function (at) {
          self.starts.push({ at, seconds: this.buffer.duration, loudest: Math.max(...this.buffer.getChannelData(0)) });
          start.call(this, at);
        };
      });
    }, patient);
    after(() => browser?.close(), patient);

    test('fits into 320 px, for everybody', patient, async () => {
      await page.viewport(320, 640);
      const [wide, inner] = await page.evaluate(() => [document.documentElement.scrollWidth, self.innerWidth]);
      assert.ok(wide <= Math.max(320, inner), `${wide} px wide in a window of ${inner} px`);
      await page.viewport(1280, 800);
      await page.evaluate(`() => { ${axe}; self.axe = axe; }`);
      assert.deepEqual(await page.evaluate(async () => (await self.axe.run(document)).violations.map(({ id }) => id)), []);
    });

    test('speaks a text to its end', patient, async () => {
      await write(page, SHORT);
      await page.click('#speak');
      const text = await said(page, '^[0-9.]+ s of speech\\.$');
      const form = { method: 'POST', body: `text=${encodeURIComponent(SHORT)}`, headers: { 'Content-Type': 'application/x-www-form-urlencoded' } };
      const seconds = ((await (await fetch(`${address}/tts`, form)).arrayBuffer()).byteLength - 44) / 48000;
      assert.equal(text, `${seconds.toFixed(1)} s of speech.`);
      const starts = await page.evaluate(() => self.starts);
      const total = starts.reduce((sum, one) => sum + one.seconds, 0);
      assert.ok(Math.abs(total - seconds) < 0.001, `${total} s of ${seconds} were handed to the speakers`);
      assert.ok(Math.max(...starts.map((one) => one.loudest)) > 0.1, 'silence');
      for (const [n, one] of starts.entries()) {
        if (n > 0) assert.ok(one.at >= starts[n - 1].at + starts[n - 1].seconds - 1e-6, 'blocks sound over each other');
      }
      assert.ok(await page.evaluate(() => document.getElementById('save').href.startsWith('blob:')));
    });

    test('sounds while the rest is made, and stops', patient, async () => {
      await write(page, LONG);
      await page.click('#speak');
      await said(page, '^Speaking: ');
      assert.equal(await figure('pocket_tts_speeches'), 1, 'all of it was made before the first of it was heard');
      await page.click('#stop');
      await said(page, '^Stopped\\.$');
      for (const end = Date.now() + 30_000; (await figure('pocket_tts_speeches')) > 0; await new Promise((done) => setTimeout(done, 20))) {
        assert.ok(Date.now() < end, 'the server goes on speaking');
      }
    });

    test('says why it does not speak', patient, async () => {
      await write(page, 'a '.repeat(10_000));
      await page.click('#speak');
      assert.match(await said(page, '^Not spoken: .*'), /at most 16384 characters/);
    });

    test('complains of nothing', patient, async () => {
      // Browsers report the answer to the request that was refused.
      assert.deepEqual((await page.complaints()).filter((line) => !/413/.test(line)), []);
    });
  });
}
