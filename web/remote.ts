// A pack in workers: the caller's side. One worker with a whole instance, two with half a model each, or one with decoders
// that share the chunks of a text with it (layout.ts).
import { PackBackend } from './backend.js';
import type { BackendState, LoadedVoice, PackLocation, Speaking, VoiceSource } from './backend.js';
import type { ModelSink } from './builder.js';
import { describe, PocketTTSError, throwIfAborted } from './errors.js';
import type { Host, Link } from './host.js';
import { CLONER } from './layout.js';
import type { Layout } from './layout.js';
import { feedModel, PRECISIONS } from './pack.js';
import type { LoadModelOptions, PackFileRole, PackManifest, Precision } from './pack.js';
import type { Transfer } from './platform.js';
import type { DoorModelInfo, DoorOptions } from './pocket_tts.mjs';
import { fromWire } from './protocol.js';
import type {
  Call,
  CallName,
  Calls,
  Duties,
  FromWorker,
  ModelFacts,
  Order,
  OrderName,
  Orders,
  Stats,
  StreamEvent,
  Together,
} from './protocol.js';
import { abortable } from './turns.js';
import { engineOptions, namedChunks, textBytes } from './utterance.js';
import type { Chunk, Frame, MutableChunk, SpeechOptions } from './utterance.js';

/** What carries a file to a worker: one buffer on its way while the other is filled. */
const BUFFER_BYTES = 1 << 18;
/** Frames made ahead of the reader (1.3 s). Credits go back in batches. */
const FRAMES_AHEAD = 16;
const CREDIT_BATCH = 4;
/**
 * With several chunks at once: how many take their steps together (eight rows of a product take little longer than four),
 * how many a decoder may have, and how many may be begun and not read to their end, as long as they have no more tokens than
 * make some five minutes of sound, 29 MB.
 */
const LANES = 8;
const SLOTS = 4;
const CHUNKS_AHEAD = 12;
const TOKENS_AHEAD = 1000;

/** Texts are told apart by number, in all workers of the process. */
let numbers = 0;

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: PocketTTSError) => void;
}

/** One worker. */
class Remote {
  readonly duties: Duties;
  stats: Stats = { allocated: 0, memory: 0 };
  readonly #link: Link;
  readonly #calls = new Map<number, Waiting>();
  #failure: PocketTTSError | undefined;
  #holds = 0;

