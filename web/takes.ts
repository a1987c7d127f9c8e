// What has been made of a text and can still be heard: a window of samples, addressed by their place in the whole.

export class Takes {
  readonly #blocks: Float32Array[] = [];
  #begin = 0;
  #end = 0;

  /** Samples from `begin` to `end` of the whole are here. */
  get begin(): number {
    return this.#begin;
  }

  get end(): number {
    return this.#end;
  }

  /** Keeps a block; it is not copied. */
  push(samples: Float32Array): void {
    if (samples.length === 0) return;
    this.#blocks.push(samples);
    this.#end += samples.length;
  }

  /** At most `most` samples from `from` on, out of one block: a view. Empty at the end. */
  read(from: number, most: number): Float32Array {
    let at = this.#begin;
    for (const block of this.#blocks) {
      if (from < at + block.length) return block.subarray(from - at, from - at + most);
      at += block.length;
    }
    return new Float32Array(0);
  }

  /** Lets whole blocks before `from` go. */
  forget(from: number): void {
    let count = 0;
    let at = this.#begin;
    for (const block of this.#blocks) {
      if (at + block.length > from) break;
      at += block.length;
      count++;
    }
    this.#blocks.splice(0, count);
    this.#begin = at;
  }
}
