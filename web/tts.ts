/// <reference lib="esnext.disposable" preserve="true" />
// The facade: PocketTTS, the same in Node and in browsers. node.ts and index.ts add the static load() of their host.
//
// Calls on one object take turns, frame by frame: several streams advance beside each other, and one that is not read on,
// or never ended, holds up nobody.
import {
  bytesOf,
  checkOptions,
  float,
  isBoolean,
  isFloat32Array,
  isFunction,
  isPack,
  isSignal,
  isString,
  isUrl,
  oneOf,
  refuse,
  whole,
} from './arguments.js';
import type { Check, Checks } from './arguments.js';
import type { Backend, LoadedVoice, PackLocation } from './backend.js';
import { createEngine } from './engine.js';
import type { Engine } from './engine.js';
import { PocketTTSError, throwIfAborted } from './errors.js';
import { once } from './host.js';
import type { Host, PackageUrls } from './host.js';
import type { LayoutOptions } from './layout.js';
import { heeding, Listener } from './listener.js';
import { loadBackend } from './loading.js';
import { AUDIO_LIMIT, defaultVoiceName, encoderFiles, PRECISIONS, VOICE_LIMIT } from './pack.js';
import type { Precision } from './pack.js';
import type { PackOptions } from './packs.js';
import { PACK_CHECKS } from './packs.js';
import { PieceReader, wholeText } from './pieces.js';
import type { Text } from './pieces.js';
import type { Player, PlayOptions } from './player.js';
import { Meter } from './progress.js';
import type { LoadProgress } from './progress.js';
import { play } from './stream-player.js';
import { abortable } from './turns.js';
import { chunkSeed, DEFAULT_SEED, SPEECH_CHECKS } from './utterance.js';
import type { Chunk, Frame, MutableChunk, SpeechOptions } from './utterance.js';
import { encodeWav } from './wav.js';

/** The content of a file. */
export type Bytes = Uint8Array | ArrayBuffer;

export interface LoadOptions extends LayoutOptions, PackageUrls, PackOptions {
  /**
   * Folder or URL prefix of a pack, or a name: `starter`, or an official pack such as `english`, whose files come from the
   * model hub once and then from the cache. Default: the starter voice that comes with the package; needs no network.
   */
  readonly pack?: string | URL | undefined;
  /** The voice of calls that name none: one of the pack's, or a voice file. Default: the pack's own choice. */
  readonly voice?: string | Bytes | undefined;
  /** Working precision. Default: the pack's own where it names one, else `q8`. Parity with the reference is stated for `f32`. */
  readonly precision?: Precision | undefined;
  readonly signal?: AbortSignal | undefined;
  /** What it throws, or the promise that it returns rejects with, ends load() with that error; load() waits for that promise. */
  readonly onProgress?: ((progress: LoadProgress) => unknown) | undefined;
}

/** Something that does not stop the speech but is worth a line in a log. */
export interface Warning {
  /**
   * `no-eos`: the chunk ran into its length limit. `over-limit`: it has more tokens than `maxTokens`. `serial`: its chunks
   * are spoken one at a time although `parallel` says otherwise.
   */
  readonly code: 'no-eos' | 'over-limit' | 'serial';
  readonly message: string;
  readonly chunk: number;
}

export interface GenerateOptions extends SpeechOptions {
  /** A voice of the pack by name, or one from loadVoice() or cloneVoice(). */
  readonly voice?: string | Voice | undefined;
  readonly signal?: AbortSignal | undefined;
  /** What it throws, or the promise that it returns rejects with, ends the call with that error; the speech waits for it. */
  readonly onWarning?: ((warning: Warning) => unknown) | undefined;
}

/** A finished text. */
export interface Speech {
  readonly samples: Float32Array<ArrayBuffer>;
  readonly sampleRate: number;
  /** Seconds. */
  readonly duration: number;
  readonly chunks: readonly Chunk[];
  /** A WAV file: 16 bit, mono, with 200 ms of silence at the end. */
  toWav(): Uint8Array<ArrayBuffer>;
  /** The same as a Blob of the type `audio/wav`. */
  toBlob(): Blob;
}

