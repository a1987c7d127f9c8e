// Transfers that stand still: a connection that brings nothing for a while counts as one that was cut.
import { abortError, PocketTTSError } from './errors.js';

/** Seconds without an answer or a byte, at most. */
export const IDLE_TIMEOUT = 30;
/**
 * The time is counted in so many parts. A process that is held up, or a machine that sleeps, comes back to a timer that is
 * due and to bytes that lie there: it loses one part, and the bytes are read before the next one.
 */
const PARTS = 4;

/** The transfer ended too early. */
export class Cut extends PocketTTSError {}

/** It did not end, but nothing came any more. */
export class Stalled extends Cut {}

/** Watches over one request. Time counts only while somebody waits for the network: a slow reader is no fault of the server. */
export class IdleWatch {
  readonly #request = new AbortController();
  readonly #seconds: number;
  readonly #signal: AbortSignal | undefined;

  constructor(seconds: number, signal: AbortSignal | undefined) {
    this.#seconds = seconds;
    this.#signal = signal;
  }

  /** For fetch(): ends the request when it stands still, and when the caller's own signal fires. */
  get signal(): AbortSignal {
    return this.#request.signal;
  }

  /** Waits for what the network owes. `failed` makes the error of a failure; `what` did not come when it stands still. */
  async wait<T>(owed: () => Promise<T>, what: string, failed: (cause: unknown) => PocketTTSError): Promise<T> {
    const outer = this.#signal;
    const end = (): void => {
      this.#request.abort();
    };
    const watch = { idle: false };
    let left = PARTS;
    const timer = setInterval(() => {
      if (--left > 0) return;
      watch.idle = true;
      end();
    }, (this.#seconds * 1000) / PARTS);
    if (outer?.aborted) end();
    outer?.addEventListener('abort', end, { once: true });
    try {
      return await owed();
    } catch (error) {
      if (outer?.aborted) throw abortError(outer);
      if (watch.idle) throw new Stalled('network', `${what} for ${this.#seconds} s`, { cause: error });
      throw failed(error);
    } finally {
      clearInterval(timer);
      outer?.removeEventListener('abort', end);
    }
  }
}
