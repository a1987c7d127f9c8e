// The reader's pure parts: sentences, positions, places, formats. Its page is spoken to in tests/browser/reader.test.mjs.
import assert from 'node:assert/strict';
import { build } from 'esbuild';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from './support.mjs';

async function compiled(...path) {
  const { outputFiles } = await build({ entryPoints: [join(root, 'web', ...path)], bundle: true, format: 'esm', write: false });
  return import(`data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`);
}
const { SENTENCE_LIMIT, sentencesOf, spoken } = await compiled('reader', 'segments.ts');
const { Track } = await compiled('reader', 'track.ts');
const { paragraphStep, placeAt, sentenceAt, share } = await compiled('reader', 'place.ts');
const { decodeText, formatOf, guessFormat, toHtml } = await compiled('reader', 'formats.ts');
const { Outline } = await compiled('demo', 'wave.ts');

const cut = (text) => sentencesOf(text).map(({ begin, end }) => text.slice(begin, end));

test('sentences: marks, quotes, abbreviations, wrapped lines', () => {
  assert.deepEqual(cut('One. Two!  "Three?" Four'), ['One.', 'Two!', '"Three?"', 'Four']);
  assert.deepEqual(cut('Dr. Smith met J. Doe, e.g. at noon. Then they left.'), ['Dr. Smith met J. Doe, e.g. at noon.', 'Then they left.']);
  assert.deepEqual(cut('A line that\nis wrapped in\nthe middle. Another.'), ['A line that\nis wrapped in\nthe middle.', 'Another.']);
  assert.deepEqual(cut('Pi is 3.14 or so. Yes.'), ['Pi is 3.14 or so.', 'Yes.']);
});

test('sentences: what nobody can say has none, and ends none', () => {
  assert.deepEqual(cut(' \n — * * * '), []);
  assert.deepEqual(cut('It ends. ***'), ['It ends. ***']);
});

test('sentences: long ones are cut at clauses, else at spaces, else anywhere but in a character; nothing is lost', () => {
  const clauses = 'a word and a word and a word and a word, '.repeat(40);
  const spaces = 'word '.repeat(300);
  const solid = '\u{1f600}a'.repeat(500);
  for (const text of [clauses, spaces, solid]) {
    const parts = cut(text);
    assert.ok(parts.length > 1);
    assert.ok(parts.every((part) => part.length <= SENTENCE_LIMIT && part.isWellFormed?.() !== false));
    assert.equal(parts.join('').replaceAll(/\s/g, ''), text.replaceAll(/\s/g, ''));
  }
  assert.ok(cut(clauses).every((part) => part.endsWith(',')));
});

test('what is spoken: one line, ended, and a blank line', () => {
  assert.equal(spoken('A heading\n of two  lines'), 'A heading of two lines.\n\n');
  assert.equal(spoken('She said: "No!"'), 'She said: "No!"\n\n');
  assert.equal(spoken('First,'), 'First,\n\n');
});

test('a position in the spoken text is found in the document', async () => {
  const sentences = ['Zero.', 'One', 'Two.', 'Three.'];
  const track = new Track(sentences, 1);
  const pieces = [];
  for await (const piece of track.pieces()) pieces.push(piece);
  assert.deepEqual(pieces, ['One.\n\n', 'Two.\n\n', 'Three.\n\n']);
  const begins = [0, pieces[0].length, pieces[0].length + pieces[1].length];
  assert.deepEqual(begins.map((begin) => track.at(begin)), [1, 2, 3]);
  assert.deepEqual(begins.map((begin) => track.at(begin + 3)), [1, 2, 3]);
  assert.equal(track.at(1e6), 3);
});

