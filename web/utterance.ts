// One text being spoken: what can be set for it, what comes of it, and a session and a codec of an engine in this thread,
// advanced step by step. Nothing here waits; the loop around it decides when the next frame is made.
import { float, isSeed, isUint8Array, oneOf, refuse, whole } from './arguments.js';
import type { Checks } from './arguments.js';
import { OwnDecoder } from './decoder.js';
import { PocketTTSError } from './errors.js';
import type { DoorMemory, DoorOptions, DoorSession, Engine } from './engine.js';
import type { DoorVoice } from './pocket_tts.mjs';
import type { RawChunk, StreamEvent } from './protocol.js';
import type { Runtime } from './runtime.js';
import { rawChunks } from './voices.js';

/** How the random numbers of the chunks are drawn. */
export type RandomStreams = 'chunk' | 'torch';

/** What can be set for one utterance; everything else is the model's own. */
export interface SpeechOptions {
  /**
   * Seed of the noise, 64 bits: 0 to 2^53 - 1 as a number, to 2^64 - 1 as a bigint. Default 42: the same request gives
   * the same samples.
   */
  readonly seed?: number | bigint | undefined;
  /** Variance of the noise, 0 to 100. */
  readonly temperature?: number | undefined;
  /** The end of a chunk is a logit strictly above it. */
  readonly eosThreshold?: number | undefined;
  /** Noise is truncated to [-noiseClamp, noiseClamp], up to 1e6; 0: not at all. */
  readonly noiseClamp?: number | undefined;
  /** Steps of the sampler, 1 to 1000. */
  readonly decodeSteps?: number | undefined;
  /** Frames made after the end was found, 0 to 10000; default: the model's own, or a guess by the number of words. */
  readonly framesAfterEos?: number | undefined;
  /** Tokens in one chunk, 1 to 4096. Default 50. */
  readonly maxTokens?: number | undefined;
  /** `chunk` (default): every chunk has its own stream. `torch`: one sequential stream, as in the reference. */
  readonly rng?: RandomStreams | undefined;
}

/** A piece of the text that is spoken in one go. */
export interface Chunk {
  readonly index: number;
  /** The prompt, as the model reads it. */
  readonly text: string;
  readonly tokens: number;
  /** The part of the caller's text: UTF-16 positions for a string, bytes for bytes. */
  readonly begin: number;
  readonly end: number;
  /** Frames made so far. */
  readonly frames: number;
  /** True when the chunk ran into its length limit instead of ending by itself. */
  readonly truncated: boolean;
  /** True when it has more tokens than `maxTokens` and could not be cut. */
  readonly overLimit: boolean;
}

/** 80 ms of speech. */
export interface Frame {
  /** 1920 samples at 24 kHz, nominally within [-1, 1]. The caller's to keep. */
  readonly samples: Float32Array<ArrayBuffer>;
  /** Index of the frame, from 0. */
  readonly frame: number;
  /** Seconds from the start. */
  readonly time: number;
  /** Index of the chunk, and of the frame in it. */
  readonly chunk: number;
  readonly chunkFrame: number;
  /** The part of the caller's text that its chunk speaks, as in `Chunk`. */
  readonly begin: number;
  readonly end: number;
}

const MAX_FLOAT = (2 - 2 ** -23) * 2 ** 127;

/** The ranges are the engine's. They are looked at here so that messages have this package's names. */
export const SPEECH_CHECKS: Checks<SpeechOptions> = {
  seed: isSeed,
  temperature: float(0, 100, '0 to 100'),
  eosThreshold: float(-MAX_FLOAT, MAX_FLOAT, 'a finite number'),
  noiseClamp: float(0, 1e6, '0 (none) to 1e6'),
  decodeSteps: whole(1, 1000),
  framesAfterEos: whole(0, 10000),
  maxTokens: whole(1, 4096),
  rng: oneOf(['chunk', 'torch']),
};

/** PTTS_RNG_* */
const RNG: Readonly<Record<RandomStreams, number>> = { chunk: 0, torch: 1 };

/** The engine's options for `options`, which have been checked; `own` are the model's. */
export function engineOptions(own: DoorOptions, options: SpeechOptions): DoorOptions {
  const { seed = own.seed, rng } = options;
  return {
    // The generator takes the low 32 bits; the door takes doubles.
    seed: typeof seed === 'bigint' ? Number(BigInt.asUintN(32, seed)) : seed,
    temperature: options.temperature ?? own.temperature,
    eosThreshold: options.eosThreshold ?? own.eosThreshold,
    noiseClamp: options.noiseClamp ?? own.noiseClamp,
    decodeSteps: options.decodeSteps ?? own.decodeSteps,
    framesAfterEos: options.framesAfterEos ?? own.framesAfterEos,
    maxTokens: options.maxTokens ?? own.maxTokens,
    rng: rng === undefined ? own.rng : RNG[rng],
    discardDraws: own.discardDraws,
  };
}

/** 32-bit finaliser of the engine's chunk seeds (wasm/engine/rng.h). */
function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** The seed that the engine takes for chunk `index` of a text with `seed`: a text of its own with it draws the same. */
export function chunkSeed(seed: number | bigint, index: number): number {
  const low = Number(BigInt.asUintN(32, BigInt(seed)));
  return index === 0 ? low : mix(mix(low ^ 0x5bd1e995) + Math.imul(index, 0x9e3779b9));
}

/** The engine's own default. */
export const DEFAULT_SEED = 42;