/**
 * Frames as they are made. In the calling thread one is made for every next(); workers go on a little ahead (1.3 s; with
 * `parallel` a few chunks), and wait for the reader then. Leaving the loop early frees everything at once.
 */
export interface SpeechStream extends AsyncIterableIterator<Frame> {
  readonly sampleRate: number;
  /** The chunks of the text, of one that comes in pieces those so far; empty until the first frame was asked for. */
  readonly chunks: readonly Chunk[];
  /** The same frames (read one or the other); a frame is made when one is asked for, and cancel() ends the speech. */
  toReadableStream(): ReadableStream<Frame>;
}

export interface VoiceInfo {
  readonly name: string;
  readonly license?: string;
}

export interface Info {
  /** Version of the engine. */
  readonly version: string;
  readonly pack: { readonly name: string; readonly description?: string; readonly license?: string };
  readonly precision: Precision;
  readonly sampleRate: number;
  readonly samplesPerFrame: number;
  readonly canClone: boolean;
  /** Working weights in memory. */
  readonly weightBytes: number;
  /** What the engine holds now: weights, voices, caches. */
  readonly allocatedBytes: number;
  /** Size of the WebAssembly memory. */
  readonly memoryBytes: number;
  readonly simd: boolean;
  /** Instances of the engine that speak a piece of text. */
  readonly instances: number;
  /** Workers over which the pieces of a text are spread. */
  readonly parallel: number;
  /** False when the engine runs in the calling thread. */
  readonly worker: boolean;
  /** Why it is so many instances. */
  readonly reason: string;
  /** Seconds of speech made in a second, in the last text that was read as fast as it came; undefined before. */
  readonly realTimeFactor: number | undefined;
  /** Whether threads may share memory here: always in Node, in a page with COOP and COEP headers only. Nothing needs it. */
  readonly isolated: boolean;
}

// Missing in older browsers: there the method is simply not found by that name.
const wellKnown: { readonly asyncDispose?: symbol } = Symbol;
const asyncDispose: typeof Symbol.asyncDispose = (wellKnown.asyncDispose ??
  Symbol.for('Symbol.asyncDispose')) as typeof Symbol.asyncDispose;

