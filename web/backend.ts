// One loaded pack, wherever its engine runs: in this thread (runtime.ts) or in workers (remote.ts). Replaced as a whole
// after a crash. Keeps the voices; a subclass knows what an engine's voice is.
import { PocketTTSError, throwIfAborted } from './errors.js';
import type { Host, Source } from './host.js';
import type { Layout } from './layout.js';
import { encoderFiles, openPackFile, retrying, VOICE_LIMIT } from './pack.js';
import type { PackManifest } from './pack.js';
import type { DoorModelInfo } from './pocket_tts.mjs';
import type { Meter } from './progress.js';
import type { VoiceOrigin } from './protocol.js';
import { Queue } from './turns.js';
import type { Chunk, Frame, SpeechOptions } from './utterance.js';

/** A pack before it is loaded: where it is, and its manifest where that is not a pack.json there. */
export interface PackLocation {
  readonly source: Source;
  readonly manifest?: PackManifest;
}

/** A voice in the memory of an engine. */
export interface LoadedVoice {
  readonly backend: Backend;
  readonly name: string;
  readonly positions: number;
  /** One of the pack's own, shared by all who name it: closed with the backend. */
  readonly shared: boolean;
}

/** What a voice is made of. */
export interface VoiceSource {
  readonly from: VoiceOrigin;
  readonly size: number;
  /** Exactly `size` bytes; a slice is good until the next one is asked for. */
  readonly slices: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

function inMemory(from: VoiceOrigin, bytes: Uint8Array): VoiceSource {
  return { from, size: bytes.length, slices: [bytes] };
}

/** A text being spoken. */
export interface Speaking {
  readonly chunks: readonly Chunk[];
  /** The next frame, the chunk that has just ended, or undefined after the last. One call at a time. */
  next(): Promise<Frame | Chunk | undefined>;
  close(): void;
}

/** What the instances are and hold. */
export interface BackendState {
  /** Of the engine. */
  readonly version: string;
  readonly layout: Layout;
  readonly allocatedBytes: number;
  readonly memoryBytes: number;
}

export type Backend = PackBackend<unknown>;

export abstract class PackBackend<Handle> {
  readonly manifest: PackManifest;
  abstract readonly info: DoorModelInfo;
  abstract readonly state: BackendState;
  /** True after a trap: no call succeeds any more. */
  abstract readonly crashed: boolean;
  readonly #host: Host;
  protected readonly source: Source;
  readonly #named = new Map<string, Promise<LoadedVoice>>();
  readonly #open = new Map<LoadedVoice, Handle>();
  readonly #cloning = new Queue();
  #endCloning: (() => void) | undefined;
  #given: Promise<LoadedVoice> | undefined;
  #closed = false;

  protected constructor(host: Host, source: Source, manifest: PackManifest) {
    this.#host = host;
    this.source = source;
    this.manifest = manifest;
  }

  /** Opens a text. */
  abstract speak(
    voice: LoadedVoice,
    text: string | Uint8Array,
    options: SpeechOptions,
    signal: AbortSignal | undefined,
  ): Promise<Speaking>;

  protected abstract makeVoice(source: VoiceSource, name: string): Promise<{ handle: Handle; positions: number }>;
  /**
   * A voice file out of audio, by an instance of its own that has the encoder and is gone afterwards: a loaded model takes no
   * more weights.
   */
  protected abstract cloneApart(source: VoiceSource, name: string, signal: AbortSignal): Promise<Uint8Array>;
  protected abstract releaseVoice(handle: Handle): void;
  protected abstract exportHandle(handle: Handle, name: string): Promise<Uint8Array<ArrayBuffer>>;
  /** Frees what the subclass holds, once. */
  protected abstract release(): Promise<void>;

  protected get closed(): boolean {
    return this.#closed;
  }

  protected get disposed(): PocketTTSError {
    return new PocketTTSError('disposed', 'This PocketTTS was disposed of');
  }

