/// <reference lib="esnext.disposable" preserve="true" />
// The facade: PocketTTS, the same in Node and in browsers. node.ts and index.ts add the static load() of their host.
//
// Calls on one object take turns, frame by frame, in the order in which they come: several streams advance beside each
// other, and one that is not read on, or never ended, holds up nobody.
import {
  bytesOf,
  checkOptions,
  float,
  isFloat32Array,
  isFunction,
  isSignal,
  isString,
  oneOf,
  refuse,
} from './arguments.js';
import type { Check, Checks } from './arguments.js';
import { abortError, PocketTTSError, throwIfAborted } from './errors.js';
import type { Host } from './host.js';
import { AUDIO_LIMIT, VOICE_LIMIT } from './pack.js';
import type { LoadProgress, Precision } from './pack.js';
import { loadRuntime } from './runtime.js';
import type { LoadedVoice, PackLocation, Runtime } from './runtime.js';
import { openUtterance, SPEECH_CHECKS } from './utterance.js';
import type { Chunk, Frame, SpeechOptions, Utterance } from './utterance.js';
import { encodeWav } from './wav.js';

/** The content of a file. */
export type Bytes = Uint8Array | ArrayBuffer;

export interface LoadOptions {
  /** Folder or URL prefix of a pack, or `starter`. Default: the starter voice that comes with the package; needs no network. */
  readonly pack?: string | URL | undefined;
  /** The voice of calls that name none: one of the pack's, or a voice file. Default: the pack's own choice. */
  readonly voice?: string | Bytes | undefined;
  /** Default: the pack's own. */
  readonly precision?: Precision | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
}

/** Something that does not stop the speech but is worth a line in a log. */
export interface Warning {
  /** `no-eos`: the chunk ran into its length limit. `over-limit`: it has more tokens than `maxTokens`. */
  readonly code: 'no-eos' | 'over-limit';
  readonly message: string;
  readonly chunk: number;
}

export interface GenerateOptions extends SpeechOptions {
  /** A voice of the pack by name, or one from loadVoice() or cloneVoice(). */
  readonly voice?: string | Voice | undefined;
  readonly signal?: AbortSignal | undefined;
  /** What it throws ends the call with that error. */
  readonly onWarning?: ((warning: Warning) => void) | undefined;
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
}

/** Frames as they are made, one for every next(). Leaving the loop early frees everything at once. */
export interface SpeechStream extends AsyncIterableIterator<Frame> {
  readonly sampleRate: number;
  /** The chunks of the text; empty until the first frame was asked for. */
  readonly chunks: readonly Chunk[];
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
  readonly instances: number;
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

/** Loads a pack for a facade. */
export async function loadCore(host: Host, location: PackLocation, options: LoadOptions): Promise<Core> {
  throwIfAborted(options.signal);
  const reload = (progress?: LoadOptions['onProgress'], signal?: AbortSignal): Promise<Runtime> =>
    loadRuntime(host, location, { precision: options.precision, signal, onProgress: progress });
  const runtime = await reload(options.onProgress, options.signal);
  try {
    const core = { host, reload, runtime, voice: options.voice };
    // A default voice that does not fit is known now, not at the first sentence.
    const name = options.voice ?? defaultVoiceName(runtime);
    if (name !== undefined) await defaultVoice(runtime, name, options.signal);
    return core;
  } catch (error) {
    runtime.close();
    throw error;
  }
}

export interface Core {
  readonly host: Host;
  readonly reload: (progress?: LoadOptions['onProgress'], signal?: AbortSignal) => Promise<Runtime>;
  readonly runtime: Runtime;
  readonly voice: string | Bytes | undefined;
}

/** The voice that a pack names, or its only one. */
function defaultVoiceName(runtime: Runtime): string | undefined {
  const { default_voice, files } = runtime.manifest;
  const voices = files.filter((file) => file.role === 'voice');
  return default_voice ?? (voices.length === 1 ? voices[0]?.name : undefined);
}

async function defaultVoice(runtime: Runtime, voice: string | Bytes, signal?: AbortSignal): Promise<LoadedVoice> {
  if (typeof voice === 'string') return abortable(runtime.voiceNamed(voice), signal);
  return runtime.voiceGiven(voiceFile('voice', voice));
}

/** Waits for `promise` or for the signal, whichever is first. */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  throwIfAborted(signal);
  let onAbort: (() => void) | undefined;
  try {
    return await new Promise<T>((resolve, reject) => {
      onAbort = () => {
        reject(abortError(signal));
      };
      signal.addEventListener('abort', onAbort, { once: true });
      promise.then(resolve, reject);
    });
  } finally {
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
  }
}

/** First come, first served. */
class Queue {
  #tail: Promise<void> = Promise.resolve();

