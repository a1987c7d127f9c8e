// Where sentences begin and end in a piece of running text, and what of them is spoken. Pure.

/** A part of a text, in UTF-16 positions. */
export interface Range {
  readonly begin: number;
  readonly end: number;
}

/** Longer ones are cut: at a clause, else between two words. Nobody wants to go back over more to hear a word again. */
export const SENTENCE_LIMIT = 400;

/** What is looked at of a text that may have ended: time must not grow with the square of one that does not end. */
const TAIL = 64;

/** What a full stop follows without ending a sentence. */
const ABBREVIATION = /(?:^|[\s("'“‘[])(?:\p{Lu}|Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|cf|e\.g|i\.e|etc|No|Fig|Vol|pp?)\.\s*$/u;

function words(text: string, range: Range): Range | undefined {
  const part = text.slice(range.begin, range.end);
  const begin = range.begin + part.length - part.trimStart().length;
  const end = range.begin + part.trimEnd().length;
  return begin < end ? { begin, end } : undefined;
}

/** Something to say: a letter or a digit. */
export function speakable(text: string): boolean {
  return /[\p{L}\p{N}]/u.test(text);
}

function cutLong(text: string, range: Range): Range[] {
  const cuts: Range[] = [];
  let { begin } = range;
  while (range.end - begin > SENTENCE_LIMIT) {
    const part = text.slice(begin, begin + SENTENCE_LIMIT);
    // The last clause that is not right at the beginning; else the last space; else (no space at all) anywhere.
    const clause = /^[^]{100,}[,;:–—](?=\s)/u.exec(part)?.[0].length;
    const space = /^[^]*\s/u.exec(part)?.[0].length;
    const half = /[\ud800-\udbff]$/.test(part) ? 1 : 0;
    const at = begin + (clause ?? space ?? SENTENCE_LIMIT - half);
    cuts.push({ begin, end: at });
    begin = at;
  }
  return [...cuts, { begin, end: range.end }];
}

/** The sentences of a paragraph, without the white space around them. */
export function sentencesOf(text: string, language = 'en'): Range[] {
  const whole: Range[] = [];
  let open: Range | undefined;
  for (const { index, segment } of new Intl.Segmenter(language, { granularity: 'sentence' }).segment(text)) {
    const range = { begin: open?.begin ?? index, end: index + segment.length };
    const so = text.slice(range.begin, range.end).trimEnd().slice(-TAIL);
    // Joined with what follows: after "Dr.", and what goes on in lower case, which the wrapping of lines also cuts.
    const goesOn = ABBREVIATION.test(so) || !/[.!?…。！？]["'”’»)\]]*\s*$/u.test(so) || /^\p{Ll}/u.test(text.slice(range.end, range.end + 2));
    open = goesOn && range.end < text.length ? range : undefined;
    if (open === undefined) whole.push(range);
  }
  if (open !== undefined) whole.push(open);
  return whole
    .flatMap((range) => cutLong(text, range))
    .flatMap((range) => words(text, range) ?? [])
    .reduce<Range[]>((all, range) => {
      // A lone dash or bracket goes with the sentence before.
      const last = all.at(-1);
      if (last !== undefined && !speakable(text.slice(range.begin, range.end))) {
        all[all.length - 1] = { begin: last.begin, end: range.end };
      } else all.push(range);
      return all;
    }, [])
    .filter(({ begin, end }) => speakable(text.slice(begin, end)));
}

/**
 * A sentence as it goes to the voice: on one line, ended, and closed by a blank line, which ends a sentence however the
 * next one begins (PocketTTS.stream).
 */
export function spoken(sentence: string): string {
  const line = sentence.replaceAll(/\s+/gu, ' ').trim();
  return `${line}${/[.!?…。！？:;,]["'”’»)\]]*$/u.test(line) ? '' : '.'}\n\n`;
}