export interface LoadVoiceOptions {
  /** For messages. Default: `file`. */
  readonly name?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface CloneVoiceOptions {
  /** For messages. Default: `clone`. */
  readonly name?: string | undefined;
  /** Takes only the beginning; 0: all. More than two minutes are never taken. */
  readonly maxSeconds?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Mono samples, -1 to 1. */
export interface Recording {
  readonly samples: Float32Array;
  readonly sampleRate: number;
}

/** Loads the pack that `locate` finds, for a facade. */
export async function loadCore(
  host: Host,
  locate: (options: LoadOptions) => PackLocation | Promise<PackLocation>,
  options: LoadOptions,
): Promise<Core> {
  throwIfAborted(options.signal);
  // Also for packs that are in no cache: a place that is not here is known at once.
  if (options.cache !== undefined) host.stores(options.cache);
  const warnings = new Listener(options.onWarning);
  const found = await locate({ ...options, onWarning: warnings.tell });
  const location = { ...found, source: heeding(found.source, warnings) };
  const { precision, instances, parallel, worker } = options;
  const reload = (meter?: Meter, signal?: AbortSignal): Promise<Backend> =>
    loadBackend(host, location, { instances, parallel, worker, precision, signal, meter, voice: options.voice });
  const meter = new Meter(options.onProgress);
  const backend = await reload(meter, options.signal);
  try {
    const stretcher = once(async () => createEngine(await host.wasm()));
    const core = { reload, backend, voice: options.voice, stretcher, workletUrl: options.workletUrl, isolated: host.isolated() };
    // A default voice that does not fit is known now, not at the first sentence.
    const name = options.voice ?? defaultVoiceName(backend.manifest);
    if (name !== undefined) await defaultVoice(backend, name, options.signal, meter);
    meter.end();
    await abortable(meter.told(), options.signal);
    throwIfAborted(options.signal);
    return core;
  } catch (error) {
    await backend.close();
    throw error;
  }
}

export interface Core {
  readonly reload: (meter?: Meter, signal?: AbortSignal) => Promise<Backend>;
  readonly backend: Backend;
  readonly voice: string | Bytes | undefined;
  /** An instance of the engine in this thread without a model, made when it is first asked for. */
  readonly stretcher: () => Promise<Engine>;
  readonly workletUrl: string | URL | undefined;
  readonly isolated: boolean;
}

async function defaultVoice(
  backend: Backend,
  voice: string | Bytes,
  signal?: AbortSignal,
  meter?: Meter,
): Promise<LoadedVoice> {
  if (typeof voice === 'string') return abortable(backend.voiceNamed(voice, meter), signal);
  return abortable(backend.voiceGiven(voiceFile('voice', voice)), signal);
}

/** A voice in memory. Disposing of one that belongs to the pack does nothing: others share it. */
export class Voice {
  readonly name: string;
  /** Positions of the model's key/value cache that it takes. */
  readonly positions: number;
  /** @internal */
  readonly loaded: LoadedVoice;

  /** @internal */
  constructor(loaded: LoadedVoice) {
    this.name = loaded.name;
    this.positions = loaded.positions;
    this.loaded = loaded;
  }

  dispose(): void {
    this.loaded.backend.closeVoice(this.loaded);
  }
}

const isVoice: Check = (name, value) => {
  if (typeof value !== 'string' && !(value instanceof Voice)) refuse(name, 'the name of a voice or a Voice', value);
};

/** A voice file in memory. */
function voiceFile(name: string, value: unknown): Uint8Array {
  const bytes = bytesOf(value);
  if (bytes === undefined) {
    refuse(name, 'the name of a voice, or a voice file as a Uint8Array or ArrayBuffer', value);
  }
  return limited('voice', name, bytes, VOICE_LIMIT);
}

function limited(code: 'voice' | 'audio', name: string, bytes: Uint8Array, limit: number): Uint8Array {
  if (bytes.length <= limit) return bytes;
  throw new PocketTTSError(code, `${name}: expected at most ${limit} bytes, found ${bytes.length}`);
}

/** The options of load() in every host. */
export const LOAD_CHECKS: Checks<LoadOptions> = {
  pack: isPack,
  voice: (name, value) => {
    if (typeof value !== 'string') voiceFile(name, value);
  },
  precision: oneOf(PRECISIONS),
  instances: (name, value) => {
    if (value !== 'auto' && value !== 1 && value !== 2) refuse(name, '"auto", 1 or 2', value);
  },
  parallel: whole(0, 16),
  worker: isBoolean,
  wasmUrl: isUrl,
  workerUrl: isUrl,
  workletUrl: isUrl,
  signal: isSignal,
  onProgress: isFunction,
  ...PACK_CHECKS,
};

const GENERATE_CHECKS: Checks<GenerateOptions> = {
  ...SPEECH_CHECKS,
  voice: isVoice,
  signal: isSignal,
  onWarning: isFunction,
};

const isObject: Check = (name, value) => {
  if (typeof value !== 'object' || value === null) refuse(name, 'an object of the Web Audio API', value);
};

const PLAY_CHECKS: Checks<PlayOptions> = {
  ...GENERATE_CHECKS,
  rate: float(0.25, 4, '0.25 to 4'),
  volume: float(0, 1, '0 to 1'),
  history: float(0, 1e9, '0 seconds or more'),
  context: isObject,
  destination: isObject,
  workletUrl: isUrl,
};

const LOAD_VOICE_CHECKS: Checks<LoadVoiceOptions> = { name: isString, signal: isSignal };
const CLONE_VOICE_CHECKS: Checks<CloneVoiceOptions> = {
  ...LOAD_VOICE_CHECKS,
  maxSeconds: float(0, 1e9, '0 (all) or more'),
};

/** Everything but load(). */
export abstract class PocketTTSBase {
  readonly #reload: Core['reload'];
  readonly #voice: string | Bytes | undefined;
  readonly #stretcher: Core['stretcher'];
  #realTimeFactor: number | undefined;
  readonly #workletUrl: Core['workletUrl'];
  readonly #isolated: boolean;
  #backend: Backend;
  #reloading: Promise<Backend> | undefined;
  #disposed = false;
  /** Those who wait for something of the caller's. */
  readonly #waiting = new Set<() => void>();

  /** @internal */
  protected constructor(core: Core) {
    this.#reload = core.reload;
    this.#voice = core.voice;
    this.#stretcher = core.stretcher;
    this.#workletUrl = core.workletUrl;
    this.#isolated = core.isolated;
    this.#backend = core.backend;
  }

  /** Voices of the pack. */
  get voices(): readonly VoiceInfo[] {
    return this.#backend.manifest.files.flatMap((file) =>
      file.role === 'voice' && file.name !== undefined
        ? [{ name: file.name, ...(file.license === undefined ? {} : { license: file.license }) }]
        : [],
    );
  }

  get info(): Info {
    const { manifest, info, state } = this.#alive();
    const { layout } = state;
    const { name, description, license, cloning } = manifest;
    return {
      version: state.version,
      pack: {
        name,
        ...(description === undefined ? {} : { description }),
        ...(license === undefined ? {} : { license }),
      },
      precision: PRECISIONS[info.precision] ?? 'f32',
      sampleRate: info.sampleRate,
      samplesPerFrame: info.samplesPerFrame,
      canClone: (info.canClone !== 0 && cloning?.available !== false) || encoderFiles(manifest).length > 0,
      weightBytes: info.weightBytes,
      allocatedBytes: state.allocatedBytes,
      memoryBytes: state.memoryBytes,
      simd: true,
      instances: layout.instances,
      parallel: layout.parallel,
      worker: layout.kind === 'workers',
      reason: layout.reason,
      realTimeFactor: this.#realTimeFactor,
      isolated: this.#isolated,
    };
  }

  /** Speaks a text and returns all of it. */
  async generate(text: Text, options: GenerateOptions = {}): Promise<Speech> {
    const stream = this.stream(text, options);
    const frames: Float32Array[] = [];
    let length = 0;
    for await (const { samples } of stream) {
      frames.push(samples);
      length += samples.length;
    }
    const samples = new Float32Array(length);
    let at = 0;
    for (const frame of frames) {
      samples.set(frame, at);
      at += frame.length;
    }
    const { sampleRate, chunks } = stream;
    const toWav = (): Uint8Array<ArrayBuffer> => encodeWav(samples, sampleRate);
    const toBlob = (): Blob => new Blob([toWav()], { type: 'audio/wav' });
    return { samples, sampleRate, duration: length / sampleRate, chunks, toWav, toBlob };
  }

  /**
   * Speaks a text frame by frame. Nothing is made before the first frame is asked for.
   *
   * A text that comes in pieces (AsyncIterable) is spoken sentence by sentence, each as soon as its end is certain: where the
   * next one begins, at a line break behind it, at a blank line, or where the text ends. Its pieces are read one sentence
   * ahead, and its iterator is ended (`return()`) when the speech ends first. Positions are those of the joined text. What
   * is spoken depends on the joined text alone, not on its pieces or on time. It differs from the same text as a string in
   * this: a string's short sentences share a chunk up to `maxTokens`, here each has its own. Where the chunks are the same,
   * so are the samples; parts of one sentence that is over `maxTokens` draw from seeds of their own. `rng: 'torch'` needs
   * the whole text.
   */
  stream(text: Text, options: GenerateOptions = {}): SpeechStream {
    const made: Made = { chunks: [], frames: 0 };
    const { sampleRate } = this.#backend.info;
    const frames = this.#frames(text, options, made);
    return {
      sampleRate,
      get chunks() {
        return made.chunks;
      },
      next: () => frames.next(),
      return: () => frames.return(undefined),
      throw: (error) => frames.throw(error),
      [Symbol.asyncIterator]() {
        return this;
      },
      toReadableStream: () =>
        new ReadableStream<Frame>(
          {
            async pull(controller) {
              const { done, value } = await frames.next();
              if (done === true) controller.close();
              else controller.enqueue(value);
            },
            async cancel() {
              await frames.return(undefined);
            },
          },
          { highWaterMark: 0 },
        ),
    };
  }

  /**
   * Plays a text while it is being made, and starts at once, or, where speech is made slower than it is heard, just late enough
   * that the sound need not stop. In browsers; to be called in a gesture of the user, as they let no sound out before one.
   */
  play(text: Text, options: PlayOptions = {}): Player {
    checkOptions(options, PLAY_CHECKS);
    this.#alive();
    const { rate, volume, history, context, destination, workletUrl = this.#workletUrl, ...speech } = options;
    return play(
      {
        sampleRate: this.#backend.info.sampleRate,
        speak: (signal) => this.stream(text, { ...speech, signal }),
        stretcher: this.#stretcher,
      },
      { rate, volume, history, context, destination, workletUrl, signal: speech.signal },
    );
  }

  async *#frames(text: Text, options: GenerateOptions, made: Made): AsyncGenerator<Frame, undefined> {
    checkOptions(options, GENERATE_CHECKS);
    const { signal } = options;
    this.#alive();
    throwIfAborted(signal);
    const whole = wholeText(text);
    if (whole !== undefined) {
      const voice = await this.#resolveVoice(options.voice, signal);
      yield* this.#speak(voice, whole, options, made);
      return;
    }
    if (options.rng === 'torch') {
      throw new PocketTTSError('argument', 'rng: expected "chunk" for a text that comes in pieces, found "torch"');
    }
    const reader = new PieceReader(text as AsyncIterable<string>);
    try {
      const voice = await this.#resolveVoice(options.voice, signal);
      let empty: PocketTTSError | undefined;
      for (;;) {
        const piece = await this.#untilDisposed(abortable(reader.next(), signal));
        if (piece === undefined) break;
        reader.prepare();
        try {
          const seed = chunkSeed(options.seed ?? DEFAULT_SEED, made.chunks.length);
          yield* this.#speak(voice, piece.text, { ...options, seed }, made, piece.begin);
        } catch (error) {
          // A row of dashes between two paragraphs is no reason to end.
          if (!(error instanceof PocketTTSError && error.code === 'text-empty')) throw error;
          empty = error;
        }
      }
      if (made.chunks.length === 0) {
        throw empty ?? new PocketTTSError('text-empty', 'Text prompt cannot be empty');
      }
    } finally {
      reader.close();
    }
  }

  /** Speaks a text, or the piece of it at `offset`, after what has been made. */
  async *#speak(
    voice: LoadedVoice,
    text: string | Uint8Array,
    options: GenerateOptions,
    made: Made,
    offset = 0,
  ): AsyncGenerator<Frame, undefined> {
    const { signal, onWarning } = options;
    const speaking = await voice.backend.speak(voice, text, options, signal);
    try {
      const first = made.chunks.length;
      const frame0 = made.frames;
      const chunks = speaking.chunks.map((chunk) => ({
        ...chunk,
        index: chunk.index + first,
        begin: chunk.begin + offset,
        end: chunk.end + offset,
      }));
      made.chunks.push(...chunks);
      if (options.rng === 'torch' && chunks.length > 1 && voice.backend.state.layout.parallel > 1) {
        await onWarning?.({ code: 'serial', chunk: 0, message: SERIAL });
      }
      for (const chunk of chunks) {
        if (chunk.overLimit) await onWarning?.({ code: 'over-limit', chunk: chunk.index, message: overLimit(chunk) });
      }
      // The reader's own time does not count, and the first frame says when work began.
      let seconds = 0;
      let took = 0;
      for (;;) {
        const asked = performance.now();
        const next = await speaking.next();
        if (next === undefined) return;
        if ('samples' in next) {
          if (next.frame > 0) {
            seconds += next.samples.length / this.#backend.info.sampleRate;
            took += (performance.now() - asked) / 1000;
            this.#realTimeFactor = seconds / Math.max(took, 1e-6);
          }
          const chunk = chunks[next.chunk];
          if (chunk === undefined) throw new PocketTTSError('state', `A frame of chunk ${next.chunk}, which is not there`);
          chunk.frames++;
          made.frames++;
          const { samples, chunkFrame } = next;
          const frame = frame0 + next.frame;
          const time = (frame * samples.length) / this.#backend.info.sampleRate;
          yield { samples, frame, time, chunk: chunk.index, chunkFrame, begin: chunk.begin, end: chunk.end };
        } else {
          const chunk = chunks[next.index];
          if (chunk === undefined) continue;
          chunk.truncated = next.truncated;
          if (chunk.truncated) await onWarning?.({ code: 'no-eos', chunk: chunk.index, message: noEnd(chunk) });
        }
      }
    } finally {
      speaking.close();
    }
  }

