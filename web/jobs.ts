// What an instance does for a stream, step by step (serve.ts takes them in turn): speaks a text, or decodes what another
// instance speaks. Several chunks at once: chunks-job.ts.
import { BLOCK_LIMIT, Decoder, OwnDecoder } from './decoder.js';
import type { DoorMemory, DoorModel, DoorSession, DoorVoice, Engine } from './engine.js';
import { toWire } from './protocol.js';
import type { Calls, Orders, PipeContent, PipeMessage, StreamEvent } from './protocol.js';

/** The instance that a job works for. */
export interface Instance {
  readonly engine: Engine;
  readonly model: DoorModel;
  /** To the caller. */
  report(stream: number, events: StreamEvent[]): void;
  /** To a decoder: the only one, or the one of that number. */
  pipe(message: PipeMessage, decoder?: number): void;
  /** From a decoder to its speaker: so many latents of the stream have become sound. */
  acknowledge(stream: number, latents: number): void;
}

/** A stream that this instance has something to do for. */
export interface Job {
  readonly ready: boolean;
  /** Does the work between two looks at the messages. */
  advance(): void;
  close(): void;
}

/** Text that this instance speaks. */
export interface Speaker extends Job {
  readonly session: DoorSession;
  run(order: Orders['run']): void;
  credit(order: Orders['credit']): void;
  /** Its decoder on another instance has worked off so many latents. */
  decoded(stream: number, latents: number): void;
}

/** A session of the engine that speaks a text. */
export function openSession(
  { engine, model }: Instance,
  voice: DoorVoice,
  { text, options }: Pick<Calls['speak']['args'], 'text' | 'options'>,
): DoorSession {
  const session = engine.run((door) => new door.Session());
  try {
    engine.withBytes(text, (memory) => engine.check(session.open(model, voice, memory, options)));
    return session;
  } catch (error) {
    engine.release(session);
    throw error;
  }
}

/** Speaks a text chunk after chunk: makes latents, and decodes them when the decoder lives here too. */
export class SpeakingJob implements Speaker {
  readonly session: DoorSession;
  readonly #instance: Instance;
  readonly #engine: Engine;
  readonly #stream: number;
  readonly #latent: DoorMemory;
  readonly #decoder: OwnDecoder | undefined;
  #credits = 0;
  #chunk = 0;
  #to = 0;
  #fresh = true;

  constructor(
    instance: Instance,
    voice: DoorVoice,
    decodes: boolean,
    { stream, ...args }: Pick<Calls['speak']['args'], 'stream' | 'text' | 'options'>,
  ) {
    this.#instance = instance;
    this.#engine = instance.engine;
    this.#stream = stream;
    // Before the session: see wasm/engine/flow_lm.cpp, open().
    this.#decoder = decodes ? new OwnDecoder(instance) : undefined;
    let session: DoorSession | undefined;
    try {
      session = openSession(instance, voice, args);
      this.#latent = this.#engine.memory(4 * this.#engine.run(() => instance.model.info().latentWidth));
    } catch (error) {
      this.#decoder?.close();
      this.#engine.release(session);
      throw error;
    }
    this.session = session;
    if (!decodes) instance.pipe({ kind: 'open', stream, acknowledge: false });
  }

  run({ from, to, credits }: Orders['run']): void {
    this.#engine.call(() => this.session.seek(from));
    if (!this.#fresh) this.#decoder?.reset();
    this.#fresh = false;
    this.#chunk = from;
    this.#to = to;
    this.#credits = credits;
  }

  credit({ frames }: Orders['credit']): void {
    this.#credits += frames;
  }

  decoded(): void {
    // Credits bound what is on its way.
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
        if (this.#decoder === undefined) this.#instance.pipe({ ...end, stream });
        else this.#instance.report(stream, [...this.#decoder.finish(), end]);
      } else {
        this.#credits--;
        const place = { chunk: event.chunk, step: event.step };
        const latent = this.#engine.run(() => this.#latent.floats());
        if (this.#decoder === undefined) {
          this.#instance.pipe({ kind: 'latent', stream, ...place, latent: latent.slice() });
        } else {
          this.#instance.report(stream, this.#decoder.take(place, latent, this.#credits === 0));
        }
      }
    } catch (error) {
      if (this.#engine.crashed) throw error;
      const failed = { kind: 'error', chunk: this.#chunk, error: toWire(error) } as const;
      this.#to = 0;
      // In its place behind the frames that are still on their way.
      if (this.#decoder === undefined) this.#instance.pipe({ ...failed, stream });
      else this.#instance.report(stream, [...this.#decoder.rest(), failed]);
    }
  }

  close(): void {
    this.#to = 0;
    this.#decoder?.close();
    for (const object of [this.#latent, this.session]) this.#engine.release(object);
    // The decoder may not have heard of the stream yet: what is on its way to it must find an end.
    if (this.#decoder === undefined) this.#instance.pipe({ kind: 'close', stream: this.#stream });
  }
}

/**
 * Decodes what another instance speaks. Blocks grow (1, 2, 4) only while latents queue up: the first sound never waits. With
 * several chunks at once nobody waits for a single frame, and a block is whatever there is.
 */
export class DecodingJob implements Job {
  readonly #instance: Instance;
  readonly #stream: number;
  readonly #acknowledges: boolean;
  readonly #queue: PipeContent[] = [];
  #decoder: Decoder | undefined;
  #block = 1;
  #failed = false;

  constructor(instance: Instance, stream: number, acknowledges: boolean) {
    this.#instance = instance;
    this.#stream = stream;
    this.#acknowledges = acknowledges;
    // For a first sound that somebody waits for; else with the first latent, of which there may be none.
    if (acknowledges) this.#block = BLOCK_LIMIT;
    else this.#decoder = new Decoder(instance, BLOCK_LIMIT);
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
      if (this.#instance.engine.crashed) throw error;
      this.#failed = true;
      this.#queue.length = 0;
      this.#instance.report(this.#stream, [{ kind: 'error', chunk, error: toWire(error) }]);
    }
  }

  #next(): void {
    const first = this.#queue[0];
    if (first === undefined) return;
    if (first.kind !== 'latent') {
      this.#queue.shift();
      if (first.kind === 'end') this.#decoder?.reset();
      const { stream, ...event } = first;
      this.#instance.report(stream, [event]);
      return;
    }
    const decoder = (this.#decoder ??= new Decoder(this.#instance, BLOCK_LIMIT));
    let taken = 0;
    for (const message of this.#queue.slice(0, this.#block)) {
      if (message.kind !== 'latent') break;
      decoder.hold(message, message.latent);
      taken++;
    }
    this.#queue.splice(0, taken);
    this.#instance.report(this.#stream, decoder.decode());
    if (this.#acknowledges) {
      this.#instance.acknowledge(this.#stream, taken);
      return;
    }
    this.#block =
      this.#queue.length >= 2 * this.#block
        ? Math.min(2 * this.#block, BLOCK_LIMIT)
        : Math.max(1, Math.min(this.#block, this.#queue.length));
  }

  close(): void {
    this.#queue.length = 0;
    this.#decoder?.close();
  }
}
