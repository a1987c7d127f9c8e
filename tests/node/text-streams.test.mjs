// Texts that come in pieces, through the real engine: what is spoken, when, with which seeds, and how it ends.
import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { PocketTTS } from '../../dist/node.js';
import { loadFixture, pcm, refused } from './support.mjs';

const TEXT = 'One two three. Four five! "Six?" Seven eight nine.';
const SENTENCES = ['One two three. ', 'Four five! ', '"Six?" ', 'Seven eight nine.'];

let tts;
before(async () => {
  tts = await loadFixture('lsd6');
});
after(() => tts.dispose());

async function* pieces(parts) {
  for (const part of parts) {
    await setImmediate();
    yield part;
  }
}
const same = (a, b) => Buffer.compare(pcm(a.samples), pcm(b.samples)) === 0;

test('strings that belong together are one text', async () => {
  const whole = await tts.generate(TEXT);
  for (const parts of [[TEXT], TEXT.split(' ').map((word, i) => (i === 0 ? word : ` ${word}`)), new Set(TEXT.split(/(?<=\d)/))]) {
    const joined = await tts.generate(parts);
    assert.ok(same(joined, whole));
    assert.deepEqual(joined.chunks, whole.chunks);
  }
});

test('a text in pieces: a chunk for each sentence, whatever the pieces; offsets of the joined text', async () => {
  const one = await tts.generate(pieces([TEXT]));
  const tokens = await tts.generate(pieces(TEXT.match(/[^]{1,3}/g)));
  assert.ok(same(one, tokens));
  assert.deepEqual(one.chunks, tokens.chunks);
  assert.deepEqual(
    one.chunks.map(({ begin, end }) => TEXT.slice(begin, end)),
    SENTENCES.map((sentence) => sentence.trim()),
  );
  assert.deepEqual(
    one.chunks.map(({ index }) => index),
    [0, 1, 2, 3],
  );
  assert.equal(
    one.chunks.reduce((sum, { frames }) => sum + frames, 0) * 1920,
    one.samples.length,
  );
});

// lsd6 speaks with noise, so a wrong seed would be heard.
test('the same chunks are the same samples', async () => {
  const text = TEXT.replaceAll('"', ''); // the plan of a whole text leaves a closing quote to the next chunk
  const limited = await tts.generate(text, { maxTokens: 8, seed: 7 });
  const piecewise = await tts.generate(pieces([text]), { seed: 7 });
  assert.deepEqual(
    limited.chunks.map(({ text }) => text),
    piecewise.chunks.map(({ text }) => text),
    'the test needs a maxTokens that cuts sentence by sentence',
  );
  assert.ok(same(limited, piecewise));
  assert.ok(!same(piecewise, await tts.generate(pieces([text]), { seed: 8 })), 'the seed matters');
});

test('frames say where their text is, and go on counting', async () => {
  let expected = 0;
  const seen = [];
  for await (const { frame, time, chunk, begin, end } of tts.stream(pieces([TEXT]))) {
    assert.equal(frame, expected++);
    assert.ok(Math.abs(time - frame * 0.08) < 1e-9);
    seen[chunk] = TEXT.slice(begin, end);
  }
  assert.deepEqual(
    seen,
    SENTENCES.map((sentence) => sentence.trim()),
  );
  for await (const { begin, end } of tts.stream(TEXT)) assert.equal(TEXT.slice(begin, end), TEXT);
});

test('a sentence is spoken before the next one has come', async () => {
  let more;
  const blocked = new Promise((resolve) => {
    more = resolve;
  });
  async function* slow() {
    yield 'One two three. N';
    await blocked;
    yield 'ext.';
  }
  const stream = tts.stream(slow());
  for (let frames = 0; frames < 3; frames++) assert.equal((await stream.next()).value.chunk, 0);
  more();
  let last;
  for await (const frame of stream) last = frame;
  assert.equal(last.chunk, 1);
  assert.deepEqual(stream.chunks.map(({ begin, end }) => [begin, end]), [
    [0, 14],
    [15, 20],
  ]);
});

/** A text whose end is heard of; `waits`: after so many pieces it never goes on. */
function watched(parts, waits = Infinity) {
  let at = 0;
  const text = {
    returned: 0,
    asked: 0,
    [Symbol.asyncIterator]: () => ({
      next: () => {
        text.asked++;
        if (at >= waits) return new Promise(() => undefined);
        return Promise.resolve(at < parts.length ? { done: false, value: parts[at++] } : { done: true });
      },
      return: () => {
        text.returned++;
        return Promise.resolve({ done: true });
      },
    }),
  };
  return text;
}

test('leaving the loop, an abort, a failure and dispose() end the iterator, also one that waits', async () => {
  const left = watched(SENTENCES);
  for await (const frame of tts.stream(left)) if (frame.frame === 2) break;
  assert.equal(left.returned, 1);

  for (const waits of [0, 1]) {
    const stop = new AbortController();
    const aborted = watched(SENTENCES, waits);
    const speaking = tts.generate(aborted, { signal: stop.signal });
    await setImmediate();
    stop.abort();
    assert.equal((await refused(speaking, 'aborted')).name, 'AbortError');
    assert.equal(aborted.returned, 1);
  }

  const wrong = watched(['One two. ', 3]);
  await refused(tts.generate(wrong), 'argument', /^text: expected strings, found 3$/);
  assert.equal(wrong.returned, 1);

  const finished = watched(SENTENCES);
  await tts.generate(finished);
  assert.equal(finished.returned, 0);

  const other = await loadFixture('lsd6');
  const waiting = watched(SENTENCES, 0);
  const speaking = other.generate(waiting);
  await setImmediate();
  await setImmediate();
  await other.dispose();
  await refused(speaking, 'disposed');
  assert.equal(waiting.returned, 1);
});