  /** A voice of the pack by name, or a voice file (safetensors, at most 64 MiB) of any generation. */
  async loadVoice(voice: string | Bytes, options: LoadVoiceOptions = {}): Promise<Voice> {
    checkOptions(options, LOAD_VOICE_CHECKS);
    const file = typeof voice === 'string' ? undefined : voiceFile('voice', voice);
    const backend = await this.#current(options.signal);
    if (file !== undefined) {
      return new Voice(await abortable(backend.voiceFromFile(file, options.name ?? 'file', options.signal), options.signal));
    }
    return new Voice(await abortable(backend.voiceNamed(voice as string), options.signal));
  }

  /**
   * Makes a voice out of speech: a WAV file of any sample format (at most 256 MiB), or samples. Takes a while, in which one
   * instance without a worker does nothing else. A pack that has its encoder as a file of its own fetches it here, not in
   * load(), and holds its language model a second time until the voice is made.
   *
   * With workers an abort rejects at once; a worker that also speaks ends its work on the recording before it goes on.
   */
  async cloneVoice(audio: Bytes | Recording, options: CloneVoiceOptions = {}): Promise<Voice> {
    checkOptions(options, CLONE_VOICE_CHECKS);
    const { name = 'clone', maxSeconds = 0, signal } = options;
    const file = bytesOf(audio);
    if (file !== undefined) {
      const wav = limited('audio', 'audio', file, AUDIO_LIMIT);
      const backend = await this.#current(signal);
      return new Voice(await abortable(backend.voiceFromWav(wav, name, maxSeconds, signal), signal));
    }
    const { samples, sampleRate } = asRecording(audio);
    const wanted = maxSeconds === 0 ? undefined : Math.trunc(Math.fround(maxSeconds) * sampleRate);
    const backend = await this.#current(signal);
    const beginning = samples.subarray(0, wanted);
    return new Voice(await abortable(backend.voiceFromPcm(beginning, sampleRate, name, signal), signal));
  }

