// How far a load() is: counted here, reported at most ten times a second, and always at the end.
import type { LoadPhase } from './host.js';
import { Listener } from './listener.js';

/** Reports the loading of a pack: its model and the default voice. Nothing in it ever gets less. */
export interface LoadProgress {
  /** `download`: from the network. `load`: from the cache, a folder or the package. */
  readonly phase: LoadPhase;
  readonly file: string;
  /** Bytes of all files so far. */
  readonly loaded: number;
  /** Bytes of all files. Undefined as long as the size of one is not known. */
  readonly total: number | undefined;
  /** Of the last seconds. Undefined at the beginning. */
  readonly bytesPerSecond: number | undefined;
  /** Seconds to go, at that pace. */
  readonly eta: number | undefined;
}

const INTERVAL_MS = 100;
/** What the pace is taken from. */
const WINDOW_MS = 3000;

export class Meter {
  readonly #listener: Listener<LoadProgress>;
  readonly #now: () => number;
  readonly #sizes = new Map<string, number | undefined>();
  /** Times and bytes of the last seconds. */
  #marks: { readonly at: number; readonly loaded: number }[] = [];
  #loaded = 0;
  /** What was reported: files that are fetched again do not take it back. */
  #shown = 0;
  #shownTotal = 0;
  #last: { readonly phase: LoadPhase; readonly file: string } | undefined;
  #reported: number | undefined;
  #pending = false;

  constructor(report: ((progress: LoadProgress) => unknown) | undefined, now = (): number => performance.now()) {
    this.#listener = new Listener(report);
    this.#now = now;
  }

  /** A file that will be read, with its size where that is known. */
  expect(file: string, bytes: number | undefined): void {
    this.#sizes.set(file, bytes ?? this.#sizes.get(file));
  }

  add(file: string, phase: LoadPhase, bytes: number): void {
    this.#listener.check();
    this.#loaded += bytes;
    this.#last = { file, phase };
    this.#pending = true;
    if (this.#reported === undefined || this.#now() - this.#reported >= INTERVAL_MS) this.#show();
  }

  /** Everything is read. */
  end(): void {
    if (this.#pending) this.#show();
  }

  /** The listener has heard everything; rejects with what it has failed with. */
  told(): Promise<void> {
    return this.#listener.told();
  }

  /** Everything once more. */
  restart(): void {
    this.#sizes.clear();
    this.#loaded = 0;
  }

  #show(): void {
    const at = this.#now();
    this.#reported = at;
    this.#pending = false;
    this.#shown = Math.max(this.#shown, this.#loaded);
    const sizes = [...this.#sizes.values()];
    const known = sizes.every((size) => size !== undefined);
    const sum = sizes.reduce<number>((all, size) => all + (size ?? 0), 0);
    if (known) this.#shownTotal = Math.max(this.#shownTotal, sum);
    const total = known ? this.#shownTotal : undefined;
    this.#marks = [...this.#marks.filter((mark) => at - mark.at <= WINDOW_MS), { at, loaded: this.#shown }];
    const [first] = this.#marks;
    const seconds = first === undefined ? 0 : (at - first.at) / 1000;
    const bytesPerSecond = first === undefined || seconds === 0 ? undefined : (this.#shown - first.loaded) / seconds;
    const eta =
      total === undefined || bytesPerSecond === undefined || bytesPerSecond === 0
        ? undefined
        : (total - this.#shown) / bytesPerSecond;
    // What it fails with is looked at by what is read next, and at the end.
    if (this.#last !== undefined) this.#listener.tell({ ...this.#last, loaded: this.#shown, total, bytesPerSecond, eta });
  }
}
