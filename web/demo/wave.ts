// The outline of a sound as bars: the loudest sample of each step of time. Pure but for draw().

/** Bars of a growing sound, never more than `most`: two become one when there are too many. */
export class Outline {
  readonly #most: number;
  #bars: number[] = [];
  /** Values that make a bar, and those of the open one. */
  #each = 1;
  #open: number[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  get bars(): readonly number[] {
    return this.#open.length === 0 ? this.#bars : [...this.#bars, Math.max(...this.#open)];
  }

  /** A step of time: its loudest sample, 0 to 1. */
  push(peak: number): void {
    this.#open.push(Math.min(1, peak));
    if (this.#open.length < this.#each) return;
    this.#bars.push(Math.max(...this.#open));
    this.#open = [];
    if (this.#bars.length < this.#most) return;
    this.#each *= 2;
    this.#bars = this.#bars.reduce<number[]>((all, bar, index) => {
      if (index % 2 === 0) all.push(bar);
      else all[all.length - 1] = Math.max(all.at(-1) ?? 0, bar);
      return all;
    }, []);
  }
}

export function peakOf(samples: Float32Array): number {
  let peak = 0;
  for (const sample of samples) peak = Math.max(peak, Math.abs(sample));
  return peak;
}

/** Draws bars from the left, `most` of them to the width, in the colour of the element. */
export function draw(canvas: HTMLCanvasElement, bars: readonly number[], most: number): void {
  const context = canvas.getContext('2d');
  if (context === null) return;
  const { clientWidth, clientHeight } = canvas;
  const width = Math.round(clientWidth * devicePixelRatio);
  const height = Math.round(clientHeight * devicePixelRatio);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  context.clearRect(0, 0, width, height);
  context.fillStyle = getComputedStyle(canvas).color;
  const step = width / most;
  const thin = Math.max(1, step * 0.6);
  // A line where it is silent.
  for (const [index, bar] of bars.entries()) {
    const tall = Math.max(2, bar * (height - 8));
    context.fillRect(index * step, (height - tall) / 2, thin, tall);
  }
}
