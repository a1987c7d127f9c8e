// The package in Chromium, from a page and a worker, in every layout, under a policy without eval: the samples of every
// request are those of the other hosts (tests/hosts/README.md).
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { root } from '../node/support.mjs';
import { CHROMIUM_FLAGS } from './common.mjs';
import { serve } from './server.mjs';

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
const expected = JSON.parse(readFileSync(join(root, 'tests', 'hosts', 'expected.json'), 'utf8'));

let result;
let complaints;

before(
  async () => {
    assert.ok(existsSync(EXECUTABLE), `${EXECUTABLE} is missing: apt-get install chromium, or set CHROMIUM`);
    const server = await serve();
    const browser = await chromium.launch({ executablePath: EXECUTABLE, args: CHROMIUM_FLAGS });
    try {
      const page = await browser.newPage();
      complaints = [];
      page.on('console', (message) => {
        if (message.type() !== 'log') complaints.push(message.text());
      });
      page.on('pageerror', (error) => complaints.push(String(error)));
      await page.goto(`${server.url}/tests/browser/page.html`);
      for (let i = 0; i < 900 && (await page.title()) !== 'done'; i++) await setTimeout(200);
      result = JSON.parse((await page.textContent('pre')) || '{"error":"the page did not finish"}');
    } finally {
      await browser.close();
      server.close();
    }
    assert.equal(result.error, undefined);
  },
  { timeout: 240000 },
);

for (const layout of ['page', 'default', 'halves', 'wholes']) {
  test(`Chromium, ${layout}: the samples of every other host`, () => assert.deepEqual(result.spoken[layout], expected));
}

test('in a module worker', () => assert.deepEqual(result.worker, Object.values(expected)[0]));

test('an abort in every layout; info says which it is', () => {
  const one = { instances: 1, parallel: 1, reason: result.cores < 2 ? 'one core' : 'small model' };
  const infos = {
    page: { ...one, worker: false, reason: 'without workers' },
    default: { ...one, worker: true },
    halves: { instances: 2, parallel: 1, worker: true, reason: 'asked for' },
    wholes: { instances: 1, parallel: 2, worker: true, reason: 'several chunks at once' },
  };
  for (const [layout, info] of Object.entries(infos)) {
    assert.deepEqual(result.aborted[layout], { code: 'aborted', frames: 4, after: true, info });
  }
});

test('streams beside each other', () => {
  for (const one of Object.values(result.together)) assert.deepEqual(one, { same: true, forgotten: 'disposed' });
});

test('a crash ends a stream with its reason, and the next request works', () => {
  for (const { message, after } of Object.values(result.crashed)) {
    assert.match(message, /^crashed: The engine crashed \(unreachable\)/);
    assert.ok(after);
  }
});

test('without its worker file: one instance in the page when the choice was ours, else an error', () => {
  const { reason, ...rest } = result.lacking;
  assert.deepEqual(rest, { spoken: true, worker: false, explicit: ['unsupported', 'unsupported'] });
  assert.match(reason, /^Workers do not start here: /);
});

test('a missing pack, a use after dispose', () => {
  assert.equal(result.missing, 'not-found');
  assert.equal(result.disposed, 'disposed');
});

test('nothing on the console but the missing files', () => {
  assert.deepEqual(
    complaints.filter((text) => !/404/.test(text)),
    [],
  );
});
