// Waiting: for a promise or a signal, and for one's turn.
import { abortError, throwIfAborted } from './errors.js';

/** Waits for `promise` or for the signal, whichever is first. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  throwIfAborted(signal);
  let onAbort: (() => void) | undefined;
  try {
    return await new Promise<T>((resolve, reject) => {
      onAbort = () => {
        reject(abortError(signal));
      };
      signal.addEventListener('abort', onAbort, { once: true });
      promise.then(resolve, reject);
    });
  } finally {
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
  }
}

/** First come, first served. */
export class Queue {
  #tail: Promise<void> = Promise.resolve();

  /** Waits for its turn; the result ends the turn. */
  async enter(signal: AbortSignal | undefined): Promise<() => void> {
    const before = this.#tail;
    let leave = (): void => undefined;
    this.#tail = new Promise((resolve) => {
      leave = resolve;
    });
    try {
      await abortable(before, signal);
      return leave;
    } catch (error) {
      // Gives up its place without letting the next one overtake the one before.
      void before.then(leave);
      throw error;
    }
  }
}
