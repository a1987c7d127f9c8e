// Sentences of a text that comes in pieces: the cuts are a matter of the joined text, and are made as soon as they are certain.
import assert from 'node:assert/strict';
import { build } from 'esbuild';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from './support.mjs';

/** A private module of the package, compiled. */
const { outputFiles } = await build({
  entryPoints: [join(root, 'web', 'sentences.ts')],
  bundle: true,
  format: 'esm',
  write: false,
});
const { PIECE_LIMIT, Sentences } = await import(`data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`);

function cut(parts) {
  const sentences = new Sentences();
  return [...parts.flatMap((part) => sentences.push(part)), ...sentences.end()];
}
const texts = (parts) => cut(parts).map(({ text }) => text);

const CASES = {
  'Hello there. How are you? Fine!': ['Hello there. ', 'How are you? ', 'Fine!'],
  'It costs 3.14 dollars, approx. ten. "Really?" he said.': ['It costs 3.14 dollars, approx. ten. ', '"Really?" he said.'],
  'Dr. No met J. Smith vs. Mr. Bond. He won.': ['Dr. No met J. Smith vs. Mr. Bond. ', 'He won.'],
  'Two things:\n1. Cut.\n2. Sew.\n\nThat is all': ['Two things:\n1. Cut.\n', '2. Sew.\n', '\nThat is all'],
  'A title\n\nA text… Then (more.) End...': ['A title\n\n', 'A text… ', 'Then (more.) ', 'End...'],
  '你好。再见！': ['你好。', '再见！'],
  'It was 1999. The end': ['It was 1999. ', 'The end'],
  '': [],
  '   ': ['   '],
};

/** Lengths in UTF-16 of the pieces of texts with long runs; the same in wasi/sentences_test.go. */
const RUNS = [
  [`${' '.repeat(4500)}A b. C`, [4000, 505, 1]],
  [`${'\u3000'.repeat(3000)}A`, [1333, 1333, 335]],
  [`${'.'.repeat(5000)} A`, [1000, 1000, 3001, 1]],
  [`${'…'.repeat(2000)} A`, [1000, 1001, 1]],
  [`Ab.${' '.repeat(5000)}B`, [4002, 1002]],
];

for (const [text, expected] of Object.entries(CASES)) {
  test(`cuts ${JSON.stringify(text)}, however it comes`, () => {
    assert.deepEqual(texts([text]), expected);
    assert.deepEqual(texts(text.split('')), expected);
    for (let at = 1; at < text.length; at++) {
      assert.deepEqual(texts([text.slice(0, at), '', text.slice(at)]), expected, `in two at ${at}`);
    }
  });
}

test('nothing is lost, and every piece knows where it begins', () => {
  for (const text of [...Object.keys(CASES), 'word '.repeat(700), '😀'.repeat(700), `${'x'.repeat(2500)}. Y`]) {
    for (const size of [1, 7, text.length + 1]) {
      const pieces = cut(text.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? []);
      assert.equal(pieces.map((piece) => piece.text).join(''), text);
      for (const { text: piece, begin } of pieces) assert.equal(text.slice(begin, begin + piece.length), piece);
    }
  }
});

test('an end is used as soon as it is certain, not before', () => {
  const sentences = new Sentences();
  assert.deepEqual(sentences.push('One.'), []); // 1.5? One...?
  assert.deepEqual(sentences.push(' '), []); // "one. two"?
  assert.deepEqual(sentences.push('T'), [{ text: 'One. ', begin: 0 }]);
  assert.deepEqual(sentences.push('wo.\n'), [{ text: 'Two.\n', begin: 5 }]);
  assert.deepEqual(sentences.push('Three'), []);
  assert.deepEqual(sentences.end(), [{ text: 'Three', begin: 10 }]);
});

test('text without an end is cut between words, however it comes', () => {
  const text = 'word '.repeat(700);
  const whole = texts([text]);
  assert.deepEqual(texts(text.split('')), whole);
  assert.ok(whole.length >= 3);
  for (const piece of whole) assert.ok(piece.length <= PIECE_LIMIT && !/^ord|^rd|^d /.test(piece));
  const emoji = texts(['😀'.repeat(700)]);
  for (const piece of emoji) assert.doesNotMatch(piece, /^[\udc00-\udfff]/);
});

test('nothing is lost of long runs, and none waits without end', () => {
  for (const unit of ['word ', '.', '.x', '…', '\n', '\n ', '。', ' ', 'A b. ', '\u00a0', '."']) {
    const text = unit.repeat((1 << 17) / unit.length);
    const pieces = cut([text]);
    assert.ok(pieces.map((piece) => piece.text).join('') === text, JSON.stringify(unit));
  }
  for (const unit of ['.', ' ', '…', '\u3000']) {
    const sentences = new Sentences();
    let waiting = 0;
    for (let i = 0; i < 9000; i++) {
      waiting += 1 - sentences.push(unit).reduce((sum, { text }) => sum + text.length, 0);
      assert.ok(waiting <= 4001, `${JSON.stringify(unit)}: ${waiting} wait`);
    }
  }
});

test('runs that are too long are cut as Go cuts them', () => {
  for (const [text, lengths] of RUNS) {
    for (const parts of [[text], text.split(''), text.match(/[^]{1,997}/g)]) assert.deepEqual(texts(parts).map((piece) => piece.length), lengths, text.slice(0, 9));
  }
});
