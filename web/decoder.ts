// Latents become sound: the codec of one stream, what it holds until there is enough, and how much is enough.
import type { DoorCodec, DoorMemory, DoorModel, Engine } from './engine.js';
import type { Place, StreamEvent } from './protocol.js';

/** Latents in one call of the decoder, at most: the step between two looks at the messages stays short. */
export const BLOCK_LIMIT = 4;
/** Of that step, ms: what a page that shows itself 25 times a second has for a picture. */
const STEP_MS = 40;

/** A stream's codec, and latents that are held for it until there are enough. */
export class Decoder {
  readonly #engine: Engine;
  readonly #codec: DoorCodec;
  readonly #pcm: DoorMemory;
  readonly #latents: DoorMemory;
  readonly #samples: number;
  readonly #width: number;
  #places: Place[] = [];

  /** With room for `most` latents. */
  constructor({ engine, model }: { readonly engine: Engine; readonly model: DoorModel }, most: number) {
    const { latentWidth, samplesPerFrame } = engine.run(() => model.info());
    this.#engine = engine;
    this.#samples = samplesPerFrame;
    this.#width = latentWidth;
    const codec = engine.run((door) => new door.Codec());
    let pcm: DoorMemory | undefined;
    try {
      engine.call(() => codec.open(model));
      pcm = engine.memory(most * samplesPerFrame * 4);
      this.#latents = engine.memory(most * latentWidth * 4);
    } catch (error) {
      for (const object of [pcm, codec]) engine.release(object);
      throw error;
    }
    this.#pcm = pcm;
    this.#codec = codec;
  }

  get held(): number {
    return this.#places.length;
  }

  /** Takes a latent. */
  hold({ chunk, step }: Place, latent: Float32Array): void {
    // A fresh view: the memory may have grown.
    this.#engine.run(() => {
      this.#latents.floats().set(latent, this.#places.length * this.#width);
    });
    this.#places.push({ chunk, step });
  }

  /** The frames of what is held. */
  decode(): StreamEvent[] {
    const places = this.#places;
    if (places.length === 0) return [];
    this.#places = [];
    this.#engine.call(() => this.#codec.decode(this.#latents, places.length, this.#pcm));
    const pcm = this.#engine.run(() => this.#pcm.floats());
    return places.map((place, i) => ({
      kind: 'frame',
      ...place,
      samples: pcm.slice(i * this.#samples, (i + 1) * this.#samples),
    }));
  }

  /** The next latent begins a chunk. */
  reset(): void {
    this.#places = [];
    this.#engine.call(() => this.#codec.reset());
  }

  close(): void {
    for (const object of [this.#pcm, this.#latents, this.#codec]) this.#engine.release(object);
  }
}

/**
 * How many latents become sound together (1, 2, 4) where one instance makes both: together they take less time, as much
 * of the codec's weights comes from memory once for two, and less is said between threads, but the first of them waits
 * for the last. So only while what was made before sounds twice as long as that takes, and never for the first sound.
 */
export class Pace {
  readonly #frameMs: number;
  #block = 1;
  #frames = 0;
  #begin = 0;
  #last = 0;

  /** Frames sound so long, ms. */
  constructor(frameMs: number) {
    this.#frameMs = frameMs;
  }

  get block(): number {
    return this.#block;
  }

  /** At `now` (ms) there were so many frames more, made from latents in `decoding` ms. */
  made(frames: number, decoding: number, now: number): void {
    if (this.#frames === 0) this.#begin = this.#last = now;
    const each = Math.max((now - this.#last) / frames, decoding / frames);
    this.#frames += frames;
    this.#last = now;
    const ahead = this.#frames * this.#frameMs - (now - this.#begin);
    // What sounded is over: too slow, or nobody asked for a while. It begins anew.
    if (ahead < 0) this.#frames = 0;
    const fits = (block: number): boolean =>
      2 * block * each <= ahead && (block * decoding) / frames <= STEP_MS && block <= BLOCK_LIMIT;
    this.#block = fits(2 * this.#block) ? 2 * this.#block : fits(this.#block) ? this.#block : 1;
  }
}

/** The decoder of an instance that makes the latents, too. */
export class OwnDecoder {
  readonly #engine: Engine;
  readonly #decoder: Decoder;
  readonly #pace: Pace;

  constructor(instance: { readonly engine: Engine; readonly model: DoorModel }) {
    const { samplesPerFrame, sampleRate } = instance.engine.run(() => instance.model.info());
    this.#engine = instance.engine;
    this.#decoder = new Decoder(instance, BLOCK_LIMIT);
    this.#pace = new Pace((1000 * samplesPerFrame) / sampleRate);
  }

  /** Takes a latent: the frames that are due then. `last`: all that is held is, as no other may be made before they are read. */
  take(place: Place, latent: Float32Array, last: boolean): StreamEvent[] {
    this.#decoder.hold(place, latent);
    return last || this.#decoder.held >= this.#pace.block ? this.#decode() : [];
  }

  /** What is held when the chunk ends. */
  finish(): StreamEvent[] {
    const frames = this.#decode();
    this.#decoder.reset();
    return frames;
  }

  /** What is held when the chunk fails, if the codec can still make sound of it. */
  rest(): StreamEvent[] {
    try {
      return this.#decode();
    } catch (error) {
      if (this.#engine.crashed) throw error;
      return [];
    }
  }

  #decode(): StreamEvent[] {
    const frames = this.#decoder.held;
    if (frames === 0) return [];
    const begin = performance.now();
    const events = this.#decoder.decode();
    const now = performance.now();
    this.#pace.made(frames, now - begin, now);
    return events;
  }

  /** The next latent begins a chunk; what is held is forgotten. */
  reset(): void {
    this.#decoder.reset();
  }

  close(): void {
    this.#decoder.close();
  }
}
