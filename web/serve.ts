// The worker's side: one instance of the engine that does as it is told (protocol.ts). worker.ts and worker-node.ts
// connect it to the thread that started it.
//
// Streams take turns: one frame of one stream, then one of the next, with a look at the messages that came meanwhile after
// each frame or a few milliseconds of them. So an order to close takes effect at once, and no long text starves another.
import { ModelBuilder } from './builder.js';
import { createEngine } from './engine.js';
import type { DoorCodec, DoorMemory, DoorModel, DoorSession, DoorVoice, Engine } from './engine.js';
import { PocketTTSError } from './errors.js';
import type { Port, Transfer } from './platform.js';
import { toWire } from './protocol.js';
import type {
  Call,
  CallName,
  Calls,
  Command,
  Duties,
  FromWorker,
  ModelFacts,
  Order,
  Orders,
  PipeContent,
  PipeMessage,
  Stats,
  StreamEvent,
} from './protocol.js';
import { exportVoice, makeVoice, rawChunks, VoiceBytes } from './voices.js';

/** Latents in one call of the decoder, at most: the step between two looks at the messages stays short. */
const BLOCK_LIMIT = 4;

/** Between two looks at the messages, at least, ms: a look costs a tenth of one, small models make a frame in little more. */
const LOOK_MS = 5;

/** What connects an instance with its caller. */
export interface Connection {
  post(message: FromWorker, transfer: Transfer[]): void;
  /** Lets the messages in that have come. */
  pause(): Promise<void>;
}

/** The fields of a frame that travel with its latent. */
interface Place {
  readonly chunk: number;
  readonly step: number;
}

/** Decodes one stream: a codec of the engine with room for a block. */
class Decoder {
  readonly #engine: Engine;
  readonly #codec: DoorCodec;
  readonly #pcm: DoorMemory;
  readonly #latents: DoorMemory;
  readonly #samples: number;

