// Samples for a context with a rate of its own: a windowed sinc, one phase of it for every place between two samples.
// The pass band ends at 0.91 of the lower half rate; aliases and images are 80 dB down (tests/node/player-parts.test.mjs).

/** Zero crossings of the sinc on each side. */
const CROSSINGS = 48;
const BETA = 9;
const CUTOFF = 0.94;

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/** The modified Bessel function of order 0. */
function bessel(x: number): number {
  let sum = 1;
  for (let k = 1, term = 1; term > sum * 1e-12; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

export class Resampler {
  readonly #up: number;
  readonly #down: number;
  readonly #half: number;
  readonly #phases: readonly Float32Array[];
  /** Input from #begin on; before the first sample it is silent. */
  #input: Float32Array;
  #begin: number;
  #length: number;
  #output = 0;

  /** From and to whole numbers of Hz. */
  constructor(from: number, to: number) {
    const common = gcd(from, to);
    this.#up = to / common;
    this.#down = from / common;
    const scale = Math.min(1, to / from) * CUTOFF;
    this.#half = Math.ceil(CROSSINGS / scale);
    const norm = bessel(BETA);
    this.#phases = Array.from({ length: this.#up }, (_, phase) => {
      const taps = new Float32Array(2 * this.#half);
      let sum = 0;
      for (let i = 0; i < taps.length; i++) {
        // Where the tap lies, in samples of the input from the one that is made.
        const x = i - this.#half + 1 - phase / this.#up;
        const edge = x / this.#half;
        const window = Math.abs(edge) >= 1 ? 0 : bessel(BETA * Math.sqrt(1 - edge * edge)) / norm;
        const sinc = x === 0 ? 1 : Math.sin(Math.PI * scale * x) / (Math.PI * scale * x);
        taps[i] = scale * sinc * window;
        sum += scale * sinc * window;
      }
      // Every phase lets a constant through as it is.
      return taps.map((tap) => tap / sum);
    });
    this.#begin = -this.#half;
    this.#length = this.#half;
    this.#input = new Float32Array(4 * this.#half);
  }

  /** The samples that can be made with these. */
  push(samples: Float32Array): Float32Array<ArrayBuffer> {
    this.#append(samples);
    return this.#make(this.#begin + this.#length - this.#half);
  }

  /** The rest: all in all the rounded-up number for what went in. */
  end(): Float32Array<ArrayBuffer> {
    const whole = this.#begin + this.#length;
    this.#append(new Float32Array(this.#half + 1));
    return this.#make(whole);
  }

  #append(samples: Float32Array): void {
    // What lies before the next place is done with.
    const first = Math.floor((this.#output * this.#down) / this.#up) - this.#half;
    const done = Math.max(0, Math.min(this.#length, first - this.#begin));
    this.#input.copyWithin(0, done, this.#length);
    this.#begin += done;
    this.#length -= done;
    if (this.#length + samples.length > this.#input.length) {
      const larger = new Float32Array(2 * (this.#length + samples.length));
      larger.set(this.#input.subarray(0, this.#length));
      this.#input = larger;
    }
    this.#input.set(samples, this.#length);
    this.#length += samples.length;
  }

  /** Everything whose place is before `end` of the input. */
  #make(end: number): Float32Array<ArrayBuffer> {
    const last = Math.max(this.#output, Math.ceil((end * this.#up) / this.#down));
    const out = new Float32Array(last - this.#output);
    for (let i = 0; i < out.length; i++, this.#output++) {
      const place = this.#output * this.#down;
      const taps = this.#phases[place % this.#up];
      if (taps === undefined) break;
      const at = Math.floor(place / this.#up) - this.#half + 1 - this.#begin;
      let sum = 0;
      for (let k = 0; k < taps.length; k++) sum += (taps[k] ?? 0) * (this.#input[at + k] ?? 0);
      out[i] = sum;
    }
    return out;
  }
}
