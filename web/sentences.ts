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

// A blank line; or marks, what closes behind them, and the white space after it.
const END = /\n[^\S\n]*\n|(?<wide>[。！？]+)["'”’»)\]」』]*|(?<marks>[.!?…]+)["'”’»)\]]*(?<space>\s+|$)/gu;
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
  // Leading white space is nobody's: a blank line there ends nothing.
  const lead = text.length - text.trimStart().length;
  END.lastIndex = lead;
  for (let match = END.exec(text); match !== null && match.index <= PIECE_LIMIT; match = END.exec(text)) {
    const end = match.index + match[0].length;
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
    const before = text.slice(lead, match.index);
    if (marks === '.' && (TITLE.test(before) || ITEM.test(before))) continue;
    return end;
  }
  return text.length > PIECE_LIMIT + lead ? forced(text, lead) : undefined;
}

function forced(text: string, lead: number): number {
  const part = text.slice(0, PIECE_LIMIT + lead);
  const space = /\s\S*$/u.exec(part.slice(lead));
  if (space !== null && space.index > 0) return lead + space.index + 1;
  return /[\ud800-\udbff]$/.test(part) ? part.length - 1 : part.length;
}
