// A pack in this thread: an engine instance, its model, the voices in it.
import { PackBackend } from './backend.js';
import type { BackendState, LoadedVoice, PackLocation, Speaking, VoiceSource } from './backend.js';
import { ModelBuilder } from './builder.js';
import { createEngine } from './engine.js';
import type { DoorModel, DoorModelInfo, DoorOptions, DoorVoice, Engine } from './engine.js';
import { throwIfAborted } from './errors.js';
import type { Host } from './host.js';
import { CLONER, EVERYTHING } from './layout.js';
import type { Layout } from './layout.js';
import { feedModel, PRECISIONS } from './pack.js';
import type { LoadModelOptions, PackManifest } from './pack.js';
import type { WasmModule } from './platform.js';
import { Queue } from './turns.js';
import { NOT_YET, openUtterance } from './utterance.js';
import type { SpeechOptions } from './utterance.js';
import { exportVoice, makeVoice, VoiceBytes } from './voices.js';

export async function loadRuntime(
  host: Host,
  wasm: Promise<WasmModule>,
  { source }: PackLocation,
  manifest: PackManifest,
  layout: Layout,
  options: LoadModelOptions,
): Promise<Runtime> {
  const engine = wasm.then(createEngine);
  let builder: ModelBuilder | undefined;
  try {
    const sink = engine.then((started) => (builder = new ModelBuilder(started, EVERYTHING)));
    await feedModel(host, sink, source, manifest, options);
    const model = (await sink).finish(source.where);
    return new Runtime(host, { source, manifest }, layout, await engine, model);
  } finally {
    builder?.close();
  }
}

export class Runtime extends PackBackend<DoorVoice> {
  readonly engine: Engine;
  readonly model: DoorModel;
  readonly info: DoorModelInfo;
  /** The model's own options. */
  readonly defaults: DoorOptions;
  readonly #host: Host;
  readonly #layout: Layout;
  readonly #queue = new Queue();

  constructor(
    host: Host,
    { source, manifest }: Required<PackLocation>,
    layout: Layout,
    engine: Engine,
    model: DoorModel,
  ) {
    super(host, source, manifest);
    this.#host = host;
    this.#layout = layout;
    this.engine = engine;
    this.model = model;
    this.info = engine.run(() => model.info());
    this.defaults = engine.run((door) => door.defaultOptions(model));
  }

  get crashed(): boolean {
    return this.engine.crashed;
  }

  get state(): BackendState {
    const { engine } = this;
    return {
      version: engine.crashed ? '' : engine.version,
      layout: this.#layout,
      allocatedBytes: engine.allocatedBytes,
      memoryBytes: engine.memoryBytes,
    };
  }

  /** Texts take turns, step by step: one that nobody reads on holds up nobody. */
  async speak(
    voice: LoadedVoice,
    text: string | Uint8Array,
    options: SpeechOptions,
    signal: AbortSignal | undefined,
  ): Promise<Speaking> {
    const turn = async <T>(work: () => T): Promise<T> => {
      const leave = await this.#queue.enter(signal);
      try {
        // Timers, input and aborts get their turn before every step.
        await this.#host.pause();
        throwIfAborted(signal);
        if (this.closed) throw this.disposed;
        return work();
      } finally {
        leave();
      }
    };
    const utterance = await turn(() => openUtterance(this, this.handleOf(voice), text, options));
    return {
      chunks: utterance.chunks,
      next: async () => {
        for (;;) {
          const made = await turn(() => utterance.next());
          if (made !== NOT_YET) return made;
        }
      },
      close: () => {
        utterance.close();
      },
    };
  }

  protected async makeVoice(source: VoiceSource, name: string): Promise<{ handle: DoorVoice; positions: number }> {
    // The caller goes on first: an error of the engine is a rejection.
    await Promise.resolve();
    const check = (): void => {
      if (this.closed) throw this.disposed;
    };
    check();
    const bytes = new VoiceBytes(this.engine, source.size);
    try {
      for await (const slice of source.slices) {
        check();
        bytes.add(slice);
      }
      check();
      return makeVoice(this.engine, this.model, bytes, source.from, name);
    } finally {
      bytes.release();
    }
  }

  protected async cloneApart(source: VoiceSource, name: string, signal: AbortSignal): Promise<Uint8Array> {
    const engine = await createEngine(await this.#host.wasm());
    const builder = new ModelBuilder(engine, CLONER);
    let model: DoorModel | undefined;
    let handle: DoorVoice | undefined;
    try {
      const options = { precision: PRECISIONS[this.info.precision], signal, encoder: true };
      await feedModel(this.#host, Promise.resolve(builder), this.source, this.manifest, options);
      throwIfAborted(signal);
      model = builder.finish(this.source.where);
      const bytes = new VoiceBytes(engine, source.size);
      try {
        for await (const slice of source.slices) bytes.add(slice);
        ({ handle } = makeVoice(engine, model, bytes, source.from, name));
      } finally {
        bytes.release();
      }
      return exportVoice(engine, handle, name);
    } finally {
      builder.close();
      for (const object of [handle, model]) engine.release(object);
    }
  }

  protected releaseVoice(handle: DoorVoice): void {
    this.engine.release(handle);
  }

  // No async function: nothing happens in between.
  protected exportHandle(handle: DoorVoice, name: string): Promise<Uint8Array<ArrayBuffer>> {
    return Promise.resolve().then(() => exportVoice(this.engine, handle, name));
  }

  /** Sessions that still hold on to the model are closed by their owners. */
  protected release(): Promise<void> {
    this.engine.release(this.model);
    return Promise.resolve();
  }
}
