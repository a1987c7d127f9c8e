// Speech at another speed, by an instance of the engine in the page.
//
// Why in the page and not in a worker of the engine: a new speed has to be heard within 0.2 s, and a worker may be busy with the
// beginning of a chunk for longer than that. Stretching takes a few per cent of the time that its sound lasts, in pieces of 30 ms,
// and an instance without a model is small. Speed 1 does not come here.
import type { DoorMemory, DoorStretch, Engine } from './engine.js';

const BLOCK = 1920;

export class Stretcher {
  readonly #engine: Engine;
  readonly #stretch: DoorStretch;
  readonly #memory: DoorMemory;

  /** `speed`: 0.25 to 4. */
  constructor(engine: Engine, sampleRate: number, speed: number) {
    this.#engine = engine;
    this.#memory = engine.memory(BLOCK * 4);
    this.#stretch = engine.run((door) => new door.Stretch());
    engine.call(() => this.#stretch.open(sampleRate, speed));
  }

  /** What can be made with these samples too. */
  push(samples: Float32Array): Float32Array<ArrayBuffer> {
    for (let at = 0; at < samples.length; at += BLOCK) {
      const part = samples.subarray(at, at + BLOCK);
      this.#engine.run(() => {
        this.#memory.floats().set(part);
      });
      this.#engine.call(() => this.#stretch.write(this.#memory, part.length));
    }
    return this.#read();
  }

  /** The rest. */
  end(): Float32Array<ArrayBuffer> {
    this.#engine.call(() => this.#stretch.end());
    return this.#read();
  }

  #read(): Float32Array<ArrayBuffer> {
    const blocks: Float32Array[] = [];
    let length = 0;
    for (;;) {
      const count = this.#engine.call(() => this.#stretch.read(this.#memory));
      if (count === 0) break;
      blocks.push(this.#engine.run(() => this.#memory.floats().slice(0, count)));
      length += count;
    }
    const out = new Float32Array(length);
    let at = 0;
    for (const block of blocks) {
      out.set(block, at);
      at += block.length;
    }
    return out;
  }

  close(): void {
    this.#engine.release(this.#stretch);
    this.#engine.release(this.#memory);
  }
}