  /** A voice as a file (safetensors) that the reference and this package load. Default: the default voice. */
  async exportVoice(voice?: string | Voice): Promise<Uint8Array<ArrayBuffer>> {
    if (voice !== undefined) isVoice('voice', voice);
    const loaded = await this.#resolveVoice(voice, undefined);
    return loaded.backend.exportVoice(loaded);
  }

  /** Frees everything. Streams that still run end with 'disposed', and so does every later call. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    for (const end of this.#waiting) end();
    await this.#backend.close();
  }

  [asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #alive(): Backend {
    if (this.#disposed) throw new PocketTTSError('disposed', DISPOSED);
    return this.#backend;
  }

  /** Waits for `promise`, or ends with 'disposed'. */
  async #untilDisposed<T>(promise: Promise<T>): Promise<T> {
    let end: (() => void) | undefined;
    try {
      return await new Promise<T>((resolve, reject) => {
        end = () => {
          reject(new PocketTTSError('disposed', DISPOSED));
        };
        this.#waiting.add(end);
        promise.then(resolve, reject);
      });
    } finally {
      if (end !== undefined) this.#waiting.delete(end);
    }
  }

  /** The engine; after a crash a new one, loaded from the same pack. */
  async #current(signal: AbortSignal | undefined): Promise<Backend> {
    throwIfAborted(signal);
    const crashed = this.#alive();
    if (!crashed.crashed) return crashed;
    // One replacement for all who wait, and therefore without anybody's signal.
    this.#reloading ??= this.#reload()
      .then(async (fresh) => {
        await crashed.close();
        this.#backend = fresh;
        if (this.#disposed) await fresh.close();
        return fresh;
      })
      .finally(() => {
        this.#reloading = undefined;
      });
    await abortable(this.#reloading, signal);
    return this.#alive();
  }

  async #resolveVoice(voice: string | Voice | undefined, signal: AbortSignal | undefined): Promise<LoadedVoice> {
    const backend = await this.#current(signal);
    if (voice instanceof Voice) {
      if (voice.loaded.backend === backend && backend.holds(voice.loaded)) return voice.loaded;
      if (voice.loaded.backend === backend)
        throw new PocketTTSError('disposed', `The voice ${voice.name} was disposed of`);
      throw new PocketTTSError('voice', `The voice ${voice.name} belongs to another engine; load it into this one`);
    }
    const wanted = voice ?? this.#voice ?? defaultVoiceName(backend.manifest);
    if (wanted === undefined) {
      throw new PocketTTSError(
        'argument',
        `The pack ${backend.manifest.name} has no voice of its own: pass one as voice`,
      );
    }
    return defaultVoice(backend, wanted, signal);
  }
}

