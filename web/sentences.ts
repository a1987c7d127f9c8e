// Where a text that is still coming can be cut: after a sentence, as soon as its end is certain. The cuts are a matter
// of the joined text alone, however it was divided. They are fewer than those that the engine makes in a whole text, where it
// joins again what it cut; and a closing quote stays with its sentence.
//
// An end is a run of . ! ? ... with the quotes and brackets that close behind it, and then
// * a line break, or white space and a character that does not go on in lower case ("approx. ten"), unless the only
//   mark is the full stop of a title, an initial or an item's number ("Dr. No", "J. Smith", "2. Cut");
// * for the full-width marks: anything.
// A blank line ends a sentence without a mark.

/** A sentence with the white space behind it, and where it begins in the joined text (UTF-16). */
export interface Piece {
  readonly text: string;
  readonly begin: number;
}

/** Text without an end for so long is cut between two words. */
export const PIECE_LIMIT = 1000;

/** How much of a run of marks and white space is looked at, in bytes of UTF-8 (as in Go): time must not grow with its square. */
const RUN_LIMIT = 4 * PIECE_LIMIT;

/** Where an end may begin. */
const MARK = /[\n。！？.!?…]/g;
/** Those that may be followed by anything but white space without being an end. */
const MARKS = /[.!?…]*/y;
// A blank line; or marks, what closes behind them, and the white space after it.
const END = /\n[^\S\n]*\n|(?<wide>[。！？]+)["'”’»)\]」』]*|(?<marks>[.!?…]+)["'”’»)\]]*(?<space>\s+|$)/uy;
/** What a full stop follows without an end: titles, and initials. */
const TITLE = /(?:^|[\s("'“‘«[])(?:\p{Lu}|Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|Mt|Gen|Rev|Hon|Mme|Mlle|Hr|Fr|Sra|Dra|Sig|Dott|vs|cf)$/u;
const ITEM = /(?:^|\n)\s*\d{1,3}$/;

export class Sentences {
  #text = '';
  #begin = 0;

  /** The sentences that are complete with `text`. */
  push(text: string): Piece[] {
    this.#text += text;
    return this.#cut(false);
  }

  /** The rest. */
  end(): Piece[] {
    const pieces = this.#cut(true);
    if (this.#text !== '') pieces.push(this.#take(this.#text.length));
    return pieces;
  }

  #cut(last: boolean): Piece[] {
    const pieces: Piece[] = [];
    for (;;) {
      const cut = nextCut(this.#text, last);
      if (cut === undefined) return pieces;
      pieces.push(this.#take(cut));
    }
  }

  #take(length: number): Piece {
    const piece = { text: this.#text.slice(0, length), begin: this.#begin };
    this.#text = this.#text.slice(length);
    this.#begin += length;
    return piece;
  }
}

/** The end of the first sentence, or undefined: more has to come. */
function nextCut(text: string, last: boolean): number | undefined {
  // Leading white space is nobody's: a blank line there ends nothing. What has no end is a piece by itself.
  const head = limited(text.slice(0, RUN_LIMIT));
  const lead = head.length - head.trimStart().length;
  if (lead > 0 && lead === head.length && lead < text.length) return lead;
  for (let at = lead; ;) {
    const begin = nextMark(text, at);
    if (begin === undefined) break;
    const match = endAt(text.slice(begin, begin + RUN_LIMIT));
    if (match === null) {
      // Nor does one begin within a run of marks.
      at = text[begin] === '\n' ? begin + 1 : begin + marksOf(text.slice(begin, begin + RUN_LIMIT));
      continue;
    }
    const end = begin + match[0].length;
    at = end;
    const { marks, space, wide } = match.groups ?? {};
    // What touches the end of what is here may go on.
    if (end === text.length && !last && space?.includes('\n') !== true) return undefined;
    if (marks === undefined || space === undefined) {
      if (wide === undefined || end < text.length) return end;
      continue;
    }
    const line = space.indexOf('\n');
    if (line >= 0) return end - space.length + line + 1;
    if (space === '' || end === text.length) continue;
    if (/^\p{Ll}/u.test(text.slice(end, end + 2))) continue;
    const before = text.slice(lead, begin);
    if (marks === '.' && (TITLE.test(before) || ITEM.test(before))) continue;
    return end;
  }
  return text.length > PIECE_LIMIT + lead ? forced(text, lead) : undefined;
}

/** Where an end may begin, at or after a place and within the limit. */
function nextMark(text: string, at: number): number | undefined {
  MARK.lastIndex = at;
  return MARK.exec(text.slice(0, PIECE_LIMIT + 1))?.index;
}

/** The end at the beginning of `text`. */
function endAt(text: string): RegExpExecArray | null {
  END.lastIndex = 0;
  const match = END.exec(text);
  if (match === null) return null;
  const part = limited(match[0]);
  if (part === match[0]) return match;
  END.lastIndex = 0;
  return END.exec(part);
}

function marksOf(text: string): number {
  MARKS.lastIndex = 0;
  return MARKS.exec(text)?.[0].length ?? 0;
}

/** The characters of a text that are within RUN_LIMIT. */
function limited(text: string): string {
  if (text.length <= RUN_LIMIT / 3) return text;
  let bytes = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    // A surrogate ends the run: what it counts for is no matter.
    bytes += unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3;
    if (bytes > RUN_LIMIT) return text.slice(0, at);
  }
  return text;
}

function forced(text: string, lead: number): number {
  const part = text.slice(0, PIECE_LIMIT + lead);
  const space = /\s\S*$/u.exec(part.slice(lead));
  if (space !== null && space.index > 0) return lead + space.index + 1;
  return /[\ud800-\udbff]$/.test(part) ? part.length - 1 : part.length;
}
