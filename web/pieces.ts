// A text in whatever form it is given, and the sentences of one that comes piece by piece.
import { isUint8Array, refuse } from './arguments.js';
import { PocketTTSError } from './errors.js';
import { Sentences } from './sentences.js';
import type { Piece } from './sentences.js';

/**
 * A text: a string, UTF-8, strings that belong together (joined before anything is spoken), or strings that come one after
 * the other, such as the tokens of a language model.
 */
export type Text = string | Uint8Array | Iterable<string> | AsyncIterable<string>;

/** The engine takes no more. */
const TEXT_LIMIT = 4 << 20;

function has(value: unknown, name: symbol): boolean {
  return typeof value === 'object' && value !== null && typeof (value as Record<symbol, unknown>)[name] === 'function';
}

/** The text, where all of it is there; else undefined, for an asynchronous one. */
export function wholeText(text: Text): string | Uint8Array | undefined {
  if (typeof text === 'string' || isUint8Array(text)) return text;
  if (has(text, Symbol.asyncIterator)) return undefined;
  if (!has(text, Symbol.iterator)) refuse('text', 'a string, a Uint8Array, or an iterable of strings', text);
  let joined = '';
  for (const part of text as Iterable<unknown>) {
    joined += checkedPart(part);
    if (joined.length > TEXT_LIMIT) {
      throw new PocketTTSError('text-too-long', `text: expected at most ${TEXT_LIMIT} bytes, found more`);
    }
  }
  return joined;
}

function checkedPart(part: unknown): string {
  if (typeof part !== 'string') refuse('text', 'strings', part);
  return part;
}

/** Reads sentences of an asynchronous text, one ahead of the one that is being spoken. */
export class PieceReader {
  readonly #source: AsyncIterator<string>;
  readonly #sentences = new Sentences();
  readonly #ready: Piece[] = [];
  #ended = false;
  #ahead: Promise<Piece | undefined> | undefined;

  constructor(text: AsyncIterable<string>) {
    this.#source = text[Symbol.asyncIterator]();
  }

  /** The next sentence; undefined at the end. */
  next(): Promise<Piece | undefined> {
    const next = this.#ahead ?? this.#read();
    this.#ahead = undefined;
    return next;
  }

  /** Begins to read the one after. */
  prepare(): void {
    this.#ahead ??= this.#read();
    // Looked at when its turn comes.
    this.#ahead.catch(() => undefined);
  }

  async #read(): Promise<Piece | undefined> {
    while (this.#ready.length === 0 && !this.#ended) {
      let result: IteratorResult<string>;
      try {
        result = await this.#source.next();
      } catch (error) {
        this.#ended = true;
        throw error;
      }
      if (result.done === true) {
        this.#ended = true;
        this.#ready.push(...this.#sentences.end());
      } else {
        this.#ready.push(...this.#sentences.push(checkedPart(result.value)));
      }
    }
    return this.#ready.shift();
  }

  /** Ends the caller's iterator when it has not ended by itself. Nobody waits: it may be waiting itself. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#ready.length = 0;
    void (async () => this.#source.return?.())().catch(() => undefined);
  }
}
