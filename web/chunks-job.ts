// Throughput: several chunks of a text at once. The language model takes a step of all of them together, so that its weights,
// which are most of the model, come from memory once; whole chunks become sound here or in instances that only decode.
//
//   speaker   steps of up to `lanes` chunks; decodes itself when the others have enough to do
//   decoder   up to four chunks, whose latents come as they are made
//
// Latents are small (128 bytes): they wait for whoever decodes first, and the order of chunks is the reader's affair.
import { BLOCK_LIMIT, Decoder } from './decoder.js';
import type { DoorMemory, DoorSession, DoorVoice, Engine } from './engine.js';
import { openSession } from './jobs.js';
import type { Instance, Speaker } from './jobs.js';
import { toWire } from './protocol.js';
import type { Calls, Orders, Place, StreamEvent, Together, WireError } from './protocol.js';

/** Latents on their way to a decoder below which it gets another chunk, or waits for the language model. */
const HUNGRY = 4 * BLOCK_LIMIT;
/** Steps between two chunks that begin while a decoder has little to do: reading a chunk's text takes as long as six. */
const STEPS_BETWEEN = 8;
/** Latents that lie here: with more, sound is made of them first. */
const PLENTY = 64;

interface Latent extends Place {
  readonly latent: Float32Array<ArrayBuffer>;
}

/** What comes after the latents of a chunk. */
type End = Exclude<StreamEvent, { kind: 'frame' }>;

/** A chunk that is spoken and not decoded to its end. */
interface Take {
  readonly chunk: number;
  readonly latents: Latent[];
  end: End | undefined;
  /** Where it is decoded; undefined: nobody has begun. */
  where: Slot | 'here' | undefined;
}

/** Room for a chunk at a decoder, under a stream's number of its own. */
interface Slot {
  readonly stream: number;
  readonly decoder: number;
  take: Take | undefined;
  /** Latents sent and not decoded. */
  waiting: number;
}

export class ChunksJob implements Speaker {
  readonly session: DoorSession;
  readonly #instance: Instance;
  readonly #engine: Engine;
  readonly #stream: number;
  readonly #lanes: number;
  readonly #width: number;
  readonly #latents: DoorMemory;
  readonly #slots: readonly Slot[];
  #decoder: Decoder | undefined;
  /** In the order of the text, until they are decoded here or sent away to their end. */
  #takes: Take[] = [];
  #begun = 0;
  #to = 0;
  /** Since a chunk began; 0: one begins with this. */
  #steps = 0;
  /** After a failure: what comes from this chunk on will not be read. */
  #limit = Infinity;

  constructor(
    instance: Instance,
    voice: DoorVoice,
    { lanes, slots }: Together,
    { stream, ...args }: Pick<Calls['speak']['args'], 'stream' | 'text' | 'options'>,
  ) {
    this.#instance = instance;
    this.#engine = instance.engine;
    this.#stream = stream;
    this.#lanes = lanes;
    this.#slots = slots.map((slot) => ({ ...slot, take: undefined, waiting: 0 }));
    this.session = openSession(instance, voice, args);
    try {
      this.#width = this.#engine.run(() => instance.model.info().latentWidth);
      this.#latents = this.#engine.memory(4 * lanes * this.#width);
    } catch (error) {
      this.#engine.release(this.session);
      throw error;
    }
    for (const slot of slots) instance.pipe({ kind: 'open', stream: slot.stream, acknowledge: true }, slot.decoder);
  }

  run({ from, to }: Orders['run']): void {
    this.#begun = from;
    this.#to = to;
  }

  /** What may be spoken is bounded by chunks, not by frames. */
  credit({ to }: Orders['credit']): void {
    this.#to = Math.min(this.#limit, Math.max(this.#to, to));
  }

  decoded(stream: number, latents: number): void {
    const slot = this.#slots.find((one) => one.stream === stream);
    if (slot !== undefined) slot.waiting -= latents;
  }

  get ready(): boolean {
    return this.#speaks || this.#next !== undefined;
  }

