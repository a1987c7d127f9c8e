// One loaded pack: an engine instance, its model, the voices in it. Replaced as a whole after a crash.
import { describe, PocketTTSError } from './errors.js';
import { createEngine } from './engine.js';
import type { DoorModel, DoorModelInfo, DoorOptions, DoorVoice, Engine } from './engine.js';
import { loadModel, readManifest, readPackFile, VOICE_LIMIT } from './pack.js';
import type { LoadModelOptions, PackManifest } from './pack.js';
import type { Host, Source } from './host.js';

/** A pack before it is loaded: where it is, and its manifest where that is not a pack.json there. */
export interface PackLocation {
  readonly source: Source;
  readonly manifest?: PackManifest;
}

export async function loadRuntime(host: Host, location: PackLocation, options: LoadModelOptions): Promise<Runtime> {
  const manifest = location.manifest ?? (await readManifest(location.source, options.signal));
  const wasm = await host.wasm().catch((error: unknown) => {
    if (error instanceof PocketTTSError) throw error;
    throw new PocketTTSError('unsupported', `The WebAssembly engine cannot be compiled here: ${describe(error)}`, {
      cause: error,
    });
  });
  const engine = await createEngine(wasm);
  const model = await loadModel(host, engine, location.source, manifest, options);
  return new Runtime(host, location.source, manifest, engine, model);
}

/** A voice in the memory of one engine. */
export interface LoadedVoice {
  readonly runtime: Runtime;
  readonly name: string;
  readonly handle: DoorVoice;
  readonly positions: number;
  /** One of the pack's own, shared by all who name it: closed with the runtime. */
  readonly shared: boolean;
}

export class Runtime {
  readonly manifest: PackManifest;
  readonly engine: Engine;
  readonly model: DoorModel;
  readonly info: DoorModelInfo;
  /** The model's own options. */
  readonly defaults: DoorOptions;
  readonly #host: Host;
  readonly #source: Source;
  readonly #named = new Map<string, Promise<LoadedVoice>>();
  readonly #open = new Set<LoadedVoice>();
  #given: LoadedVoice | undefined;
  #closed = false;

  constructor(host: Host, source: Source, manifest: PackManifest, engine: Engine, model: DoorModel) {
    this.#host = host;
    this.#source = source;
    this.manifest = manifest;
    this.engine = engine;
    this.model = model;
    this.info = engine.run(() => model.info());
    this.defaults = engine.run((door) => door.defaultOptions(model));
  }

  /** A voice of the pack by name; read once. */
  voiceNamed(name: string): Promise<LoadedVoice> {
    const known = this.#named.get(name);
    if (known !== undefined) return known;
    // Without anybody's signal: several callers may wait for it.
    const loading = this.#readVoice(name);
    this.#named.set(name, loading);
    loading.catch(() => this.#named.delete(name));
    return loading;
  }

  async #readVoice(name: string): Promise<LoadedVoice> {
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
    const bytes = await readPackFile(this.#host, this.#source, entry, VOICE_LIMIT);
    return this.#loadVoice(bytes, name, true);
  }

  /** The voice file that load() was given; loaded once. */
  voiceGiven(bytes: Uint8Array): Promise<LoadedVoice> {
    this.#given ??= this.#loadVoice(bytes, 'file', true);
    return Promise.resolve(this.#given);
  }

  /** A voice file (safetensors). */
  voiceFromFile(bytes: Uint8Array, name: string): LoadedVoice {
    return this.#loadVoice(bytes, name, false);
  }

  #loadVoice(bytes: Uint8Array, name: string, shared: boolean): LoadedVoice {
    return this.engine.withBytes(bytes, (memory) =>
      this.#makeVoice(name, shared, (voice) => voice.load(this.model, memory)),
    );
  }

  /** A voice out of a WAV file. */
  voiceFromWav(bytes: Uint8Array, name: string, maxSeconds: number): LoadedVoice {
    this.#refuseCloning();
    return this.engine.withBytes(bytes, (memory) =>
      this.#makeVoice(name, false, (voice) => voice.fromWav(this.model, memory, maxSeconds)),
    );
  }

  /** A voice out of mono samples. */
  voiceFromPcm(samples: Float32Array, sampleRate: number, name: string): LoadedVoice {
    this.#refuseCloning();
    const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
    return this.engine.withBytes(bytes, (memory) =>
      this.#makeVoice(name, false, (voice) => voice.fromPcm(this.model, memory, sampleRate)),
    );
  }

  /** The pack's own word on cloning goes before the engine's: it can say why. */
  #refuseCloning(): void {
    const cloning = this.manifest.cloning;
    if (cloning?.available !== false) return;
    const reason = cloning.reason === undefined ? '' : `: ${cloning.reason}`;
    throw new PocketTTSError('cloning', `The pack ${this.manifest.name} cannot make voices from audio${reason}`);
  }

  #makeVoice(name: string, shared: boolean, fill: (voice: DoorVoice) => number): LoadedVoice {
    if (this.#closed) throw new PocketTTSError('disposed', 'This PocketTTS was disposed of');
    const handle = this.engine.run((door) => new door.Voice());
    try {
      this.engine.call(() => fill(handle), name);
      const voice = { runtime: this, name, handle, positions: this.engine.run(() => handle.positions()), shared };
      this.#open.add(voice);
      return voice;
    } catch (error) {
      this.engine.release(handle);
      throw error;
    }
  }

  /** The voice as a file of the reference's current format. */
  exportVoice(voice: LoadedVoice): Uint8Array<ArrayBuffer> {
    const memory = this.engine.memory(0);
    try {
      this.engine.call(() => voice.handle.exportTo(memory), voice.name);
      return this.engine.run(() => memory.bytes().slice());
    } finally {
      this.engine.release(memory);
    }
  }

  /** False after closeVoice() and close(). */
  holds(voice: LoadedVoice): boolean {
    return this.#open.has(voice);
  }

  closeVoice(voice: LoadedVoice): void {
    if (!voice.shared && this.#open.delete(voice)) this.engine.release(voice.handle);
  }

  /** Frees everything. Sessions that still hold on to the model are closed by their owners. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const voice of this.#open) this.engine.release(voice.handle);
    this.#open.clear();
    this.#named.clear();
    this.engine.release(this.model);
  }
}
