// The player in Chromium: what it plays, recorded and compared with what was made, offline and in a real context, at other
// speeds, under a producer that comes too late; with memory shared with the audio thread and without. LONG=1: half an hour.
import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';
import { chromium } from 'playwright-core';
import { CHROMIUM_FLAGS } from './common.mjs';
import { serve } from './server.mjs';

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
const LONG = process.env.LONG === '1';
/** -40 dB. */
const CLICK = 0.01;

let browser;
before(async () => {
  browser = await chromium.launch({ executablePath: EXECUTABLE, args: [...CHROMIUM_FLAGS, '--js-flags=--expose-gc'] });
});
after(() => browser?.close());

for (const isolated of [false, true]) {
  describe(isolated ? 'a ring in shared memory' : 'blocks by messages', () => {
    let result;
    const complaints = [];
    before(
      async () => {
        const server = await serve({ isolated });
        const page = await browser.newPage();
        page.on('console', (message) => complaints.push(message.text()));
        page.on('pageerror', (error) => complaints.push(String(error)));
        // With shared memory only what goes another way.
        await page.goto(`${server.url}/tests/browser/player.html${isolated ? '?only=exact,live,retuned,starved,controls' : ''}`);
        for (let i = 0; i < 1000 && (await page.title()) !== 'done'; i++) await setTimeout(200);
        const text = await page.textContent('pre');
        await page.close();
        server.close();
        assert.match(text, /^\{/, 'the page did not finish');
        result = JSON.parse(text);
        assert.equal(result.error, undefined);
        assert.equal(result.isolated, isolated);
      },
      { timeout: 240000 },
    );
    const experiment = (name) => {
      assert.equal(result[name]?.error, undefined, `${name}: ${result[name]?.error}`);
      return result[name];
    };

    test('offline at rate 1: exactly the samples that were made, and the events of the text', () => {
      const { differences, after: silent, events, chunks, player, speech } = experiment('exact');
      assert.equal(differences, 0);
      assert.ok(silent);
      const names = events.map(([name, { state }]) => state ?? name);
      assert.deepEqual(names, ['playing', ...chunks.map(() => 'sentence'), 'ended', 'ended']);
      const sentences = events.filter(([name]) => name === 'sentence').map(([, detail]) => detail);
      assert.deepEqual(
        sentences.map(({ text, begin, end }) => ({ text, begin, end })),
        chunks,
      );
      assert.deepEqual(player, { state: 'ended', currentTime: speech, duration: speech, madeTime: speech, startDelay: 0, measured: true });
    });

    test('a real context: exactly the samples that were made, from the first on', () => {
      const { differences, states, underruns, rising, times, last, duration } = experiment('live');
      assert.deepEqual({ differences, underruns, rising }, { differences: 0, underruns: 0, rising: true });
      assert.deepEqual(states, ['playing', 'ended']);
      assert.ok(times > 5 && times <= 10 * duration + 3, `${times} in ${duration} s`);
      assert.equal(last, duration);
    });

    test('new speeds while it is heard: no click, no gap, and in its place in the text afterwards', () => {
      const { changes, last, bend, gaps, underruns, state, duration, tail } = experiment('retuned');
      assert.equal(changes.length, 3);
      assert.equal(underruns, 0);
      assert.equal(state, 'ended');
      assert.ok(bend < 1.5, `a bend of ${bend} times the largest of the speech itself`);
      assert.ok(gaps <= 0, `${gaps} more gaps than the speech`);
      assert.equal(tail, 0, 'the end is the samples of the text');
      // Each change is heard within 0.2 s, so this is how long it takes.
      const [a, b, c] = changes;
      const expected = a + (b - a) / 2 + (c - b) / 0.5 + (duration - c);
      assert.ok(Math.abs(last - expected) < 0.6, `${last} s, expected ${expected}`);
    });

    test('a text that comes too late: ramps around the gap, and nothing else is lost', () => {
      const { underrun, state, states, gap, lost, before: early, after: late, edges, bend } = experiment('starved');
      assert.ok(underrun.time > 0);
      assert.equal(state, 'waiting');
      assert.deepEqual(states, ['playing', 'waiting', 'playing', 'ended']);
      assert.ok(gap > 0.2 * 24000, `${gap} samples`);
      assert.ok(Math.abs(lost) <= 3, `${lost} samples lost`);
      assert.equal(early, 0);
      assert.equal(late, 0);
      assert.ok(bend <= 1, `a bend of ${bend} times the largest of the speech itself`);
      assert.ok(Math.max(...edges) < CLICK, `${edges}`);
    });

    test('pause, resume, seek, volume, stop', () => {
      const { states, paused, still, back, sentences, end, stopped, bend, errors } = experiment('controls');
      assert.deepEqual(states.slice(0, 3), ['playing', 'paused', 'playing']);
      assert.ok(Math.abs(still - paused) < 1e-6);
      assert.ok(back >= 0.1 && back < paused + 0.3, `${back}, paused at ${paused}`);
      assert.equal(sentences[0], 0);
      assert.ok(sentences.length >= 2, 'a seek tells the sentence again');
      assert.equal(end, 'ended');
      assert.equal(stopped, 'stopped');
      assert.ok(bend < 0.5, `${bend}`);
      assert.match(errors[0], /^argument: rate: expected 0.25 to 4, found 5$/);
      assert.match(errors[1], /^argument: volume: /);
      assert.match(errors[2], /^argument: seek: /);
      assert.match(errors[3], /^argument: rate: expected 0.25 to 4, found 9$/);
      assert.match(errors[4], /^argument: options: expected only .*, found "speed"/);
    });

    if (!isolated) {
      test('a text in pieces: an event for every sentence, when it is heard', () => {
        const { differences, heard, times, starts } = experiment('sentences');
        assert.equal(differences, 0);
        assert.deepEqual(heard, ['We were away a year ago.', 'Now we are all alone, in an old yellow room!', 'Who will know?']);
        times.forEach((time, i) => assert.ok(Math.abs(time - starts[i]) < 1e-9));
      });

      test('at other speeds from the start: length, loudness, no click', () => {
        for (const [rate, { length, last, loudness, bend, underruns }] of Object.entries(experiment('rates'))) {
          assert.equal(underruns, 0);
          assert.ok(last < length && last > length - 0.3 * 24000, `${rate}: ${last} of ${length}`);
          assert.ok(Math.abs(loudness - 1) < 0.2, `${rate}: ${loudness}`);
          assert.ok(bend < 1.5, `${rate}: a bend of ${bend} times the largest of the speech itself`);
        }
      });

      test('a context at another sample rate: the same wave', () => {
        const { relative, last, length } = experiment('resampled');
        assert.ok(relative < 0.01, `${relative}`);
        assert.ok(last >= length - 0.3 * 24000 && last < length + 200, `${last} of ${length}`);
      });

      test('an abort before, at the start and in the middle: an AbortError', () => {
        const { out, after: works } = experiment('aborted');
        for (const one of out) assert.deepEqual(one, { when: one.when, name: 'AbortError', code: 'aborted', state: 'stopped' });
        assert.equal(out.length, 3);
        assert.ok(works);
      });

      test('failures: a rejection, an event and a state', () => {
        const { worklet, text, unknown, closed, loaded } = experiment('failures');
        assert.ok(loaded, 'the URL that load() was given');
        assert.deepEqual(worklet, ['network', 'network', 'failed']);
        assert.deepEqual(text, ['text-empty', 'text-empty', 'failed']);
        assert.deepEqual(unknown, ['not-found', 'not-found', 'failed']);
        assert.deepEqual(closed, ['state', 'state', 'failed']);
      });

      test('one context for the page, at the rate of the speech; asleep when nobody plays', () => {
        const { made, sampleRate, awake, asleep, again } = experiment('shared');
        assert.deepEqual({ made, sampleRate, awake, asleep, again }, { made: 1, sampleRate: 24000, awake: 'running', asleep: 'suspended', again: 'ended' });
      });
    }

    test('no rejection that nobody handles, nothing on the console but the missing file', () => {
      assert.deepEqual(result.unhandled, []);
      assert.deepEqual(
        complaints.filter((text) => !/404|nothing(-else)?\.js/.test(text)),
        [],
      );
    });
  });
}

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

  test('a long text through a fast sink: memory flat, no underrun, no gap', { timeout: 1800000 }, async () => {
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
  });

  test('a real context at three times the speed: no underrun where speech is made faster', { timeout: 300000 }, async (t) => {
    const { underruns, factor, startDelay } = await call('fast', LONG ? 120 : 6);
    t.diagnostic(`made ${factor.toFixed(1)} times as fast as it is spoken, started ${startDelay} s late`);
    if (factor > 4) assert.equal(underruns, 0);
    assert.ok(startDelay >= 0);
  });
});