  /** Waits for its turn; the result ends the turn. */
  async enter(signal: AbortSignal | undefined): Promise<() => void> {
    const before = this.#tail;
    let leave = (): void => undefined;
    this.#tail = new Promise((resolve) => {
      leave = resolve;
    });
    try {
      await abortable(before, signal);
      return leave;
    } catch (error) {
      // Gives up its place without letting the next one overtake the one before.
      void before.then(leave);
      throw error;
    }
  }
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
    this.loaded.runtime.closeVoice(this.loaded);
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
  pack: (name, value) => {
    if (value instanceof URL || (typeof value === 'string' && value !== '')) return;
    refuse(name, 'a folder, a URL or "starter"', value);
  },
  voice: (name, value) => {
    if (typeof value !== 'string') voiceFile(name, value);
  },
  precision: oneOf(['f32', 'q8'], 'unsupported'),
  signal: isSignal,
  onProgress: isFunction,
};

const GENERATE_CHECKS: Checks<GenerateOptions> = {
  ...SPEECH_CHECKS,
  voice: isVoice,
  signal: isSignal,
  onWarning: isFunction,
};

const LOAD_VOICE_CHECKS: Checks<LoadVoiceOptions> = { name: isString, signal: isSignal };
const CLONE_VOICE_CHECKS: Checks<CloneVoiceOptions> = {
  ...LOAD_VOICE_CHECKS,
  maxSeconds: float(0, 1e9, '0 (all) or more'),
};

/** Everything but load(). */
export abstract class PocketTTSBase {
  readonly #host: Host;
  readonly #reload: Core['reload'];
  readonly #voice: string | Bytes | undefined;
  readonly #queue = new Queue();
  #runtime: Runtime;
  #disposed = false;

  /** @internal */
  protected constructor(core: Core) {
    this.#host = core.host;
    this.#reload = core.reload;
    this.#voice = core.voice;
    this.#runtime = core.runtime;
  }

