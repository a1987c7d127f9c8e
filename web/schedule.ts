// When to start: so early that nobody waits, so late that the sound need not stop. No clocks in here.

/** A producer this much faster than the sound never waits for the rest. */
const SAFETY = 1.15;
/** Seconds of sound that are there before it starts: what a busy page may take. */
export const LEAST = 0.24;
/** Frames before the rate is believed. */
const FRAMES = 3;
/** Seconds of speech for a token, until some chunk has told. */
const SECONDS_PER_TOKEN = 0.3;

/** How fast speech is made: seconds of speech, and the seconds that were waited for it. */
export class Production {
  #made = 0;
  #took = 0;
  #frames = 0;

  /** `seconds` of speech for which the reader waited `waited` seconds. The first says when work began, not how fast it is. */
  add(seconds: number, waited: number): void {
    if (this.#frames++ === 0) return;
    this.#made += seconds;
    this.#took += waited;
  }

  /** Seconds of speech a second, or undefined: too early to say. */
  get rate(): number | undefined {
    if (this.#frames < FRAMES) return undefined;
    return this.#made / Math.max(this.#took, 1e-6);
  }
}

/** A chunk, for the guess at how long a text will be. */
export interface Length {
  readonly tokens: number;
  /** Seconds made so far. */
  readonly made: number;
  readonly complete: boolean;
}

/** Seconds that the chunks still to come, and the rest of the one in work, will last. */
export function remaining(chunks: readonly Length[]): number {
  let seconds = 0;
  let tokens = 0;
  for (const chunk of chunks) {
    if (!chunk.complete) continue;
    seconds += chunk.made;
    tokens += chunk.tokens;
  }
  const perToken = tokens > 0 ? seconds / tokens : SECONDS_PER_TOKEN;
  return chunks.reduce((sum, { tokens: length, made, complete }) => {
    return complete ? sum : sum + Math.max(0, length * perToken - made);
  }, 0);
}

export interface Moment {
  /** Seconds of speech that are there and were not heard. */
  readonly ahead: number;
  /** Seconds of speech still to be made, as far as is known. */
  readonly remaining: number;
  /** Seconds of speech that are made in a second. */
  readonly rate: number | undefined;
  /** Seconds of speech that are heard in a second. */
  readonly speed: number;
  /** All is made. */
  readonly complete: boolean;
}

/** Seconds of speech that have to be there before the sound starts; Infinity: not known yet. */
export function needed({ remaining: rest, rate, speed }: Moment): number {
  if (rate === undefined) return Infinity;
  // Heard until all is made: ahead + rate * t >= speed * t, for every t up to rest / rate.
  const reserve = Math.max(0, (rest * (SAFETY * speed - rate)) / rate);
  return LEAST * Math.max(1, speed) + reserve;
}

/** Seconds until the sound should start: 0 now, Infinity not known yet. */
export function wait(moment: Moment): number {
  if (moment.complete) return 0;
  const need = needed(moment);
  if (need === Infinity) return Infinity;
  // What is made while waiting shortens the rest: the reserve shrinks by itself as time goes on.
  const missing = need - moment.ahead;
  if (missing <= 0 || moment.rate === undefined) return 0;
  return missing / (moment.rate + Math.max(0, SAFETY * moment.speed - moment.rate));
}