/** UTF-8 of a text. A lone surrogate has none. */
export function textBytes(text: string | Uint8Array): Uint8Array {
  if (isUint8Array(text)) return text;
  if (typeof text !== 'string') refuse('text', 'a string or a Uint8Array', text);
  const lone = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.exec(text);
  if (lone !== null) {
    throw new PocketTTSError('text-encoding', `The text has half a surrogate pair at position ${lone.index}`);
  }
  return new TextEncoder().encode(text);
}

/** Where in `text` its UTF-8 has the ascending offsets `bytes`. */
function positions(text: string | Uint8Array, bytes: readonly number[]): number[] {
  if (typeof text !== 'string') return [...bytes];
  let at = 0;
  let offset = 0;
  return bytes.map((wanted) => {
    while (offset < wanted && at < text.length) {
      const code = text.codePointAt(at) ?? 0;
      offset += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
      at += code < 0x10000 ? 1 : 2;
    }
    return at;
  });
}

export interface MutableChunk extends Chunk {
  frames: number;
  truncated: boolean;
}

/** The chunks of a session for the caller of `text`; nothing has been spoken yet. */
export function namedChunks(text: string | Uint8Array, raw: readonly RawChunk[]): MutableChunk[] {
  const begins = positions(
    text,
    raw.map(({ textBegin }) => textBegin),
  );
  const ends = positions(
    text,
    raw.map(({ textEnd }) => textEnd),
  );
  return raw.map(({ text: prompt, tokens, overLimit }, index) => ({
    index,
    text: prompt,
    tokens,
    begin: begins[index] ?? 0,
    end: ends[index] ?? 0,
    frames: 0,
    truncated: false,
    overLimit,
  }));
}

/** Opens a session for a text. */
export function openUtterance(
  runtime: Runtime,
  voice: DoorVoice,
  text: string | Uint8Array,
  options: SpeechOptions,
): Utterance {
  const { engine } = runtime;
  const bytes = textBytes(text);
  const settings = engineOptions(runtime.defaults, options);
  // The decoder first: see wasm/engine/flow_lm.cpp, open().
  const decoder = new OwnDecoder(runtime);
  const session = engine.run((door) => new door.Session());
  try {
    engine.withBytes(bytes, (memory) => engine.check(session.open(runtime.model, voice, memory, settings)));
    return new Utterance(runtime, session, decoder, namedChunks(text, rawChunks(engine, session)));
  } catch (error) {
    decoder.close();
    engine.release(session);
    throw error;
  }
}

/** There is a next one, but not yet. */
export const NOT_YET = Symbol('not yet');

export class Utterance {
  readonly #engine: Engine;
  readonly #session: DoorSession;
  readonly #decoder: OwnDecoder;
  readonly #chunks: MutableChunk[];
  readonly #latent: DoorMemory;
  readonly #frameSeconds: number;
  /** Made, and not yet handed out. */
  #made: StreamEvent[] = [];
  /** There is no more, and why. */
  #ended = false;
  #failure: PocketTTSError | undefined;
  #frame = 0;

  constructor(runtime: Runtime, session: DoorSession, decoder: OwnDecoder, chunks: MutableChunk[]) {
    const { latentWidth, samplesPerFrame, sampleRate } = runtime.info;
    this.#engine = runtime.engine;
    this.#session = session;
    this.#decoder = decoder;
    this.#chunks = chunks;
    this.#latent = this.#engine.memory(latentWidth * 4);
    this.#frameSeconds = samplesPerFrame / sampleRate;
  }

  get chunks(): readonly Chunk[] {
    return this.#chunks;
  }

  /** The next frame, the chunk that has just ended, undefined after the last, or NOT_YET: call again. */
  next(): Frame | Chunk | undefined | typeof NOT_YET {
    if (this.#made.length === 0 && !this.#ended) {
      try {
        this.#advance();
      } catch (error) {
        if (this.#engine.crashed || !(error instanceof PocketTTSError)) throw error;
        this.#made = this.#decoder.rest();
        this.#failure = error;
        this.#ended = true;
      }
    }
    const event = this.#made.shift();
    if (event !== undefined) return this.#named(event);
    if (!this.#ended) return NOT_YET;
    if (this.#failure !== undefined) throw this.#failure;
    return undefined;
  }

  #advance(): void {
    this.#engine.run((door) => {
      const status = this.#engine.check(this.#session.step(this.#latent));
      const { chunk, step, truncated } = this.#session.event();
      if (status === door.DONE) {
        this.#ended = true;
      } else if (status === door.CHUNK_END) {
        this.#made = [...this.#decoder.finish(), { kind: 'end', chunk, truncated: truncated !== 0 }];
      } else {
        this.#made = this.#decoder.take({ chunk, step }, this.#latent.floats(), false);
      }
    });
  }

  #named(event: StreamEvent): Frame | Chunk | undefined {
    const chunk = this.#chunks[event.chunk];
    if (event.kind !== 'frame') {
      if (chunk !== undefined && event.kind === 'end') chunk.truncated = event.truncated;
      return chunk;
    }
    const frame = this.#frame++;
    if (chunk !== undefined) chunk.frames++;
    return {
      samples: event.samples,
      frame,
      time: frame * this.#frameSeconds,
      chunk: event.chunk,
      chunkFrame: event.step,
      begin: chunk?.begin ?? 0,
      end: chunk?.end ?? 0,
    };
  }

  close(): void {
    this.#decoder.close();
    for (const object of [this.#latent, this.#session]) this.#engine.release(object);
  }
}