test('a place is found again, also when sentences are cut otherwise', () => {
  const sentences = ['A.', 'B.', 'Same.', 'C.', 'Same.', 'D.'];
  for (const index of sentences.keys()) assert.equal(sentenceAt(sentences, placeAt(sentences, index)), index);
  const place = placeAt(sentences, 3);
  assert.equal(sentenceAt(['New.', 'A.', 'B.', 'Same.', 'C.'], place), 4);
  // Gone: the same share.
  assert.equal(sentenceAt(['x', 'y', 'z'], { sentence: 3, words: 'Not there', of: 6 }), 2);
  assert.equal(sentenceAt(sentences, undefined), 0);
  assert.equal(sentenceAt([], place), 0);
  assert.equal(share(placeAt(sentences, 5)), 1);
  assert.equal(share(undefined), 0);
});

test('paragraph steps', () => {
  const paragraphs = [0, 0, 1, 1, 1, 3];
  const steps = (step) => paragraphs.map((_, from) => paragraphStep(paragraphs, from, step));
  assert.deepEqual(steps(1), [2, 2, 5, 5, 5, 5]);
  assert.deepEqual(steps(-1), [0, 0, 0, 2, 2, 2]);
});

test('formats: by name, by type, by look', () => {
  assert.equal(formatOf('a.TXT'), 'text');
  assert.equal(formatOf('notes.v2.md'), 'markdown');
  assert.equal(formatOf('page', 'text/html; charset=utf-8'), 'html');
  assert.equal(formatOf('book.epub', 'application/epub+zip'), undefined);
  assert.equal(guessFormat('<!DOCTYPE html><p>x'), 'html');
  assert.equal(guessFormat('# Title\n\ntext'), 'markdown');
  assert.equal(guessFormat('1 < 2 and #3 is a number'), 'text');
});

test('formats: plain text is paragraphs, and never HTML', () => {
  assert.equal(toHtml('a <b>\nc & d\r\n \r\nsecond', 'text'), '<p>a &lt;b&gt;\nc &amp; d</p>\n<p>second</p>');
  assert.match(toHtml('# T\n\n*x*', 'markdown'), /<h1>T<\/h1>\s*<p><em>x<\/em><\/p>/);
});

test('formats: encodings', () => {
  const latin = Uint8Array.from(Buffer.from('<meta charset="iso-8859-1">caf\xe9', 'latin1'));
  assert.ok(decodeText(latin, 'html').endsWith('café'));
  assert.equal(decodeText(new Uint8Array([0xff, 0xfe, 0x68, 0, 0xe9, 0]), 'text'), 'hé');
  assert.equal(decodeText(new TextEncoder().encode('\ufeffhé'), 'text'), 'hé');
  assert.equal(decodeText(new TextEncoder().encode('<meta charset="nonsense">é'), 'html'), '<meta charset="nonsense">é');
});

test('the outline of a sound never has more bars than asked for, and keeps its peaks', () => {
  const outline = new Outline(8);
  for (let i = 0; i < 1000; i++) {
    outline.push(i === 500 ? 0.9 : 0.1);
    assert.ok(outline.bars.length <= 8 && outline.bars.length > 0);
  }
  assert.equal(Math.max(...outline.bars), 0.9);
  assert.equal(outline.bars.filter((bar) => bar > 0.5).length, 1);
});

test('texts without ends, and what only begins like Markdown: time grows with their length', { timeout: 60_000 }, () => {
  const lines = 'a line of words, 1234\n'.repeat(60_000);
  assert.ok(cut(lines).every((part) => part.length <= SENTENCE_LIMIT));
  for (const letter of ['\n', ' ', '[', '#', '- ', '<p ']) guessFormat(letter.repeat(300_000));
  assert.equal(guessFormat('\n- one\n\n  - two'), 'markdown');
  assert.equal(guessFormat('See [this](https://example.com/).'), 'markdown');
});

test('a page that says that it is UTF-16 in letters of one byte is none', () => {
  const bytes = new TextEncoder().encode('<meta charset="utf-16"><p>Hello, \u00e9');
  assert.match(decodeText(bytes, 'html'), /<p>Hello, \u00e9$/);
});