test('what the text throws ends the speech with it', async () => {
  const reason = new Error('no more tokens');
  async function* broken() {
    yield 'One two. ';
    throw reason;
  }
  await assert.rejects(tts.generate(broken()), (error) => error === reason);
});

test('pieces without words are passed over; a text of nothing else is refused', async () => {
  const speech = await tts.generate(pieces(['One two.\n\n', '   \n\n', '\n\nThree four.']));
  assert.equal(speech.chunks.length, 2);
  await refused(tts.generate(pieces([])), 'text-empty');
  await refused(tts.generate(pieces(['  \n', '\n  '])), 'text-empty');
});

test('what is no text, and a random stream that needs all of it', async () => {
  await refused(tts.generate([1, 2]), 'argument', /^text: expected strings/);
  await refused(tts.generate({}), 'argument', /^text: expected a string, a Uint8Array, or an iterable/);
  await refused(tts.generate(pieces([TEXT]), { rng: 'torch' }), 'argument', /^rng: /);
  function* endless() {
    for (;;) yield 'word '.repeat(10000);
  }
  await refused(tts.generate(endless()), 'text-too-long');
});

test('a ReadableStream of frames: made when asked for, ended by cancel()', async () => {
  const whole = await tts.generate(TEXT);
  const frames = [];
  const stream = tts.stream(TEXT).toReadableStream();
  for (const reader = stream.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    frames.push(...value.samples);
  }
  assert.ok(same({ samples: frames }, whole));

  const text = watched(SENTENCES);
  const reader = tts.stream(text).toReadableStream().getReader();
  await setImmediate();
  assert.equal(text.asked, 0);
  await reader.read();
  await reader.cancel();
  assert.equal(text.returned, 1);
});

test('info tells how fast speech is made', async () => {
  const fresh = await loadFixture('lsd6');
  assert.equal(fresh.info.realTimeFactor, undefined);
  await fresh.generate(TEXT);
  assert.ok(fresh.info.realTimeFactor > 0);
  await fresh.dispose();
});

test('a Blob of the WAV file', async () => {
  const speech = await tts.generate('One two.');
  const blob = speech.toBlob();
  assert.equal(blob.type, 'audio/wav');
  assert.deepEqual(new Uint8Array(await blob.arrayBuffer()), speech.toWav());
});

test('in workers, too', async () => {
  const workers = await PocketTTS.load({ worker: true });
  const alone = await workers.generate(pieces([TEXT]));
  const left = watched(SENTENCES);
  for await (const frame of workers.stream(left)) if (frame.frame === 2) break;
  assert.equal(left.returned, 1);
  assert.ok(same(await workers.generate(pieces(TEXT.split(''))), alone));
  await workers.dispose();
});

test('play() needs a page, and says so', () => {
  assert.throws(() => tts.play(TEXT), (error) => error.code === 'unsupported' && /AudioContext/.test(error.message));
  assert.throws(() => tts.play(TEXT, { rate: 0 }), (error) => error.code === 'argument' && /^rate: expected 0.25 to 4/.test(error.message));
});

test('iterables that break the protocol are refused by name', async () => {
  const over = (name, iterator) => ({ [name]: () => iterator });
  for (const name of [Symbol.iterator, Symbol.asyncIterator]) {
    for (const iterator of [undefined, null, 5, {}, { next: 5 }, { next: () => null }, { next: () => 5 }]) {
      await refused(tts.generate(over(name, iterator)), 'argument', /^text: expected an iterator /);
    }
  }
  let ended = 0;
  const numbers = { next: () => ({ done: false, value: 5 }), return: () => (ended++, {}) };
  await refused(tts.generate(over(Symbol.iterator, numbers)), 'argument', /^text: expected strings, found 5$/);
  await refused(tts.generate(over(Symbol.asyncIterator, numbers)), 'argument', /^text: expected strings, found 5$/);
  assert.equal(ended, 2);
  // What the caller's own code throws is the caller's.
  await assert.rejects(tts.generate(over(Symbol.iterator, { next: () => { throw new RangeError('mine'); } })), RangeError);
});

test('a piece that is longer than a text may be is refused, as a string is', async () => {
  await refused(tts.generate(pieces(['word '.repeat(900_000)])), 'text-too-long', /^text: expected at most 4194304 bytes, found more$/);
});

test('a listener whose promise rejects ends the call with that error', async () => {
  const mine = new RangeError('mine');
  const onWarning = async () => { throw mine; };
  await assert.rejects(tts.generate('One two three four five six seven.', { maxTokens: 1, onWarning }), (error) => error === mine);
  const onProgress = async () => { throw mine; };
  await assert.rejects(PocketTTS.load({ onProgress }), (error) => error === mine);
});

test('a call that is under way when its object is disposed of says so, with a worker and without', async () => {
  for (const worker of [false, true]) {
    const own = await PocketTTS.load({ worker });
    const pending = refused(own.generate('Hello there.'), 'disposed', /^This PocketTTS was disposed of$/);
    await own.dispose();
    await pending;
  }
});

test('a cache that is not in this host is refused, also where nothing would be kept', async () => {
  await refused(PocketTTS.load({ cache: 'opfs' }), 'unsupported', /^cache: there is no "opfs" in Node$/);
  await refused(PocketTTS.isCached({ cache: 'opfs' }), 'unsupported', /^cache: there is no "opfs" in Node$/);
});