  /** Voices of the pack. */
  get voices(): readonly VoiceInfo[] {
    return this.#runtime.manifest.files.flatMap((file) =>
      file.role === 'voice' && file.name !== undefined
        ? [{ name: file.name, ...(file.license === undefined ? {} : { license: file.license }) }]
        : [],
    );
  }

  get info(): Info {
    const { manifest, info, engine } = this.#alive();
    const { name, description, license, cloning } = manifest;
    return {
      version: engine.crashed ? '' : engine.version,
      pack: {
        name,
        ...(description === undefined ? {} : { description }),
        ...(license === undefined ? {} : { license }),
      },
      precision: info.precision === 0 ? 'f32' : 'q8',
      sampleRate: info.sampleRate,
      samplesPerFrame: info.samplesPerFrame,
      canClone: info.canClone !== 0 && cloning?.available !== false,
      weightBytes: info.weightBytes,
      allocatedBytes: engine.allocatedBytes,
      memoryBytes: engine.memoryBytes,
      simd: true,
      instances: 1,
    };
  }

  /** Speaks a text (a string, or UTF-8) and returns all of it. */
  async generate(text: string | Uint8Array, options: GenerateOptions = {}): Promise<Speech> {
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
    return { samples, sampleRate, duration: length / sampleRate, chunks, toWav: () => encodeWav(samples, sampleRate) };
  }

  /** Speaks a text frame by frame: a frame is made when it is asked for. */
  stream(text: string | Uint8Array, options: GenerateOptions = {}): SpeechStream {
    const opened: { utterance?: Utterance } = {};
    const { sampleRate } = this.#runtime.info;
    const frames = this.#frames(text, options, opened);
    return {
      sampleRate,
      get chunks() {
        return opened.utterance?.chunks ?? [];
      },
      next: () => frames.next(),
      return: () => frames.return(undefined),
      throw: (error) => frames.throw(error),
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  async *#frames(
    text: string | Uint8Array,
    options: GenerateOptions,
    opened: { utterance?: Utterance },
  ): AsyncGenerator<Frame, undefined> {
    checkOptions(options, GENERATE_CHECKS);
    const { signal, onWarning } = options;
    this.#alive();
    throwIfAborted(signal);
    let utterance: Utterance | undefined;
    // One turn opens the text, each later one makes a frame: texts advance beside each other, and one that nobody
    // reads on blocks nobody.
    const turn = async <T>(work: () => T | Promise<T>): Promise<T> => {
      const leave = await this.#queue.enter(signal);
      try {
        // Timers, input and aborts get their turn before every frame.
        await this.#host.pause();
        throwIfAborted(signal);
        this.#alive();
        return await work();
      } finally {
        leave();
      }
    };
    try {
      utterance = await turn(async () => openUtterance(await this.#resolveVoice(options.voice, signal), text, options));
      const { chunks } = (opened.utterance = utterance);
      for (const chunk of chunks) {
        if (chunk.overLimit) onWarning?.({ code: 'over-limit', chunk: chunk.index, message: overLimit(chunk) });
      }
      const speaking = utterance;
      for (;;) {
        const made = await turn(() => speaking.next());
        if (made === undefined) return;
        if ('samples' in made) yield made;
        else if (made.truncated) onWarning?.({ code: 'no-eos', chunk: made.index, message: noEnd(made) });
      }
    } finally {
      utterance?.close();
    }
  }

  /** A voice of the pack by name, or a voice file (safetensors, at most 64 MiB) of any generation. */
  async loadVoice(voice: string | Bytes, options: LoadVoiceOptions = {}): Promise<Voice> {
    checkOptions(options, LOAD_VOICE_CHECKS);
    const file = typeof voice === 'string' ? undefined : voiceFile('voice', voice);
    const runtime = await this.#current(options.signal);
    if (file !== undefined) return new Voice(runtime.voiceFromFile(file, options.name ?? 'file'));
    return new Voice(await abortable(runtime.voiceNamed(voice as string), options.signal));
  }

  /** Makes a voice out of speech: a WAV file of any sample format (at most 256 MiB), or samples. Takes a while. */
  async cloneVoice(audio: Bytes | Recording, options: CloneVoiceOptions = {}): Promise<Voice> {
    checkOptions(options, CLONE_VOICE_CHECKS);
    const { name = 'clone', maxSeconds = 0, signal } = options;
    const file = bytesOf(audio);
    if (file !== undefined) {
      const wav = limited('audio', 'audio', file, AUDIO_LIMIT);
      return new Voice((await this.#current(signal)).voiceFromWav(wav, name, maxSeconds));
    }
    const { samples, sampleRate } = asRecording(audio);
    const wanted = maxSeconds === 0 ? undefined : Math.trunc(Math.fround(maxSeconds) * sampleRate);
    return new Voice((await this.#current(signal)).voiceFromPcm(samples.subarray(0, wanted), sampleRate, name));
  }

  /** A voice as a file (safetensors) that the reference and this package load. Default: the default voice. */
  async exportVoice(voice?: string | Voice): Promise<Uint8Array<ArrayBuffer>> {
    if (voice !== undefined) isVoice('voice', voice);
    const loaded = await this.#resolveVoice(voice, undefined);
    return loaded.runtime.exportVoice(loaded);
  }

  /** Frees everything. Streams that still run end with 'disposed', and so does every later call. */
  dispose(): Promise<void> {
    if (!this.#disposed) {
      this.#disposed = true;
      this.#runtime.close();
    }
    return Promise.resolve();
  }

  [asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #alive(): Runtime {
    if (this.#disposed) throw new PocketTTSError('disposed', 'This PocketTTS was disposed of');
    return this.#runtime;
  }

  /** The engine; after a crash a new one, loaded from the same pack. */
  async #current(signal: AbortSignal | undefined): Promise<Runtime> {
    throwIfAborted(signal);
    const runtime = this.#alive();
    if (!runtime.engine.crashed) return runtime;
    const fresh = await this.#reload(undefined, signal);
    if (this.#disposed) fresh.close();
    this.#alive();
    // Two callers may have waited; the first replacement stays.
    if (this.#runtime === runtime) this.#runtime = fresh;
    else fresh.close();
    return this.#runtime;
  }

  async #resolveVoice(voice: string | Voice | undefined, signal: AbortSignal | undefined): Promise<LoadedVoice> {
    const runtime = await this.#current(signal);
    if (voice instanceof Voice) {
      if (voice.loaded.runtime === runtime && runtime.holds(voice.loaded)) return voice.loaded;
      if (voice.loaded.runtime === runtime)
        throw new PocketTTSError('disposed', `The voice ${voice.name} was disposed of`);
      throw new PocketTTSError('voice', `The voice ${voice.name} belongs to another engine; load it into this one`);
    }
    const wanted = voice ?? this.#voice ?? defaultVoiceName(runtime);
    if (wanted === undefined) {
      throw new PocketTTSError(
        'argument',
        `The pack ${runtime.manifest.name} has no voice of its own: pass one as voice`,
      );
    }
    return defaultVoice(runtime, wanted, signal);
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

function overLimit(chunk: Chunk): string {
  return `Chunk ${chunk.index + 1} has ${chunk.tokens} tokens, more than max-tokens, and cannot be cut; it may not be spoken well`;
}

function noEnd(chunk: Chunk): string {
  return `Chunk ${chunk.index + 1} reached its length limit (${chunk.frames} frames) without finding its end`;
}
