// The package in Chromium, page and worker, under a policy without eval: the samples of every request are those of the
// other hosts (tests/hosts/README.md).
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { root } from '../node/support.mjs';
import { serve } from './server.mjs';

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
// As root there is no sandbox; the rest keeps the browser from looking for its maker's servers.
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const expected = JSON.parse(readFileSync(join(root, 'tests', 'hosts', 'expected.json'), 'utf8'));

let result;
let complaints;

before(
  async () => {
    assert.ok(existsSync(EXECUTABLE), `${EXECUTABLE} is missing: apt-get install chromium, or set CHROMIUM`);
    const server = await serve();
    const browser = await chromium.launch({ executablePath: EXECUTABLE, args: FLAGS });
    try {
      const page = await browser.newPage();
      complaints = [];
      page.on('console', (message) => {
        if (message.type() !== 'log') complaints.push(message.text());
      });
      page.on('pageerror', (error) => complaints.push(String(error)));
      await page.goto(`${server.url}/tests/browser/page.html`);
      for (let i = 0; i < 600 && (await page.title()) !== 'done'; i++) await setTimeout(200);
      result = JSON.parse((await page.textContent('pre')) || '{"error":"the page did not finish"}');
    } finally {
      await browser.close();
      server.close();
    }
    assert.equal(result.error, undefined);
  },
  { timeout: 180000 },
);

for (const [name, one] of Object.entries(expected)) {
  test(`Chromium: ${name}`, () => assert.deepEqual(result.spoken[name], one));
}

test('in a module worker', () => assert.deepEqual(result.worker, Object.values(expected)[0]));

test('an abort, a missing pack, a use after dispose', () => {
  assert.deepEqual(result.aborted, { code: 'aborted', frames: 4 });
  assert.equal(result.missing, 'not-found');
  assert.equal(result.disposed, 'disposed');
});

test('nothing on the console but the missing pack', () => {
  assert.deepEqual(
    complaints.filter((text) => !/404/.test(text)),
    [],
  );
});
