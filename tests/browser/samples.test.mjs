// The package in every browser, from a page and a worker, in every layout, under a policy without eval: the samples of
// every request are those of the other hosts (tests/hosts/README.md). The browsers speak beside each other.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { root } from '../node/support.mjs';
import { BROWSERS, launch } from './drivers.mjs';
import { serve } from './server.mjs';

const expected = JSON.parse(readFileSync(join(root, 'tests', 'hosts', 'expected.json'), 'utf8'));

describe('the samples of every other host', { concurrency: BROWSERS.length }, () => {
  for (const name of BROWSERS) describe(name, { concurrency: 1 }, () => speaksIn(name));
});

function speaksIn(name) {
  let result;
  let complaints;

  before(
    async () => {
      const server = await serve();
      const browser = await launch(name);
      try {
        const page = await browser.open(`${server.url}/tests/browser/page.html`);
        await page.waitFor(() => document.title === 'done');
        result = JSON.parse(await page.evaluate(() => document.querySelector('pre').textContent));
        complaints = await page.complaints();
      } finally {
        await browser.close();
        server.close();
      }
      assert.equal(result.error, undefined);
    },
    { timeout: 240000 },
  );

  for (const layout of ['page', 'default', 'halves', 'shared']) {
    test(`${layout}: the samples of every other host`, () => assert.deepEqual(result.spoken[layout], expected));
  }

  test('in a module worker', () => assert.deepEqual(result.worker, Object.values(expected)[0]));

  test('an abort in every layout; info says which it is', () => {
    const one = { instances: 1, parallel: 1, reason: result.cores < 2 ? 'one core' : 'small model' };
    const infos = {
      page: { ...one, worker: false, reason: 'without workers' },
      default: { ...one, worker: true },
      halves: { instances: 2, parallel: 1, worker: true, reason: 'asked for' },
      shared: { instances: 1, parallel: 2, worker: true, reason: 'several chunks at once' },
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
      complaints.filter((text) => !/404|\/lacking\/dist\/worker\.js/.test(text)),
      [],
    );
  });
}