  constructor(
    host: Host,
    duties: Duties,
    onEvents: (stream: number, events: readonly StreamEvent[]) => void,
    onCrash: (error: PocketTTSError) => void,
  ) {
    this.duties = duties;
    const receive = (message: FromWorker): void => {
      if (message.kind === 'crash') {
        onCrash(fromWire(message.error));
        return;
      }
      this.stats = message.stats;
      if (message.kind === 'events') onEvents(message.stream, message.events);
      else if (message.kind !== 'stats') this.#settle(message);
    };
    this.#link = host.workers.start({
      receive,
      fail: (error) => {
        onCrash(new PocketTTSError('crashed', `The worker of the engine died: ${describe(error)}`, { cause: error }));
      },
    });
  }

  #settle(answer: Extract<FromWorker, { id: number }>): void {
    const call = this.#calls.get(answer.id);
    this.#calls.delete(answer.id);
    if (answer.kind === 'value') call?.resolve(answer.value);
    else call?.reject(fromWire(answer.error));
  }

  async call<N extends CallName>(
    op: N,
    args: Calls[N]['args'],
    transfer: Transfer[] = [],
  ): Promise<Calls[N]['value']> {
    if (this.#failure !== undefined) throw this.#failure;
    const id = ++numbers;
    this.hold();
    try {
      return (await new Promise<unknown>((resolve, reject) => {
        this.#calls.set(id, { resolve, reject });
        this.#link.post({ kind: 'call', id, op, args } as Call, transfer);
      })) as Calls[N]['value'];
    } finally {
      this.unhold();
    }
  }

  order<N extends OrderName>(op: N, args: Orders[N]): void {
    if (this.#failure === undefined) this.#link.post({ kind: 'order', op, args } as Order, []);
  }

  /** While anything is held the process waits for this worker, afterwards it may end. */
  hold(): void {
    if (this.#holds++ === 0) this.#link.ref();
  }

  unhold(): void {
    if (--this.#holds === 0) this.#link.unref();
  }

  /** Ends the worker and every call that waits for it. */
  async end(error: PocketTTSError): Promise<void> {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    for (const { reject } of this.#calls.values()) reject(error);
    this.#calls.clear();
    await this.#link.terminate();
  }
}

/** A file on its way to one worker, in a few buffers that come back. */
class Feed {
  readonly #post: (buffer: Uint8Array<ArrayBuffer>, length: number) => Promise<Uint8Array<ArrayBuffer>>;
  readonly #free: Uint8Array<ArrayBuffer>[] = [];
  #sent: Promise<void> | undefined;
  #buffer: Uint8Array<ArrayBuffer> | undefined;
  #length = 0;

  constructor(post: (buffer: Uint8Array<ArrayBuffer>, length: number) => Promise<Uint8Array<ArrayBuffer>>) {
    this.#post = post;
  }

  async write(slice: Uint8Array): Promise<void> {
    for (let at = 0; at < slice.length; ) {
      this.#buffer ??= this.#free.pop() ?? new Uint8Array(BUFFER_BYTES);
      const part = slice.subarray(at, at + BUFFER_BYTES - this.#length);
      this.#buffer.set(part, this.#length);
      this.#length += part.length;
      at += part.length;
      if (this.#length === BUFFER_BYTES) await this.#send();
    }
  }

  /** The one before has come back then. */
  async #send(): Promise<void> {
    await this.#sent;
    const buffer = this.#buffer;
    if (buffer === undefined) return;
    const sent = this.#post(buffer, this.#length).then((back) => {
      this.#free.push(back);
    });
    // Looked at when its turn comes.
    sent.catch(() => undefined);
    this.#sent = sent;
    this.#buffer = undefined;
    this.#length = 0;
  }

  /** The end of a file. */
  async flush(): Promise<void> {
    if (this.#length > 0) await this.#send();
    await this.#sent;
  }
}

/** Feeds the same bytes to several workers. */
class RemoteSink implements ModelSink {
  readonly #remotes: readonly Remote[];
  #feeds: readonly Feed[] = [];

  constructor(remotes: readonly Remote[]) {
    this.#remotes = remotes;
  }

  async openPack(config: Uint8Array, precision: Precision, where: string): Promise<void> {
    await Promise.all(this.#remotes.map((remote) => remote.call('openPack', { config, precision, where })));
  }

  async tokenizer(bytes: Uint8Array, json: boolean, name: string): Promise<void> {
    const speakers = this.#remotes.filter(({ duties }) => duties.speaks);
    await Promise.all(speakers.map((remote) => remote.call('tokenizer', { bytes, json, name })));
  }

  async file(role: PackFileRole, total: number, name: string): Promise<void> {
    await this.#flush();
    const fed = this.#remotes.filter(({ duties }) =>
      role === 'weights-flow-lm' ? duties.speaks : role === 'weights-encoder' ? duties.clones : true,
    );
    await Promise.all(fed.map((remote) => remote.call('file', { role, total, name })));
    this.#feeds = fed.map(
      (remote) => new Feed((buffer, length) => remote.call('feed', { buffer, length, name }, [buffer.buffer])),
    );
  }

  async feed(slice: Uint8Array): Promise<void> {
    await Promise.all(this.#feeds.map((feed) => feed.write(slice)));
  }

  async #flush(): Promise<void> {
    await Promise.all(this.#feeds.map((feed) => feed.flush()));
  }

  async finish(where: string): Promise<ModelFacts[]> {
    await this.#flush();
    return Promise.all(this.#remotes.map((remote) => remote.call('finish', { where })));
  }
}

/** Makes a voice in a worker, under a number; its positions. */
async function feedVoice(
  remote: Remote,
  voice: number,
  { from, size, slices }: VoiceSource,
  name: string,
): Promise<number> {
  const feed = new Feed((buffer, length) =>
    remote.call('voiceBytes', { voice, total: size, buffer, length }, [buffer.buffer]),
  );
  for await (const slice of slices) await feed.write(slice);
  await feed.flush();
  return remote.call('voice', { voice, from, name });
}

/** The ends of the channels between the speaker, which is the first, and those that only decode. */
function connect(remotes: readonly Remote[]): (readonly [Remote, MessagePort[]])[] {
  const [speaker, ...decoders] = remotes;
  if (speaker === undefined) return [];
  const channels = decoders.map(() => new MessageChannel());
  return [
    [speaker, channels.map(({ port1 }) => port1)],
    ...channels.map(({ port2 }, i): [Remote, MessagePort[]] => [decoders[i] ?? speaker, [port2]]),
  ];
}

/** Workers that could not be started at all: another layout may do. */
export class StartError extends PocketTTSError {}

export async function loadRemote(
  host: Host,
  wasm: Promise<WebAssembly.Module>,
  { source }: PackLocation,
  manifest: PackManifest,
  layout: Layout,
  options: LoadModelOptions,
): Promise<RemoteBackend> {
  const { signal } = options;
  let backend: RemoteBackend | undefined;
  const phase = { started: false };
  const remotes: Remote[] = [];
  const end = (error: PocketTTSError): Promise<unknown> => Promise.all(remotes.map((remote) => remote.end(error)));
  try {
    for (const duties of layout.duties) {
      remotes.push(
        new Remote(
          host,
          duties,
          (stream, events) => backend?.receive(stream, events),
          (error) => {
            if (backend !== undefined) backend.crash(error);
            else void end(error);
          },
        ),
      );
    }
    const sink = new RemoteSink(remotes);
    const starting = wasm.then(async (module) => {
      const versions = await Promise.all(
        connect(remotes).map(([remote, pipes]) =>
          remote.call('start', { module, duties: remote.duties, pipes }, pipes),
        ),
      );
      phase.started = true;
      return { sink, version: versions[0] ?? '' };
    });
    await abortable(
      feedModel(
        host,
        starting.then(() => sink),
        source,
        manifest,
        options,
      ),
      signal,
    );
    const facts = await abortable(sink.finish(source.where), signal);
    const { version } = await starting;
    backend = new RemoteBackend(host, { source, manifest }, layout, remotes, version, facts);
    return backend;
  } catch (error) {
    await end(new PocketTTSError('disposed', 'The loading was given up'));
    if (!phase.started && error instanceof PocketTTSError && error.code === 'crashed') {
      throw new StartError('unsupported', `Workers do not start here: ${error.message}`, { cause: error });
    }
    throw error;
  }
}

export class RemoteBackend extends PackBackend<number> {
  readonly info: DoorModelInfo;
  readonly #host: Host;
  readonly #layout: Layout;
  readonly #remotes: readonly Remote[];
  readonly #version: string;
  readonly #defaults: DoorOptions;
  readonly #streams = new Map<number, RemoteStream>();
  #crash: PocketTTSError | undefined;

  constructor(
    host: Host,
    { source, manifest }: Required<PackLocation>,
    layout: Layout,
    remotes: readonly Remote[],
    version: string,
    facts: readonly ModelFacts[],
  ) {
    super(host, source, manifest);
    this.#host = host;
    this.#layout = layout;
    this.#remotes = remotes;
    this.#version = version;
    const [speaker] = facts;
    if (speaker?.defaults === undefined) throw new PocketTTSError('state', 'no instance speaks');
    this.#defaults = speaker.defaults;
    const weightBytes = facts.reduce((sum, { info }) => sum + info.weightBytes, 0);
    this.info = { ...speaker.info, weightBytes, parts: facts.reduce((parts, { info }) => parts | info.parts, 0) };
  }

  get crashed(): boolean {
    return this.#crash !== undefined;
  }

  get state(): BackendState {
    const sum = (field: keyof Stats): number => this.#remotes.reduce((total, { stats }) => total + stats[field], 0);
    return {
      version: this.crashed ? '' : this.#version,
      layout: this.#layout,
      allocatedBytes: this.crashed ? 0 : sum('allocated'),
      memoryBytes: this.crashed ? 0 : sum('memory'),
    };
  }

  /** What a worker made. */
  receive(stream: number, events: readonly StreamEvent[]): void {
    this.#streams.get(stream)?.receive(events);
  }

  /** A worker trapped or died: all of them go. */
  crash(error: PocketTTSError): void {
    if (this.#crash !== undefined || this.closed) return;
    this.#crash = error;
    void this.#end(error);
  }

  async #end(error: PocketTTSError): Promise<void> {
    for (const stream of this.#streams.values()) stream.fail(error);
    this.#streams.clear();
    await Promise.all(this.#remotes.map((remote) => remote.end(error)));
  }

  protected release(): Promise<void> {
    return this.#end(this.disposed);
  }

  /** The first of them (layout.ts). */
  get #speaker(): Remote {
    const [speaker] = this.#remotes;
    if (speaker === undefined) throw this.disposed;
    return speaker;
  }

  protected async makeVoice(source: VoiceSource, name: string): Promise<{ handle: number; positions: number }> {
    const voice = ++numbers;
    try {
      return { handle: voice, positions: await feedVoice(this.#speaker, voice, source, name) };
    } catch (error) {
      this.releaseVoice(voice);
      throw error;
    }
  }

  protected async cloneApart(source: VoiceSource, name: string, signal: AbortSignal): Promise<Uint8Array> {
    const remote = new Remote(
      this.#host,
      CLONER,
      () => undefined,
      (error) => void remote.end(error),
    );
    try {
      return await abortable(this.#cloneBy(remote, source, name, signal), signal);
    } finally {
      // Whatever it is doing: an abort need not wait for it.
      await remote.end(this.disposed);
    }
  }

  async #cloneBy(remote: Remote, source: VoiceSource, name: string, signal: AbortSignal): Promise<Uint8Array> {
    const sink = new RemoteSink([remote]);
    const starting = this.#host.wasm().then(async (module) => {
      await remote.call('start', { module, duties: CLONER, pipes: [] });
      return sink;
    });
    const options = { precision: PRECISIONS[this.info.precision], signal, encoder: true };
    await feedModel(this.#host, starting, this.source, this.manifest, options);
    await sink.finish(this.source.where);
    const voice = ++numbers;
    await feedVoice(remote, voice, source, name);
    return remote.call('exportVoice', { voice, name });
  }

  protected releaseVoice(voice: number): void {
    this.#remotes[0]?.order('closeVoice', { voice });
  }

  protected async exportHandle(voice: number, name: string): Promise<Uint8Array<ArrayBuffer>> {
    return this.#speaker.call('exportVoice', { voice, name });
  }

  async speak(
    voice: LoadedVoice,
    text: string | Uint8Array,
    options: SpeechOptions,
    signal: AbortSignal | undefined,
  ): Promise<Speaking> {
    const bytes = new Uint8Array(textBytes(text));
    const settings = engineOptions(this.#defaults, options);
    const handle = this.handleOf(voice);
    const speaker = this.#speaker;
    const decoders = this.#remotes.slice(1);
    const stream = ++numbers;
    // One sequential stream of random numbers cannot be cut into chunks.
    const together = options.rng === 'torch' ? undefined : this.#together();
    const slots = together?.slots ?? decoders.map((_, decoder) => ({ stream, decoder }));
    const streams = [stream, ...slots.map((slot) => slot.stream)];
    const close = (): void => {
      for (const one of streams) this.#streams.delete(one);
      speaker.order('close', { stream });
      for (const slot of slots) decoders[slot.decoder]?.order('close', { stream: slot.stream });
    };
    try {
      const args = { stream, voice: handle, text: bytes, options: settings, together };
      const opened = await abortable(speaker.call('speak', args), signal);
      if (this.#crash !== undefined) throw this.#crash;
      if (this.closed) throw this.disposed;
      const made = new RemoteStream(this.#host, stream, speaker, this.info, namedChunks(text, opened), together !== undefined, signal);
      for (const one of streams) this.#streams.set(one, made);
      made.begin();
      return { chunks: made.chunks, next: () => made.next(), close };
    } catch (error) {
      close();
      throw error;
    }
  }

  /** With several chunks at once: the first slot of every decoder, then the second, and so on. */
  #together(): Together | undefined {
    const { parallel } = this.#layout;
    if (parallel < 2) return undefined;
    const decoders = parallel - 1;
    const slots = Array.from({ length: SLOTS * decoders }, (_, i) => ({ stream: ++numbers, decoder: i % decoders }));
    return { lanes: LANES, slots };
  }
}

/** A text that workers speak: frames wait here, by chunk, until they are read in order. */
class RemoteStream {
  readonly chunks: MutableChunk[];
  readonly #host: Host;
  readonly #stream: number;
  readonly #speaker: Remote;
  readonly #info: DoorModelInfo;
  readonly #together: boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #waiting = new Map<number, StreamEvent[]>();
  #head = 0;
  /** Chunks below it may be spoken. */
  #to = 0;
  #frame = 0;
  #owed = 0;
  #failure: PocketTTSError | undefined;
  #wake: (() => void) | undefined;

  constructor(
    host: Host,
    stream: number,
    speaker: Remote,
    info: DoorModelInfo,
    chunks: MutableChunk[],
    together: boolean,
    signal: AbortSignal | undefined,
  ) {
    this.#host = host;
    this.#stream = stream;
    this.#speaker = speaker;
    this.#info = info;
    this.chunks = chunks;
    this.#together = together;
    this.#signal = signal;
  }

  begin(): void {
    this.#to = this.#ahead();
    this.#speaker.order('run', { stream: this.#stream, from: 0, to: this.#to, credits: FRAMES_AHEAD });
  }

  /** The chunks that may be spoken now: with several at once not too far ahead of the reader, else frames are counted. */
  #ahead(): number {
    if (!this.#together) return this.chunks.length;
    let to = this.#head;
    for (let tokens = 0; to < Math.min(this.chunks.length, this.#head + CHUNKS_AHEAD); to++) {
      tokens += this.chunks[to]?.tokens ?? 0;
      if (to > this.#head && tokens > TOKENS_AHEAD) break;
    }
    return to;
  }

  receive(events: readonly StreamEvent[]): void {
    for (const event of events) {
      const queue = this.#waiting.get(event.chunk);
      if (queue === undefined) this.#waiting.set(event.chunk, [event]);
      else queue.push(event);
    }
    this.#wake?.();
  }

  fail(error: PocketTTSError): void {
    this.#failure ??= error;
    this.#wake?.();
  }

  async next(): Promise<Frame | Chunk | undefined> {
    let waited = false;
    for (;;) {
      throwIfAborted(this.#signal);
      if (this.#failure !== undefined) throw this.#failure;
      const chunk = this.chunks[this.#head];
      if (chunk === undefined) return undefined;
      const event = this.#waiting.get(this.#head)?.shift();
      if (event === undefined) {
        await this.#arrival();
        waited = true;
        continue;
      }
      // Frames that lay here give way to timers, input and aborts as those do that are waited for.
      if (!waited) {
        await this.#host.pause();
        throwIfAborted(this.#signal);
      }
      return this.#take(event, chunk);
    }
  }

  #take(event: StreamEvent, chunk: MutableChunk): Frame | Chunk {
    if (event.kind === 'error') {
      this.#failure = fromWire(event.error);
      throw this.#failure;
    }
    if (event.kind === 'end') {
      this.#waiting.delete(this.#head);
      this.#head++;
      this.#repay(0);
      chunk.truncated = event.truncated;
      return chunk;
    }
    this.#repay(1);
    const { samplesPerFrame, sampleRate } = this.#info;
    const frame = this.#frame++;
    chunk.frames++;
    return {
      samples: event.samples,
      frame,
      time: (frame * samplesPerFrame) / sampleRate,
      chunk: event.chunk,
      chunkFrame: event.step,
      begin: chunk.begin,
      end: chunk.end,
    };
  }

  /** Room for what was read: so many frames, and chunks. */
  #repay(frames: number): void {
    const to = this.#ahead();
    this.#owed += frames;
    if (to === this.#to && (this.#together || this.#owed < CREDIT_BATCH)) return;
    this.#speaker.order('credit', { stream: this.#stream, frames: this.#owed, to });
    this.#to = to;
    this.#owed = 0;
  }

  /** Waits for something to read, a failure, or the signal. The process waits along. */
  async #arrival(): Promise<void> {
    this.#speaker.hold();
    try {
      const arrived = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await abortable(arrived, this.#signal);
    } finally {
      this.#wake = undefined;
      this.#speaker.unhold();
    }
  }
}
