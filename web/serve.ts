// The worker's side: one instance of the engine that does as it is told (protocol.ts). worker.ts and worker-node.ts
// connect it to the thread that started it.
//
// Streams take turns: a step of one stream (with several chunks at once: one of each) or a block of up to four frames, then of
// the next, with a look at the messages that came meanwhile after each turn or a few milliseconds of them. So an order to close
// takes effect at once, and no long text starves another.
import { ModelBuilder } from './builder.js';
import { ChunksJob } from './chunks-job.js';
import { createEngine } from './engine.js';
import type { DoorModel, DoorVoice, Engine } from './engine.js';
import { PocketTTSError } from './errors.js';
import { DecodingJob, SpeakingJob } from './jobs.js';
import type { Instance, Job, Speaker } from './jobs.js';
import type { Port, Transfer } from './platform.js';
import { toWire } from './protocol.js';
import type {
  Call,
  CallName,
  Calls,
  Command,
  Decoded,
  Duties,
  FromWorker,
  ModelFacts,
  Order,
  PipeMessage,
  Stats,
  StreamEvent,
} from './protocol.js';
import { exportVoice, makeVoice, rawChunks, VoiceBytes } from './voices.js';

/** Between two looks at the messages, at least, ms: a look costs a tenth of one, small models make a frame in little more. */
const LOOK_MS = 5;

/** What connects an instance with its caller. */
export interface Connection {
  post(message: FromWorker, transfer: Transfer[]): void;
  /** Lets the messages in that have come. */
  pause(): Promise<void>;
}

/** Whether it stands between others of its chunk. */
function canWait(event: { readonly kind: string; readonly step?: number }): boolean {
  return (event.kind === 'frame' || event.kind === 'latent') && event.step !== 0;
}

/** An instance of the engine, and the commands that it takes. */
export class Server implements Instance {
  readonly #connection: Connection;
  readonly #voices = new Map<number, DoorVoice>();
  readonly #voiceBytes = new Map<number, VoiceBytes>();
  readonly #speaking = new Map<number, Speaker>();
  readonly #decoding = new Map<number, DecodingJob>();
  readonly #reports = new Map<number, StreamEvent[]>();
  #engine: Engine | undefined;
  #model: DoorModel | undefined;
  #builder: ModelBuilder | undefined;
  /** To the decoders, or to the speaker, and what waits to be sent there. */
  #pipes: readonly { readonly port: Port; readonly waiting: (PipeMessage | Decoded)[] }[] = [];
  #working = false;
  #duties: Duties = { speaks: false, decodes: false, clones: false };

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  get engine(): Engine {
    if (this.#engine === undefined) throw new PocketTTSError('state', 'the instance was not started');
    return this.#engine;
  }

  get model(): DoorModel {
    if (this.#model === undefined) throw new PocketTTSError('state', 'the model is not loaded');
    return this.#model;
  }

  /** To a decoder; when, is said at report(). */
  pipe(message: PipeMessage, decoder = 0): void {
    this.#pipes[decoder]?.waiting.push(message);
    if (!canWait(message)) this.#send();
  }

  acknowledge(stream: number, latents: number): void {
    this.#pipes[0]?.waiting.push({ kind: 'decoded', stream, latents });
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
    for (const { port, waiting } of this.#pipes) {
      if (waiting.length === 0) continue;
      const messages = waiting.splice(0);
      port.postMessage(
        messages,
        messages.flatMap((message) => (message.kind === 'latent' ? [message.latent.buffer] : [])),
      );
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

  async #start({ module, duties, pipes }: Calls['start']['args']): Promise<string> {
    this.#duties = duties;
    this.#engine = await createEngine(module);
    this.#pipes = pipes.map((port) => ({ port, waiting: [] }));
    for (const port of pipes) {
      port.onmessage = ({ data }) => {
        for (const message of data as (PipeMessage | Decoded)[]) this.#receive(message);
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
        const { stream, together } = command.args;
        const voice = this.#voice(command.args.voice);
        const job =
          together === undefined
            ? new SpeakingJob(this, voice, this.#duties.decodes, command.args)
            : new ChunksJob(this, voice, together, command.args);
        this.#speaking.set(stream, job);
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
        this.#speaking.get(order.args.stream)?.credit(order.args);
        return;
      case 'close': {
        const { stream } = order.args;
        this.#close(this.#speaking, stream);
        this.#close(this.#decoding, stream);
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

  #receive(message: PipeMessage | Decoded): void {
    const { stream } = message;
    if (message.kind === 'decoded') {
      for (const job of this.#speaking.values()) job.decoded(stream, message.latents);
      return;
    }
    try {
      if (message.kind === 'open') this.#decoding.set(stream, new DecodingJob(this, stream, message.acknowledge));
      else if (message.kind === 'close') this.#close(this.#decoding, stream);
      else this.#decoding.get(stream)?.push(message);
    } catch (error) {
      if (this.#engine?.crashed === true) this.#failed(error, 0);
      else this.report(stream, [{ kind: 'error', chunk: 0, error: toWire(error) }]);
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