  constructor(engine: Engine, model: DoorModel, block: number) {
    const { latentWidth, samplesPerFrame } = engine.run(() => model.info());
    this.#engine = engine;
    this.#samples = samplesPerFrame;
    this.#codec = engine.run((door) => new door.Codec());
    engine.call(() => this.#codec.open(model));
    this.#pcm = engine.memory(block * samplesPerFrame * 4);
    this.#latents = engine.memory(block * latentWidth * 4);
  }

  /** Room for a block of latents. A fresh view: the memory may have grown. */
  latents(): Float32Array<ArrayBuffer> {
    return this.#engine.run(() => this.#latents.floats());
  }

  /** Decodes the first `places.length` latents. */
  frames(places: readonly Place[]): StreamEvent[] {
    this.#engine.call(() => this.#codec.decode(this.#latents, places.length, this.#pcm));
    const pcm = this.#engine.run(() => this.#pcm.floats());
    return places.map(({ chunk, step }, i) => ({
      kind: 'frame',
      chunk,
      step,
      samples: pcm.slice(i * this.#samples, (i + 1) * this.#samples),
    }));
  }

  reset(): void {
    this.#engine.call(() => this.#codec.reset());
  }

  close(): void {
    for (const object of [this.#pcm, this.#latents, this.#codec]) this.#engine.release(object);
  }
}

/** A stream that this instance has something to do for. */
interface Job {
  readonly ready: boolean;
  /** Does the work between two looks at the messages. */
  advance(): void;
  close(): void;
}

/**
 * Speaks a text: makes latents, and decodes them when the decoder lives here too. Where nobody waits for each frame they are
 * decoded in blocks, of 1, 2, 4: the codec's weights then come from memory once for all of a block.
 */
class SpeakingJob implements Job {
  readonly session: DoorSession;
  readonly #server: Server;
  readonly #engine: Engine;
  readonly #stream: number;
  readonly #latent: DoorMemory;
  readonly #width: number;
  readonly #decoder: Decoder | undefined;
  /** Latents that are held for a block, how many make the next one, and how many one may hold. */
  #places: Place[] = [];
  #block = 1;
  readonly #most: number;
  #credits = 0;
  #chunk = 0;
  #to = 0;
  #fresh = true;

  constructor(
    server: Server,
    stream: number,
    { voice, text, options, blocks }: Omit<Calls['speak']['args'], 'voice'> & { voice: DoorVoice },
  ) {
    const { engine, model, duties } = server;
    this.#server = server;
    this.#engine = engine;
    this.#stream = stream;
    this.#most = blocks ? BLOCK_LIMIT : 1;
    this.session = engine.run((door) => new door.Session());
    try {
      // Before the session: see wasm/engine/flow_lm.cpp, open().
      this.#decoder = duties.decodes ? new Decoder(engine, model, this.#most) : undefined;
      engine.withBytes(text, (memory) => engine.check(this.session.open(model, voice, memory, options)));
      this.#width = engine.run(() => model.info().latentWidth);
      this.#latent = engine.memory(4 * this.#width);
    } catch (error) {
      this.#decoder?.close();
      engine.release(this.session);
      throw error;
    }
  }

  run({ from, to, credits }: Orders['run']): void {
    this.#engine.call(() => this.session.seek(from));
    if (!this.#fresh) this.#decoder?.reset();
    this.#fresh = false;
    this.#places = [];
    this.#block = 1;
    this.#chunk = from;
    this.#to = to;
    this.#credits = credits;
  }

  credit(frames: number): void {
    this.#credits += frames;
  }

  get ready(): boolean {
    return this.#chunk < this.#to && this.#credits > 0;
  }

  advance(): void {
    const { session } = this;
    const stream = this.#stream;
    try {
      const status = this.#engine.call(() => session.step(this.#latent));
      const { CHUNK_END, DONE } = this.#engine.run((door) => door);
      const event = this.#engine.run(() => session.event());
      if (status === DONE) {
        this.#to = 0;
      } else if (status === CHUNK_END) {
        this.#chunk = event.chunk + 1;
        const end = { kind: 'end', chunk: event.chunk, truncated: event.truncated !== 0 } as const;
        this.#decode();
        this.#decoder?.reset();
        if (this.#decoder === undefined) this.#server.pipe({ ...end, stream });
        else this.#server.report(stream, [end]);
      } else {
        this.#credits--;
        const place = { chunk: event.chunk, step: event.step };
        if (this.#decoder === undefined) {
          const latent = this.#engine.run(() => this.#latent.floats().slice());
          this.#server.pipe({ kind: 'latent', stream, ...place, latent });
        } else {
          this.#decoder.latents().set(this.#engine.run(() => this.#latent.floats()), this.#places.length * this.#width);
          this.#places.push(place);
          if (this.#places.length >= this.#block || this.#credits === 0) this.#decode();
        }
      }
    } catch (error) {
      if (this.#engine.crashed) throw error;
      this.#decodeRest();
      const failed = { kind: 'error', chunk: this.#chunk, error: toWire(error) } as const;
      this.#to = 0;
      // In its place behind the frames that are still on their way.
      if (this.#decoder === undefined) this.#server.pipe({ ...failed, stream });
      else this.#server.report(stream, [failed]);
    }
  }

  /** Decodes what is held. */
  #decode(): void {
    const places = this.#places;
    if (this.#decoder === undefined || places.length === 0) return;
    this.#places = [];
    this.#block = Math.min(2 * this.#block, this.#most);
    this.#server.report(this.#stream, this.#decoder.frames(places));
  }

  /** The same before an error of the language model; one of the decoder comes after it and says nothing new. */
  #decodeRest(): void {
    try {
      this.#decode();
    } catch (error) {
      if (this.#engine.crashed) throw error;
    }
  }

  close(): void {
    this.#to = 0;
    this.#decoder?.close();
    for (const object of [this.#latent, this.session]) this.#engine.release(object);
  }
}

/** Decodes what another instance speaks. Blocks grow (1, 2, 4) only while latents queue up: the first sound never waits. */
class DecodingJob implements Job {
  readonly #server: Server;
  readonly #stream: number;
  readonly #decoder: Decoder;
  readonly #queue: PipeContent[] = [];
  #block = 1;
  #failed = false;

  constructor(server: Server, stream: number) {
    this.#server = server;
    this.#stream = stream;
    this.#decoder = new Decoder(server.engine, server.model, BLOCK_LIMIT);
  }

  push(message: PipeContent): void {
    if (!this.#failed) this.#queue.push(message);
  }

  get ready(): boolean {
    return this.#queue.length > 0;
  }

  advance(): void {
    const chunk = this.#queue[0]?.chunk ?? 0;
    try {
      this.#next();
    } catch (error) {
      if (this.#server.engine.crashed) throw error;
      this.#failed = true;
      this.#queue.length = 0;
      this.#server.report(this.#stream, [{ kind: 'error', chunk, error: toWire(error) }]);
    }
  }

  #next(): void {
    const first = this.#queue[0];
    if (first === undefined) return;
    if (first.kind !== 'latent') {
      this.#queue.shift();
      if (first.kind === 'end') this.#decoder.reset();
      const { stream, ...event } = first;
      this.#server.report(stream, [event]);
      return;
    }
    const places: Place[] = [];
    const room = this.#decoder.latents();
    for (const message of this.#queue.slice(0, this.#block)) {
      if (message.kind !== 'latent') break;
      room.set(message.latent, places.length * message.latent.length);
      places.push(message);
    }
    this.#queue.splice(0, places.length);
    this.#server.report(this.#stream, this.#decoder.frames(places));
    this.#block =
      this.#queue.length >= 2 * this.#block
        ? Math.min(2 * this.#block, BLOCK_LIMIT)
        : Math.max(1, Math.min(this.#block, this.#queue.length));
  }

  close(): void {
    this.#queue.length = 0;
    this.#decoder.close();
  }
}

/** Whether it stands between others of its chunk. */
function canWait(event: { readonly kind: string; readonly step?: number }): boolean {
  return (event.kind === 'frame' || event.kind === 'latent') && event.step !== 0;
}

/** An instance of the engine, and the commands that it takes. */
export class Server {
  readonly #connection: Connection;
  readonly #voices = new Map<number, DoorVoice>();
  readonly #voiceBytes = new Map<number, VoiceBytes>();
  readonly #speaking = new Map<number, SpeakingJob>();
  readonly #decoding = new Map<number, DecodingJob>();
  readonly #reports = new Map<number, StreamEvent[]>();
  #piped: PipeMessage[] = [];
  #engine: Engine | undefined;
  #model: DoorModel | undefined;
  #builder: ModelBuilder | undefined;
  #pipe: Port | undefined;
  #working = false;
  #duties: Duties = { speaks: false, decodes: false, clones: false };

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  get duties(): Duties {
    return this.#duties;
  }

  get engine(): Engine {
    if (this.#engine === undefined) throw new PocketTTSError('state', 'the instance was not started');
    return this.#engine;
  }

  get model(): DoorModel {
    if (this.#model === undefined) throw new PocketTTSError('state', 'the model is not loaded');
    return this.#model;
  }

  /** To the decoder; when, is said at report(). */
  pipe(message: PipeMessage): void {
    this.#piped.push(message);
    if (!canWait(message)) this.#send();
  }

  /**
   * To the caller. Only frames inside a chunk wait, for what else is made until the next look at the messages: small models
   * make several in that time, and a message costs as much as a tenth of one.
   */
  report(stream: number, events: StreamEvent[]): void {
    const waiting = this.#reports.get(stream) ?? [];
    waiting.push(...events);
    this.#reports.set(stream, waiting);
    if (!events.every(canWait)) this.#send();
  }

  #send(): void {
    if (this.#piped.length > 0) {
      const latents = this.#piped.flatMap((message) => (message.kind === 'latent' ? [message.latent.buffer] : []));
      this.#pipe?.postMessage(this.#piped, latents);
      this.#piped = [];
    }
    for (const [stream, events] of this.#reports) {
      const transfer = events.flatMap((event) => (event.kind === 'frame' ? [event.samples.buffer] : []));
      this.#connection.post({ kind: 'events', stream, events, stats: this.#stats() }, transfer);
    }
    this.#reports.clear();
  }

  /** Takes a command; never throws. */
  async handle(command: Command): Promise<void> {
    try {
      if (command.kind === 'order') {
        this.#obey(command);
        // Where something was freed.
        if (command.op !== 'credit') this.#connection.post({ kind: 'stats', stats: this.#stats() }, []);
      } else {
        const value = command.op === 'start' ? await this.#start(command.args) : this.#answer(command);
        const transfer = value instanceof Uint8Array ? [value.buffer] : [];
        this.#connection.post({ kind: 'value', id: command.id, value, stats: this.#stats() }, transfer);
      }
    } catch (error) {
      this.#failed(error, command.kind === 'call' ? command.id : 0);
    }
    void this.#work();
  }

  #failed(error: unknown, id: number): void {
    if (this.#engine?.crashed === true) {
      for (const jobs of [this.#speaking, this.#decoding]) jobs.clear();
      this.#connection.post({ kind: 'crash', error: toWire(error) }, []);
    } else if (id !== 0) {
      this.#connection.post({ kind: 'error', id, error: toWire(error), stats: this.#stats() }, []);
    } else {
      // Nobody waits for an answer, and somebody waits for frames.
      this.#connection.post({ kind: 'crash', error: toWire(error) }, []);
    }
  }

  #stats(): Stats {
    return { allocated: this.#engine?.allocatedBytes ?? 0, memory: this.#engine?.memoryBytes ?? 0 };
  }

  async #start({ module, duties, pipe }: Calls['start']['args']): Promise<string> {
    this.#duties = duties;
    this.#engine = await createEngine(module);
    this.#pipe = pipe;
    if (pipe !== undefined && !duties.speaks) {
      pipe.onmessage = ({ data }) => {
        for (const message of data as PipeMessage[]) this.#receive(message);
        void this.#work();
      };
    }
    return this.#engine.version;
  }

  #answer(command: Exclude<Call, { op: 'start' }>): Calls[CallName]['value'] {
    switch (command.op) {
      case 'openPack': {
        const { config, precision, where } = command.args;
        this.#builder = new ModelBuilder(this.engine, this.#duties);
        this.#builder.openPack(config, precision, where);
        return undefined;
      }
      case 'tokenizer': {
        const { bytes, json, name } = command.args;
        this.#building().tokenizer(bytes, json, name);
        return undefined;
      }
      case 'file': {
        const { role, total, name } = command.args;
        this.#building().file(role, total, name);
        return undefined;
      }
      case 'feed': {
        const { buffer, length, name } = command.args;
        this.#building().feed(buffer.subarray(0, length), name);
        return buffer;
      }
      case 'finish':
        return this.#finish(command.args.where);
      case 'voiceBytes': {
        const { voice, total, buffer, length } = command.args;
        this.#bytesOf(voice, total).add(buffer.subarray(0, length));
        return buffer;
      }
      case 'voice':
        return this.#makeVoice(command.args);
      case 'exportVoice': {
        const { voice, name } = command.args;
        return exportVoice(this.engine, this.#voice(voice), name);
      }
      case 'speak': {
        const { stream, voice } = command.args;
        const job = new SpeakingJob(this, stream, { ...command.args, voice: this.#voice(voice) });
        this.#speaking.set(stream, job);
        this.pipe({ kind: 'open', stream });
        return rawChunks(this.engine, job.session);
      }
    }
  }

  #building(): ModelBuilder {
    if (this.#builder === undefined) throw new PocketTTSError('state', 'no pack was opened');
    return this.#builder;
  }

  #finish(where: string): ModelFacts {
    const builder = this.#building();
    try {
      const model = builder.finish(where);
      this.#model = model;
      return this.engine.run((door) => ({
        info: model.info(),
        defaults: this.#duties.speaks ? door.defaultOptions(model) : undefined,
      }));
    } finally {
      builder.close();
      this.#builder = undefined;
    }
  }

  #voice(number: number): DoorVoice {
    const voice = this.#voices.get(number);
    if (voice === undefined) throw new PocketTTSError('handle', `voice ${number} is not open`);
    return voice;
  }

  #bytesOf(voice: number, total: number): VoiceBytes {
    let bytes = this.#voiceBytes.get(voice);
    if (bytes === undefined) this.#voiceBytes.set(voice, (bytes = new VoiceBytes(this.engine, total)));
    return bytes;
  }

  #dropBytes(voice: number): void {
    this.#voiceBytes.get(voice)?.release();
    this.#voiceBytes.delete(voice);
  }

  #makeVoice({ voice, from, name }: Calls['voice']['args']): number {
    try {
      const { handle, positions } = makeVoice(this.engine, this.model, this.#bytesOf(voice, 0), from, name);
      this.#voices.set(voice, handle);
      return positions;
    } finally {
      this.#dropBytes(voice);
    }
  }

  #obey(order: Order): void {
    switch (order.op) {
      case 'run':
        this.#speaking.get(order.args.stream)?.run(order.args);
        return;
      case 'credit':
        this.#speaking.get(order.args.stream)?.credit(order.args.frames);
        return;
      case 'close': {
        const { stream } = order.args;
        this.#close(this.#speaking, stream);
        this.#close(this.#decoding, stream);
        // The decoder may not have heard of the stream yet: what is on its way to it must find an end.
        if (this.#duties.speaks) this.pipe({ kind: 'close', stream });
        return;
      }
      case 'closeVoice': {
        const { voice } = order.args;
        this.#dropBytes(voice);
        this.engine.release(this.#voices.get(voice));
        this.#voices.delete(voice);
      }
    }
  }

  #close(jobs: Map<number, Job>, stream: number): void {
    const job = jobs.get(stream);
    jobs.delete(stream);
    job?.close();
  }

  #receive(message: PipeMessage): void {
    try {
      const { stream } = message;
      if (message.kind === 'open') this.#decoding.set(stream, new DecodingJob(this, stream));
      else if (message.kind === 'close') this.#close(this.#decoding, stream);
      else this.#decoding.get(stream)?.push(message);
    } catch (error) {
      if (this.#engine?.crashed === true) this.#failed(error, 0);
      else this.report(message.stream, [{ kind: 'error', chunk: 0, error: toWire(error) }]);
    }
  }

  /** Advances the streams in turn until none has anything to do. */
  async #work(): Promise<void> {
    if (this.#working) return;
    this.#working = true;
    let looked = performance.now();
    try {
      for (let busy = true; busy; ) {
        busy = false;
        for (const jobs of [this.#speaking, this.#decoding]) {
          for (const job of jobs.values()) {
            if (!job.ready) continue;
            busy = true;
            job.advance();
            if (performance.now() - looked < LOOK_MS) continue;
            this.#send();
            await this.#connection.pause();
            looked = performance.now();
          }
        }
      }
      this.#send();
    } catch (error) {
      this.#send();
      this.#failed(error, 0);
    } finally {
      this.#working = false;
    }
  }
}
