// A function of the caller's that is told of something while work goes on: what it throws, or the promise that it returns rejects
// with, belongs to the caller again, but never in the middle of what the package does just then.
import type { Source } from './host.js';
import { abortable } from './turns.js';

export class Listener<T> {
  readonly #listener: ((value: T) => unknown) | undefined;
  #telling: Promise<unknown> = Promise.resolve();
  #failed: { readonly error: unknown } | undefined;

  constructor(listener: ((value: T) => unknown) | undefined) {
    this.#listener = listener;
  }

  /** Throws nothing. */
  readonly tell = (value: T): void => {
    const heard = (async () => {
      await this.#listener?.(value);
    })().catch((error: unknown) => {
      this.#failed ??= { error };
    });
    this.#telling = Promise.all([this.#telling, heard]);
  };

  /** Throws what the listener has failed with since the last look. */
  check(): void {
    const failed = this.#failed;
    this.#failed = undefined;
    if (failed !== undefined) throw failed.error;
  }

  /** Waits until the listener has heard everything, and does the same. */
  async told(): Promise<void> {
    await this.#telling;
    this.check();
  }
}

/** A source whose files end with what the listener to its warnings has failed with. */
export function heeding(source: Source, warnings: Listener<never>): Source {
  const open: Source['open'] = async (path, signal, expected) => {
    const file = await source.open(path, signal, expected);
    const told = (): Promise<void> => abortable(warnings.told(), signal);
    const slices = async function* (): AsyncGenerator<Uint8Array> {
      yield* file.slices;
      await told();
    };
    try {
      await told();
    } catch (error) {
      await file.close();
      throw error;
    }
    return { ...file, slices: slices() };
  };
  return { ...source, open };
}
