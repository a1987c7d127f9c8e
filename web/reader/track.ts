// Which sentence of a document a position in the spoken text belongs to. Pure.
import { spoken } from './segments.js';

/** Sentences from `first` on, handed out one by one as they are wanted, and found again by position. */
export class Track {
  readonly #sentences: readonly string[];
  readonly #first: number;
  /** Where the sentences that were handed out begin in the joined text. */
  readonly #begins: number[] = [];
  #length = 0;

  constructor(sentences: readonly string[], first: number) {
    this.#sentences = sentences;
    this.#first = first;
  }

  /** For PocketTTS.play(). The joined pieces are the text that its positions are about. */
  // eslint-disable-next-line @typescript-eslint/require-await -- play() takes asynchronous texts one sentence at a time.
  async *pieces(): AsyncGenerator<string, undefined> {
    for (const sentence of this.#sentences.slice(this.#first)) {
      const piece = spoken(sentence);
      this.#begins.push(this.#length);
      this.#length += piece.length;
      yield piece;
    }
  }

  /** The sentence at `position` of what was handed out. */
  at(position: number): number {
    let low = 0;
    let high = this.#begins.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((this.#begins[middle] ?? 0) <= position) low = middle;
      else high = middle;
    }
    return this.#first + low;
  }
}