  /** Whether a chunk is being spoken, or may begin. */
  get #speaks(): boolean {
    return this.#begun < this.#to || this.#takes.some(({ end }) => end === undefined);
  }

  /** Whether another chunk begins with the next step. */
  get #begins(): boolean {
    const open = this.#takes.filter(({ end }) => end === undefined).length;
    if (this.#begun >= this.#to || open >= this.#lanes) return false;
    return open === 0 || this.#steps >= STEPS_BETWEEN || !this.#slots.some(({ decoder }) => this.#hungry(decoder));
  }

  /** What can be decoded here: of the chunk that was begun, or of the first that nobody has. */
  get #next(): Take | undefined {
    const mine = this.#takes.find(({ where }) => where === 'here') ?? this.#takes.find(({ where }) => where === undefined);
    return mine !== undefined && (mine.latents.length >= BLOCK_LIMIT || mine.end !== undefined) ? mine : undefined;
  }

  /** Whether a decoder will soon have nothing to do. */
  #hungry(decoder: number): boolean {
    const waiting = this.#slots.reduce((sum, slot) => (slot.decoder === decoder ? sum + slot.waiting : sum), 0);
    return waiting < HUNGRY;
  }

  advance(): void {
    const next = this.#next;
    const held = this.#takes.reduce((sum, { latents }) => sum + latents.length, 0);
    const early = next === undefined || held < PLENTY || this.#slots.some(({ decoder }) => this.#hungry(decoder));
    const speaks = this.#speaks && early;
    try {
      if (speaks) this.#speak();
      else if (next !== undefined) this.#decode(next);
    } catch (error) {
      if (this.#engine.crashed) throw error;
      this.#failed(speaks ? undefined : next, toWire(error));
    }
    this.#share();
  }

  /** The text ends with an error, in the place of the chunk that could not be decoded, begun, or spoken on. */
  #failed(decoding: Take | undefined, error: WireError): void {
    const open = decoding === undefined && this.#steps > 0 ? this.#takes.find(({ end }) => end === undefined) : undefined;
    if (open !== undefined) {
      // Behind the frames that it has.
      this.#finish(open, { kind: 'error', chunk: open.chunk, error });
      this.#fail(open.chunk + 1);
      return;
    }
    const chunk = decoding?.chunk ?? this.#begun;
    this.#fail(chunk);
    this.#instance.report(this.#stream, [{ kind: 'error', chunk, error }]);
  }

  /** Nothing is read from this chunk on. */
  #fail(chunk: number): void {
    this.#limit = Math.min(this.#limit, chunk);
    this.#to = Math.min(this.#to, chunk);
    this.#begun = Math.min(this.#begun, this.#to);
    this.#takes = this.#takes.filter((take) => take.chunk < chunk);
  }

  #speak(): void {
    const { session } = this;
    const { NONE, OK, CHUNK_END } = this.#engine.run((door) => door);
    const begin = this.#begins ? this.#begun : NONE;
    this.#steps = begin === NONE ? this.#steps + 1 : 0;
    const count = this.#engine.call(() => session.stepMany(this.#lanes, begin, this.#latents));
    for (let i = 0; i < count; i++) {
      const { chunk, step, truncated } = this.#engine.run(() => session.eventOf(i));
      const status = this.#engine.run(() => session.statusOf(i));
      if (chunk >= this.#limit) continue;
      const take = this.#take(chunk);
      if (status === OK) {
        const latent = this.#engine.run(() => this.#latents.floats().slice(i * this.#width, (i + 1) * this.#width));
        this.#add(take, { chunk, step, latent });
      } else if (status === CHUNK_END) {
        this.#finish(take, { kind: 'end', chunk, truncated: truncated !== 0 });
      } else {
        this.#finish(take, { kind: 'error', chunk, error: toWire(this.#engine.errorOf(status)) });
        this.#fail(chunk + 1);
      }
    }
  }

  /** The chunk, which may have just begun. */
  #take(chunk: number): Take {
    let take = this.#takes.find((one) => one.chunk === chunk);
    if (take === undefined) {
      take = { chunk, latents: [], end: undefined, where: undefined };
      this.#takes.push(take);
      this.#begun = chunk + 1;
    }
    return take;
  }

  #add(take: Take, latent: Latent): void {
    if (typeof take.where === 'object') this.#send(take.where, latent);
    else take.latents.push(latent);
  }

  #finish(take: Take, end: End): void {
    take.end = end;
    if (typeof take.where !== 'object') return;
    const { stream, decoder } = take.where;
    this.#instance.pipe({ ...end, stream }, decoder);
    take.where.take = undefined;
    this.#drop(take);
  }

  #send(slot: Slot, latent: Latent): void {
    slot.waiting++;
    this.#instance.pipe({ kind: 'latent', stream: slot.stream, ...latent }, slot.decoder);
  }

  #drop(take: Take): void {
    this.#takes = this.#takes.filter((one) => one !== take);
  }

  /** Decodes a block of a chunk here. */
  #decode(take: Take): void {
    take.where = 'here';
    const decoder = (this.#decoder ??= new Decoder(this.#instance, BLOCK_LIMIT));
    for (const latent of take.latents.splice(0, BLOCK_LIMIT)) decoder.hold(latent, latent.latent);
    const events = decoder.decode();
    if (take.end !== undefined && take.latents.length === 0) {
      decoder.reset();
      events.push(take.end);
      this.#drop(take);
    }
    this.#instance.report(this.#stream, events);
  }

  /** Gives chunks that nobody has to decoders that run out of work. */
  #share(): void {
    for (const slot of this.#slots) {
      if (slot.take !== undefined || !this.#hungry(slot.decoder)) continue;
      const take = this.#takes.find(({ where }) => where === undefined);
      if (take === undefined) return;
      slot.take = take;
      take.where = slot;
      for (const latent of take.latents.splice(0)) this.#send(slot, latent);
      if (take.end !== undefined) this.#finish(take, take.end);
    }
  }

  close(): void {
    this.#fail(0);
    this.#decoder?.close();
    for (const object of [this.#latents, this.session]) this.#engine.release(object);
    for (const { stream, decoder } of this.#slots) this.#instance.pipe({ kind: 'close', stream }, decoder);
  }
}