/** Samples that are not in a file. */
function asRecording(audio: unknown): Recording {
  if (typeof audio !== 'object' || audio === null || !('samples' in audio)) {
    refuse('audio', 'a WAV file as a Uint8Array or ArrayBuffer, or { samples, sampleRate }', audio);
  }
  const { samples } = audio;
  if (!isFloat32Array(samples)) refuse('audio.samples', 'a Float32Array', samples);
  const sampleRate = 'sampleRate' in audio ? audio.sampleRate : undefined;
  // The engine says which rates are too low or too high.
  const rate = Number.isInteger(sampleRate) ? Number(sampleRate) : -1;
  if (rate < 0 || rate > 0xffffffff) refuse('audio.sampleRate', 'a whole number of Hz', sampleRate);
  return { samples, sampleRate: rate };
}

/** What a stream has made so far. */
interface Made {
  readonly chunks: MutableChunk[];
  frames: number;
}

const DISPOSED = 'This PocketTTS was disposed of';

const SERIAL =
  'Chunks are spoken one after the other: with the random stream torch, each draws where the last one ended';

function overLimit(chunk: Chunk): string {
  return `Chunk ${chunk.index + 1} has ${chunk.tokens} tokens, more than max-tokens, and cannot be cut; it may not be spoken well`;
}

function noEnd(chunk: Chunk): string {
  return `Chunk ${chunk.index + 1} reached its length limit (${chunk.frames} frames) without finding its end`;
}
