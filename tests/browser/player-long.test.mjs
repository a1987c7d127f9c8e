// The player in Chromium, again and again and for long, while its memory is looked at. LONG=1: half an hour, and two minutes in a real
// context.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';
import { chromium } from 'playwright-core';
import { starter } from '../node/support.mjs';
import { badServer, CORS } from '../support/bad-server.mjs';
import { CHROMIUM_FLAGS } from './common.mjs';
import { serve } from './server.mjs';

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
const LONG = process.env.LONG === '1';

let browser;
before(async () => {
  browser = await chromium.launch({ executablePath: EXECUTABLE, args: [...CHROMIUM_FLAGS, '--js-flags=--expose-gc'] });
});
after(() => browser?.close());

describe('for long', () => {
  let server;
  let page;
  let session;
  before(async () => {
    server = await serve();
    // Without the policy: the test's own calls are evaluated.
    const context = await browser.newContext({ bypassCSP: true });
    page = await context.newPage();
    session = await context.newCDPSession(page);
    await page.goto(`${server.url}/tests/browser/page.html?nothing`);
    await page.goto(`${server.url}/tests/browser/player.html?only=nothing`);
    await call('start');
  });
  after(async () => {
    await page?.close();
    server?.close();
  });

  const call = (name, ...args) =>
    page.evaluate(async ([what, values]) => (await import('/tests/browser/player-rounds.mjs'))[what](...values), [name, args]);
  const heap = async (times = 3) => {
    for (let i = 0; i < times; i++) {
      await session.send('HeapProfiler.collectGarbage');
      await setTimeout(50);
    }
    const { usedSize, backingStorageSize = 0 } = await session.send('Runtime.getHeapUsage');
    return usedSize + backingStorageSize;
  };

  for (const [kind, code] of [
    ['generate', 'aborted'],
    ['stream', 'aborted'],
    ['pieces', 'aborted'],
    ['play', 'aborted'],
    ['stop', 'stopped'],
  ]) {
    test(`${kind}: 100 rounds that end early leave nothing behind`, { timeout: 240000 }, async () => {
      const warm = await call('abort', kind, 20);
      const begin = await heap();
      const { codes, allocated } = await call('abort', kind, 100);
      const grown = (await heap()) - begin;
      assert.deepEqual(codes, [code]);
      assert.equal(allocated, warm.allocated, 'the engine holds what it held');
      assert.ok(grown < 1 << 20, `the heap has grown by ${grown} bytes`);
    });
  }

  for (const cache of ['none', 'opfs']) {
    test(`download, cache ${cache}: 100 that end early leave nothing behind`, { timeout: 240000 }, async (t) => {
      const MODEL = 'model.safetensors';
      const files = Object.fromEntries(['pack.json', MODEL, 'tokenizer.model', 'voices/slt.safetensors'].map((path) => [path, readFileSync(join(starter, path))]));
      const hub = await badServer(files, { headers: CORS });
      t.after(() => hub.stop());
      hub.always(MODEL, 'stall', 0.1);
      const warm = await call('abort', 'download', 20, { pack: hub.url, cache });
      const begin = await heap();
      const { codes, allocated } = await call('abort', 'download', 100, { pack: hub.url, cache });
      const grown = (await heap()) - begin;
      assert.deepEqual(codes, ['aborted']);
      assert.equal(allocated, warm.allocated, 'the engine holds what it held');
      assert.ok(grown < 1 << 20, `the heap has grown by ${grown} bytes`);
      assert.ok(hub.requests(MODEL).length >= 100, 'each was in the middle of the model');
      // Chromium itself takes a second or more for some, also of plain fetches that are aborted: 3 of 800 with its HTTP cache, 1 of
      // 800 without (no-store), all gone 3 s after the last (2026-11-22). What the package held would stay.
      for (let i = 0; i < 400 && hub.requests().some(({ closed }) => !closed); i++) await setTimeout(50);
      assert.deepEqual(hub.requests().filter(({ closed }) => !closed), []);
      // Nor was anybody locked out.
      hub.good();
      assert.equal(await call('whole', { pack: hub.url, cache }), 'spoken');
    });
  }

  test('a long text through a fast sink: memory flat, no underrun, no gap', { timeout: 1800000 }, async (t) => {
    const seconds = LONG ? 1800 : 240;
    const run = { over: false };
    const running = call('long', seconds).finally(() => (run.over = true));
    const sizes = [];
    while (!run.over) sizes.push(await heap(1));
    const { held, ahead, underruns, silence, sentences, heard } = await running;
    // The buffer that is rendered into is there from the start; the last look may see the end.
    const [early, late] = [sizes[Math.floor(sizes.length / 3)], sizes.at(-2)];
    assert.equal(underruns, 0);
    // What was told before the last look, a second before the end.
    assert.ok(heard > seconds - 3, `${heard} s`);
    assert.ok(sentences > seconds / 10);
    assert.ok(silence < 1, `a silence of ${silence} s`);
    assert.ok(ahead < 40, `${ahead} s ahead`);
    assert.ok(Math.max(...held.slice(1)) - Math.min(...held.slice(1)) < 1 << 20, `${held}`);
    assert.ok(sizes.length >= 4 && late - early < 4 << 20, `the heap: ${sizes}`);
    t.diagnostic(`${heard.toFixed(0)} s of speech, at most ${ahead.toFixed(1)} s ahead, ${underruns} underruns`);
    t.diagnostic(`the heap in bytes: ${early} after a third, ${late} at the end; the engine: ${held}`);
  });

  test('a real context at three times the speed: memory flat, no underrun where speech is made faster', { timeout: 300000 }, async (t) => {
    const seconds = LONG ? 120 : 6;
    const run = { over: false };
    const running = call('fast', seconds).finally(() => (run.over = true));
    const sizes = [];
    while (!run.over) {
      sizes.push(await heap(1));
      await setTimeout(seconds * 20);
    }
    const { underruns, factor, startDelay, heard, held } = await running;
    // The last look may see the end.
    const [early, late] = [sizes[Math.floor(sizes.length / 3)], sizes.at(-2)];
    t.diagnostic(`${heard.toFixed(0)} s of speech, made ${factor.toFixed(1)} times as fast as it is spoken, started ${startDelay} s late, ${underruns} underruns`);
    t.diagnostic(`the heap in bytes: ${early} after a third, ${late} at the end; the engine: ${held}`);
    if (factor > 4) assert.equal(underruns, 0);
    assert.ok(startDelay >= 0);
    assert.ok(heard > 3 * seconds - 3, `${heard} s`);
    assert.ok(sizes.length >= 4 && late - early < 4 << 20, `the heap: ${sizes}`);
    // Less is left when all of it has been made, long before it is heard; it never grows again.
    const grown = held.slice(1).map((bytes, i, all) => bytes - Math.min(...all.slice(0, i + 1)));
    assert.ok(Math.max(...grown) < 1 << 20, `${held}`);
  });
});