  /** A voice of the pack by name; read once. */
  voiceNamed(name: string, meter?: Meter): Promise<LoadedVoice> {
    const known = this.#named.get(name);
    if (known !== undefined) return known;
    // Without anybody's signal: several callers may wait for it.
    const loading = this.#readVoice(name, meter);
    this.#named.set(name, loading);
    loading.catch(() => this.#named.delete(name));
    return loading;
  }

  async #readVoice(name: string, meter: Meter | undefined): Promise<LoadedVoice> {
    const entry = this.manifest.files.find((file) => file.role === 'voice' && file.name === name);
    if (entry === undefined) {
      const names = this.manifest.files.flatMap((file) =>
        file.role === 'voice' && file.name !== undefined ? [file.name] : [],
      );
      throw new PocketTTSError(
        'not-found',
        `No voice "${name}" in the pack ${this.manifest.name} (${names.length === 0 ? 'it has none' : `it has: ${names.join(', ')}`})`,
      );
    }
    return retrying(this.source, async () => {
      const file = await openPackFile(this.#host, this.source, entry, VOICE_LIMIT);
      const { size, slices, phase = 'load' } = file;
      try {
        meter?.expect(entry.path, size);
        const voice = await this.#addVoice({ from: { kind: 'file' }, size, slices }, name, true);
        meter?.add(entry.path, phase, size);
        return voice;
      } finally {
        await file.close();
      }
    });
  }

  /** The voice file that load() was given; loaded once. */
  voiceGiven(bytes: Uint8Array): Promise<LoadedVoice> {
    this.#given ??= this.#addVoice(inMemory({ kind: 'file' }, bytes), 'file', true);
    return this.#given;
  }

  /** A voice file (safetensors). */
  voiceFromFile(bytes: Uint8Array, name: string, signal?: AbortSignal): Promise<LoadedVoice> {
    return this.#addVoice(inMemory({ kind: 'file' }, bytes), name, false, signal);
  }

  /** A voice out of a WAV file. */
  voiceFromWav(bytes: Uint8Array, name: string, maxSeconds: number, signal?: AbortSignal): Promise<LoadedVoice> {
    return this.#cloneVoice(inMemory({ kind: 'wav', maxSeconds }, bytes), name, signal);
  }

  /** A voice out of mono samples. */
  voiceFromPcm(samples: Float32Array, sampleRate: number, name: string, signal?: AbortSignal): Promise<LoadedVoice> {
    const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
    return this.#cloneVoice(inMemory({ kind: 'pcm', sampleRate }, bytes), name, signal);
  }

  /** The pack's own word on cloning goes before the engine's: it can say why. */
  async #cloneVoice(source: VoiceSource, name: string, signal: AbortSignal | undefined): Promise<LoadedVoice> {
    const cloning = this.manifest.cloning;
    if (cloning?.available === false) {
      const reason = cloning.reason === undefined ? '' : `: ${cloning.reason}`;
      throw new PocketTTSError('cloning', `The pack ${this.manifest.name} cannot make voices from audio${reason}`);
    }
    if (encoderFiles(this.manifest).length === 0) return this.#addVoice(source, name, false, signal);
    // One at a time: each holds the language model once more while it works.
    const leave = await this.#cloning.enter(signal);
    const stop = new AbortController();
    const end = (): void => {
      stop.abort(signal?.reason);
    };
    signal?.addEventListener('abort', end, { once: true });
    this.#endCloning = end;
    try {
      throwIfAborted(signal);
      if (this.#closed) throw this.disposed;
      const file = await retrying(this.source, () => this.cloneApart(source, name, stop.signal));
      throwIfAborted(signal);
      return await this.#addVoice(inMemory({ kind: 'file' }, file), name, false, signal);
    } catch (error) {
      throw this.#closed ? this.disposed : error;
    } finally {
      signal?.removeEventListener('abort', end);
      this.#endCloning = undefined;
      leave();
    }
  }

  /** The signal is not waited for here: its owner was told, and nobody will dispose of what came too late. */
  async #addVoice(source: VoiceSource, name: string, shared: boolean, signal?: AbortSignal): Promise<LoadedVoice> {
    if (this.#closed) throw this.disposed;
    const { handle, positions } = await this.makeVoice(source, name);
    if (this.closed || signal?.aborted) {
      this.releaseVoice(handle);
      throwIfAborted(signal);
      throw this.disposed;
    }
    const voice = { backend: this as Backend, name, positions, shared };
    this.#open.set(voice, handle);
    return voice;
  }

  /** What the engine knows the voice by. */
  protected handleOf(voice: LoadedVoice): Handle {
    const handle = this.#open.get(voice);
    if (this.#closed) throw this.disposed;
    if (handle === undefined) throw new PocketTTSError('disposed', `The voice ${voice.name} was disposed of`);
    return handle;
  }

  /** The voice as a file of the reference's current format. */
  async exportVoice(voice: LoadedVoice): Promise<Uint8Array<ArrayBuffer>> {
    return this.exportHandle(this.handleOf(voice), voice.name);
  }

  /** False after closeVoice() and close(). */
  holds(voice: LoadedVoice): boolean {
    return this.#open.has(voice);
  }

  closeVoice(voice: LoadedVoice): void {
    const handle = this.#open.get(voice);
    if (voice.shared || handle === undefined) return;
    this.#open.delete(voice);
    this.releaseVoice(handle);
  }

  /** Frees everything; what still runs ends with 'disposed'. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#endCloning?.();
    for (const handle of this.#open.values()) this.releaseVoice(handle);
    this.#open.clear();
    this.#named.clear();
    await this.release();
  }
}
