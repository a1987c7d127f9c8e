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
  // Bytes that are not there any more (isUint8Array) are no strings either.
  if (!has(text, Symbol.iterator) || text instanceof Uint8Array) refuse('text', 'a string, a Uint8Array, or an iterable of strings', text);
  const source = opened((text as Iterable<unknown>)[Symbol.iterator]());
  let joined = '';
  for (;;) {
    const result = checkedResult(source.next());
    if (result.done === true) return joined;
    try {
      joined += checkedPart(result.value);
      if (joined.length > TEXT_LIMIT) tooLong();
    } catch (error) {
      try {
        source.return?.();
      } catch {
        // The first error counts.
      }
      throw error;
    }
  }
}

/** An iterator as the protocol has it: without one the engine of the language throws a TypeError about nobody's code. */
function opened<T extends Iterator<unknown> | AsyncIterator<unknown>>(source: T): T {
  const given: unknown = source;
  const next: unknown = given === null || given === undefined ? undefined : (given as { next?: unknown }).next;
  if (typeof next !== 'function') refuse('text', 'an iterator with a method next', given);
  return source;
}

function checkedResult<T>(result: IteratorResult<T>): IteratorResult<T> {
  const given: unknown = result;
  if (typeof given !== 'object' || given === null) refuse('text', 'an iterator whose next() gives { done, value }', given);
  return result;
}

function tooLong(): never {
  throw new PocketTTSError('text-too-long', `text: expected at most ${TEXT_LIMIT} bytes, found more`);
}

function checkedPart(part: unknown): string {
  if (typeof part !== 'string') refuse('text', 'strings', part);
  if (part.length > TEXT_LIMIT) tooLong();
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
    this.#source = opened(text[Symbol.asyncIterator]());
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
        result = checkedResult(await this.#source.next());
      } catch (error) {
        this.#ended = true;
        throw error;
      }
      if (result.done === true) {
        this.#ended = true;
        for (const piece of this.#sentences.end()) this.#ready.push(piece);
      } else {
        for (const piece of this.#sentences.push(checkedPart(result.value))) this.#ready.push(piece);
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
