// Plays a text while it is being made.
//
//   stream() -> Takes (what was made) -> a track: stretched, resampled -> ring in the audio thread -> context
//
// A track is the text from some second on at some speed. Seeking and a new speed begin another one; the audio thread goes over to
// it (player-worklet.js). Nothing here runs by the clock: the reports of the audio thread and the frames of the engine do.
import { isOffline, loadWorklet, pageContext, resumeContext, TrackSink, useContext } from './audio.js';
import type { Report } from './audio.js';
import type { Engine } from './engine.js';
import { abortError, describe, PocketTTSError } from './errors.js';
import { Resampler } from './resample.js';
import { Production, remaining, wait } from './schedule.js';
import type { Moment } from './schedule.js';
import { Stretcher } from './stretch.js';
import { Takes } from './takes.js';
import type { GenerateOptions, SpeechStream } from './tts.js';

export interface PlayOptions extends GenerateOptions {
  /** How many times faster than it is spoken, 0.25 to 4, at its own pitch. Default 1. */
  readonly rate?: number | undefined;
  /** 0 to 1. Default 1. */
  readonly volume?: number | undefined;
  /** Seconds that stay there behind the sound, for seeking back. Default 120. */
  readonly history?: number | undefined;
  /**
   * A context of the caller's, at any sample rate. Default: one that all players of the page share. With an
   * OfflineAudioContext wait for `ready` before startRendering(): rendering then waits for the speech, and has no gaps.
   */
  readonly context?: BaseAudioContext | undefined;
  /** Where the sound goes. Default: the context's destination. */
  readonly destination?: AudioNode | undefined;
  /** Where `player-worklet.js` of this package is. Default: what load() was told, else beside the package's own module. */
  readonly workletUrl?: string | URL | undefined;
}

/**
 * `starting`: nothing was heard yet. `waiting`: for speech (an underrun, or a place that is not made yet). `stopped`: by stop() or a
 * signal.
 */
export type PlayerState = 'starting' | 'playing' | 'waiting' | 'paused' | 'stopped' | 'ended' | 'failed';

export interface PlayerEvents {
  /**
   * The first sample of a chunk is heard. `text`: as the model reads it; `begin`, `end`: its part of the caller's text; `time`: seconds from
   * the start. A chunk may hold several short sentences of a string; of a text that comes in pieces it is one sentence.
   */
  sentence: {
    readonly chunk: number;
    readonly text: string;
    readonly begin: number;
    readonly end: number;
    readonly time: number;
  };
  /** Reserved: no pack tells times of words yet. */
  word: { readonly begin: number; readonly end: number; readonly time: number };
  /** The sound has run out at `time`; it goes on in about `seconds` (Infinity: unknown), or when more of the text comes. */
  underrun: { readonly time: number; readonly seconds: number };
  state: { readonly state: PlayerState };
  /** At most ten times a second. */
  time: { readonly currentTime: number };
  ended: Readonly<Record<string, never>>;
  error: { readonly error: unknown };
}

/** A text that is being played. Seconds are of the speech at rate 1. */
export interface Player {
  readonly state: PlayerState;
  /** Seconds that were heard, by the clock of the audio thread. */
  readonly currentTime: number;
  /** Seconds made so far. */
  readonly madeTime: number;
  /** Seconds of the whole, once all is made. */
  readonly duration: number | undefined;
  /**
   * Seconds between the first speech and the first sound that it chose to wait, so that the sound need not stop: 0 when speech is
   * made faster than it is heard. Undefined before it can tell.
   */
  readonly startDelay: number | undefined;
  /** Seconds of speech made in a second; undefined before it can tell. */
  readonly realTimeFactor: number | undefined;
  /** 0.25 to 4; heard within 0.2 s. */
  rate: number;
  /** 0 to 1. */
  volume: number;
  /** The worklet is in its place; for an OfflineAudioContext: rendering can begin. Rejects as `finished` does. */
  readonly ready: Promise<void>;
  /** After the last sample or stop(). Rejects with what failed, and with an AbortError when the signal fired. */
  readonly finished: Promise<void>;
  pause(): void;
  /** In a gesture: it also wakes a context that the browser holds back. */
  resume(): Promise<void>;
  stop(): void;
  /** Goes to a second of what was made; to a later one when it is made; to an older one than `history` allows: the oldest. */
  seek(seconds: number): void;
  /** Calls `listener` at every event of that name. Returns what ends that. */
  on<K extends keyof PlayerEvents>(event: K, listener: (detail: PlayerEvents[K]) => void): () => void;
}

/** What a player needs of the engine. */
export interface Speaker {
  readonly sampleRate: number;
  /** The text, with a signal of the player's own. */
  readonly speak: (signal: AbortSignal) => SpeechStream;
  /** An instance for stretching. */
  readonly stretcher: () => Promise<Engine>;
}

/** Seconds from a new speed to its sound: room for the message, and for the first samples to be made. */
const LEAD = 0.08;
/** Seconds of sound made ahead of what is heard. */
const AHEAD = 20;
/** Samples made in one go: the page stays awake while a ring fills. */
const BUDGET_SECONDS = 0.4;
/** Of rendering offline between two looks at what was made. */
const OFFLINE_STEP = 1;
const BLOCK = 1920;
const DEFAULT_HISTORY = 120;

/** The text from a second on at a speed, on its way to the audio thread. */
interface Track {
  readonly from: number;
  readonly speed: number;
  readonly sink: TrackSink;
  readonly stretcher: Stretcher | undefined;
  readonly resampler: Resampler | undefined;
  /** The next sample of the text. */
  at: number;
  /** Made and not written. */
  pending: Float32Array;
  flushed: boolean;
  ended: boolean;
}

interface Mark {
  readonly time: number;
  readonly chunk: number;
}

const NOTHING = new Float32Array(0);

export function play(speaker: Speaker, options: PlayOptions): Player {
  return new StreamPlayer(speaker, options);
}

class StreamPlayer implements Player {
  readonly ready: Promise<void>;
  readonly finished: Promise<void>;
  readonly #speaker: Speaker;
  readonly #context: BaseAudioContext;
  readonly #gain: GainNode;
  readonly #signal: AbortSignal | undefined;
  readonly #stopping = new AbortController();
  readonly #history: number;
  readonly #takes = new Takes();
  readonly #production = new Production();
  readonly #marks: Mark[] = [];
  readonly #listeners = new Map<string, Set<(detail: never) => void>>();
  readonly #tracks = new Map<number, Track>();
  readonly #release: () => void;
  #settle: { resolve: () => void; reject: (error: unknown) => void } = { resolve: () => undefined, reject: () => undefined };
  #wakers: (() => void)[] = [];
  #stream: SpeechStream | undefined;
  #node: AudioWorkletNode | undefined;
  #track: Track | undefined;
  #epoch = 0;
  #rate: number;
  #stretchEngine: Engine | undefined;
  #heard = { second: 0, time: 0, speed: 1, moving: false };
  #going = false;
  #started = false;
  #paused = false;
  #complete = false;
  #starved = 0;
  #firstFrame: number | undefined;
  #startDelay: number | undefined;
  #state: PlayerState = 'starting';
  #mark = -1;
  #told = -Infinity;
  #syncs = new Map<number, () => void>();
  #syncNumber = 0;

  constructor(speaker: Speaker, options: PlayOptions) {
    this.#speaker = speaker;
    this.#rate = options.rate ?? 1;
    this.#history = options.history ?? DEFAULT_HISTORY;
    this.#signal = options.signal;
    this.finished = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.finished.catch(() => undefined);
    // In the caller's gesture: this is why play() is no async function.
    this.#context = options.context ?? pageContext(speaker.sampleRate);
    this.#release = useContext(this.#context);
    resumeContext(this.#context).catch(() => undefined);
    this.#context.addEventListener('statechange', this.#onContext);
    this.#gain = new GainNode(this.#context, { gain: options.volume ?? 1 });
    this.#gain.connect(options.destination ?? this.#context.destination);
    this.#signal?.addEventListener('abort', this.#onAbort);
    if (this.#signal?.aborted) this.#onAbort();
    this.ready = this.#prepare(options.workletUrl);
    this.ready.catch((error: unknown) => {
      this.#fail(error);
    });
    void this.#produce();
  }

  // ---- what it shows ----------------------------------------------------------------------------------------------

  get state(): PlayerState {
    return this.#state;
  }

  get currentTime(): number {
    // What was rendered is heard after the way to the loudspeaker.
    const latency = 'outputLatency' in this.#context ? (this.#context as AudioContext).outputLatency : 0;
    const late = this.#heard.moving && Number.isFinite(latency) ? latency * this.#heard.speed : 0;
    return Math.max(0, this.#position - late);
  }

  get madeTime(): number {
    return this.#takes.end / this.#speaker.sampleRate;
  }

  get duration(): number | undefined {
    return this.#complete ? this.madeTime : undefined;
  }

  get startDelay(): number | undefined {
    return this.#startDelay;
  }

  get realTimeFactor(): number | undefined {
    return this.#production.rate;
  }

  get rate(): number {
    return this.#rate;
  }

  set rate(rate: number) {
    if (!(typeof rate === 'number' && rate >= 0.25 && rate <= 4)) {
      throw new PocketTTSError('argument', `rate: expected 0.25 to 4, found ${String(rate)}`);
    }
    if (rate === this.#rate || this.#over) return;
    this.#rate = rate;
    void this.#retune();
  }

  get volume(): number {
    return this.#volume ?? this.#gain.gain.value;
  }

  set volume(volume: number) {
    if (!(typeof volume === 'number' && volume >= 0 && volume <= 1)) {
      throw new PocketTTSError('argument', `volume: expected 0 to 1, found ${String(volume)}`);
    }
    this.#volume = volume;
    // A few times 10 ms: no click.
    this.#gain.gain.setTargetAtTime(volume, this.#context.currentTime, 0.01);
  }
  #volume: number | undefined;

  on<K extends keyof PlayerEvents>(event: K, listener: (detail: PlayerEvents[K]) => void): () => void {
    let listeners = this.#listeners.get(event);
    if (listeners === undefined) this.#listeners.set(event, (listeners = new Set()));
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }

  #emit<K extends keyof PlayerEvents>(event: K, detail: PlayerEvents[K]): void {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      try {
        (listener as (detail: PlayerEvents[K]) => void)(detail);
      } catch (error) {
        // The caller's own mistake is the caller's to see, and does not stop the sound.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  /** Looked at again after every wait: what TypeScript knows of it from before does not hold. */
  #isOver(): boolean {
    return this.#over;
  }

  get #over(): boolean {
    return this.#state === 'stopped' || this.#state === 'ended' || this.#state === 'failed';
  }

  #setState(state: PlayerState): void {
    if (state === this.#state || this.#over) return;
    this.#state = state;
    this.#emit('state', { state });
  }

  /** The state that follows from everything else. */
  #update(): void {
    if (this.#over) return;
    if (this.#paused) this.#setState('paused');
    else if (!this.#started) this.#setState('starting');
    else this.#setState(this.#going ? 'playing' : 'waiting');
  }

  // ---- what it is told --------------------------------------------------------------------------------------------

  pause(): void {
    if (this.#over || this.#paused) return;
    this.#paused = true;
    this.#post({ kind: 'play', on: false });
    this.#update();
  }

  async resume(): Promise<void> {
    if (this.#over) return;
    const waking = resumeContext(this.#context);
    if (this.#paused) {
      this.#paused = false;
      this.#post({ kind: 'play', on: true });
      this.#update();
    }
    await waking;
  }

  stop(): void {
    this.#finish('stopped');
  }

  seek(seconds: number): void {
    if (!(typeof seconds === 'number' && seconds >= 0 && seconds < Infinity)) {
      throw new PocketTTSError('argument', `seek: expected a number of seconds, 0 or more, found ${String(seconds)}`);
    }
    if (this.#over) return;
    const oldest = this.#takes.begin / this.#speaker.sampleRate;
    this.#jump(Math.max(seconds, oldest));
  }

  readonly #onAbort = (): void => {
    if (this.#signal !== undefined) this.#finish('stopped', abortError(this.#signal));
  };

  /** Safari interrupts a context (a call, another app) and leaves it suspended. */
  readonly #onContext = (): void => {
    const state: string = this.#context.state;
    if (state === 'closed') {
      this.#fail(new PocketTTSError('state', 'The AudioContext of the player was closed'));
    } else if (state === 'suspended' && this.#interrupted && !this.#paused) {
      resumeContext(this.#context).catch(() => undefined);
    }
    this.#interrupted = state === 'interrupted';
  };
  #interrupted = false;

  // ---- making speech ----------------------------------------------------------------------------------------------

  async #produce(): Promise<void> {
    try {
      if (this.#over) return;
      const stream = (this.#stream = this.#speaker.speak(this.#stopping.signal));
      for (;;) {
        const asked = performance.now();
        const result = await stream.next();
        if (this.#isOver()) return;
        if (result.done === true) break;
        const { value } = result;
        const now = performance.now();
        this.#firstFrame ??= now;
        this.#production.add(value.samples.length / this.#speaker.sampleRate, (now - asked) / 1000);
        if (this.#marks.at(-1)?.chunk !== value.chunk) this.#marks.push({ time: this.madeTime, chunk: value.chunk });
        this.#takes.push(value.samples);
        this.#advance();
        while (this.#farAhead && !this.#isOver()) await this.#woken();
        if (this.#isOver()) return;
      }
      this.#complete = true;
      this.#advance();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Enough is there; before the sound goes on, whatever it needs is made. */
  get #farAhead(): boolean {
    return this.#going && this.madeTime - this.#position > AHEAD * Math.max(1, this.#rate);
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wakers.push(resolve);
    });
  }

  #wake(): void {
    const wakers = this.#wakers;
    this.#wakers = [];
    for (const wake of wakers) wake();
  }

  // ---- the audio thread -------------------------------------------------------------------------------------------

  async #prepare(workletUrl: string | URL | undefined): Promise<void> {
    await loadWorklet(this.#context, workletUrl);
    if (this.#rate !== 1) await this.#needStretcher();
    if (this.#over) return this.finished;
    const node = (this.#node = new AudioWorkletNode(this.#context, 'pocket-tts-player', {
      numberOfInputs: 0,
      outputChannelCount: [1],
    }));
    node.onprocessorerror = () => {
      this.#fail(new PocketTTSError('crashed', 'The worklet of the player failed'));
    };
    node.port.onmessage = ({ data }) => {
      this.#receive(data as Report | { kind: 'synced'; id: number });
    };
    node.connect(this.#gain);
    if (this.#paused) this.#post({ kind: 'play', on: false });
    this.#open(this.#start, true);
    this.#advance();
    if (isOffline(this.#context)) {
      await this.#filled();
      if (!this.#isOver()) this.#drive(this.#context, OFFLINE_STEP);
    }
  }
  /** Where a seek before the first track went. */
  #start = 0;

  async #needStretcher(): Promise<void> {
    this.#stretchEngine ??= await this.#speaker.stretcher();
  }

  #post(message: object): void {
    this.#node?.port.postMessage(message);
  }

  #receive(message: Report | { kind: 'synced'; id: number }): void {
    if (message.kind === 'synced') {
      this.#syncs.get(message.id)?.();
      this.#syncs.delete(message.id);
      return;
    }
    const track = this.#tracks.get(message.epoch);
    if (track === undefined || this.#over) return;
    track.sink.told(message.read);
    for (const epoch of this.#tracks.keys()) if (epoch < message.epoch) this.#tracks.delete(epoch);
    const second = track.from + (message.read / this.#context.sampleRate) * track.speed;
    this.#heard = { second, time: message.time, speed: track.speed, moving: message.moving };
    if (message.moving) this.#started = true;
    if (message.starved !== this.#starved) {
      this.#starved = message.starved;
      this.#going = false;
      this.#emit('underrun', { time: second, seconds: wait(this.#moment) });
    }
    if (message.ended && track === this.#track) {
      this.#heard = { ...this.#heard, second: this.madeTime, moving: false };
      this.#follow(true);
      this.#finish('ended');
      return;
    }
    this.#advance();
    this.#follow(false);
    this.#wake();
  }

  /** The second that is rendered now. */
  get #position(): number {
    const { second, time, speed, moving } = this.#heard;
    if (!moving || isOffline(this.#context)) return second;
    // Between two reports the clock goes on.
    const since = Math.min(Math.max(0, this.#context.currentTime - time), 0.1);
    return Math.min(second + since * speed, this.madeTime);
  }

  /** Begins a track; at once, or where the sound gets to it. */
  #open(from: number, now: boolean): void {
    const { sampleRate } = this.#speaker;
    const node = this.#node;
    if (node === undefined) return;
    const speed = this.#rate;
    const at = Math.round(from * sampleRate);
    const second = at / sampleRate;
    this.#track?.stretcher?.close();
    const epoch = ++this.#epoch;
    const sink = new TrackSink(node.port, this.#context.sampleRate, { epoch, from: second, speed, now, fade: second > 0 });
    const engine = this.#stretchEngine;
    const track: Track = {
      from: second,
      speed,
      sink,
      stretcher: speed === 1 || engine === undefined ? undefined : new Stretcher(engine, sampleRate, speed),
      resampler: this.#context.sampleRate === sampleRate ? undefined : new Resampler(sampleRate, this.#context.sampleRate),
      at,
      pending: NOTHING,
      flushed: false,
      ended: false,
    };
    this.#track = track;
    this.#tracks.set(epoch, track);
    if (now) {
      this.#going = false;
      this.#heard = { second, time: 0, speed, moving: false };
    }
  }

  async #retune(): Promise<void> {
    try {
      const rate = this.#rate;
      if (rate !== 1) await this.#needStretcher();
      if (this.#over || rate !== this.#rate || this.#track === undefined) return;
      if (this.#track.speed === rate) return;
      const { speed, moving } = this.#heard;
      const position = this.#position;
      if (this.#going && moving && !this.#paused) {
        // Where the old track surely gets to.
        const written = this.#tracks.get(Math.min(...this.#tracks.keys())) ?? this.#track;
        const end = written.from + (written.sink.written / this.#context.sampleRate) * written.speed;
        this.#open(Math.max(position, Math.min(position + LEAD * speed, end)), false);
      } else {
        this.#jump(position);
      }
      this.#advance();
    } catch (error) {
      this.#fail(error);
    }
  }

  #jump(second: number): void {
    if (this.#node === undefined) this.#start = second;
    else this.#open(second, true);
    this.#mark = -1;
    this.#update();
    this.#advance();
    this.#wake();
  }

  /** Everything that can be done now. */
  #advance(): void {
    if (this.#over) return;
    try {
      const track = this.#track;
      if (track !== undefined) this.#pump(track, BUDGET_SECONDS * this.#context.sampleRate);
      this.#consider();
      const { sampleRate } = this.#speaker;
      const keep = Math.min(this.#position - this.#history, (track?.at ?? 0) / sampleRate);
      this.#takes.forget(Math.floor(Math.max(0, keep) * sampleRate));
      this.#update();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Writes what there is room for, at most about `budget` samples. */
  #pump(track: Track, budget: number): void {
    for (let made = 0; made < budget; ) {
      if (track.pending.length > 0) {
        const count = Math.min(track.pending.length, track.sink.room);
        if (count === 0) return;
        track.sink.write(track.pending.subarray(0, count));
        track.pending = track.pending.subarray(count);
        made += count;
        continue;
      }
      if (track.flushed) {
        if (!track.ended) track.sink.end();
        track.ended = true;
        return;
      }
      const samples = this.#takes.read(track.at, BLOCK);
      if (samples.length > 0) {
        track.at += samples.length;
        track.pending = convert(track, samples);
      } else if (this.#complete) {
        track.pending = flush(track);
        track.flushed = true;
      } else {
        return;
      }
    }
  }

  get #moment(): Moment {
    const chunks = this.#stream?.chunks ?? [];
    const current = this.#marks.at(-1)?.chunk ?? 0;
    const lengths = chunks.map(({ tokens, frames, index }) => ({
      tokens,
      made: frames * 0.08,
      complete: index < current || this.#complete,
    }));
    return {
      ahead: this.madeTime - this.#position,
      remaining: remaining(lengths),
      rate: this.#production.rate,
      speed: this.#rate,
      complete: this.#complete,
    };
  }

  /** Lets the sound go when it need not stop again. */
  #consider(): void {
    const track = this.#track;
    if (this.#going || track === undefined || this.#over) return;
    const offline = isOffline(this.#context);
    const moment = this.#moment;
    // A seek to what is not made yet waits for it.
    if (moment.ahead <= 0 && !this.#complete) return;
    const seconds = offline ? 0 : wait(moment);
    if (!this.#started && this.#firstFrame !== undefined && seconds < Infinity && !offline) {
      // Told anew with every frame, until the sound has started: the rate is known better and better.
      const delay = (performance.now() - this.#firstFrame) / 1000 + seconds;
      this.#startDelay = seconds > 0 || (this.#startDelay ?? 0) > 0 ? delay : 0;
    }
    if (offline ? !this.#isFilled : seconds > 0) return;
    if (offline) this.#startDelay ??= 0;
    this.#going = true;
    this.#post({ kind: 'go' });
  }

  // ---- events of the text -----------------------------------------------------------------------------------------

  #follow(last: boolean): void {
    if (!this.#started) return;
    const time = last ? this.madeTime : this.currentTime;
    let mark = this.#marks.length - 1;
    while (mark >= 0 && (this.#marks[mark]?.time ?? 0) > time + 1e-9) mark--;
    // One by one, also when several short ones lie between two reports.
    for (let next = this.#mark < 0 || mark < this.#mark ? mark : this.#mark + 1; next <= mark && next >= 0; next++) {
      const { chunk, time: begun } = this.#marks[next] ?? { chunk: -1, time: 0 };
      const found = this.#stream?.chunks[chunk];
      if (found === undefined) continue;
      const { text, begin, end } = found;
      this.#emit('sentence', { chunk, text, begin, end, time: begun });
    }
    this.#mark = mark;
    const now = this.#context.currentTime;
    if (now - this.#told < 0.1 && !last) return;
    this.#told = now;
    this.#emit('time', { currentTime: time });
  }

  // ---- rendering faster than it sounds ----------------------------------------------------------------------------

  get #isFilled(): boolean {
    const track = this.#track;
    if (track === undefined) return false;
    return track.ended || track.sink.waiting >= (OFFLINE_STEP + 0.5) * this.#context.sampleRate;
  }

  async #filled(): Promise<void> {
    while (!this.#over) {
      await this.#sync();
      // Several turns: a track is filled piece by piece.
      for (let before = -1; this.#track !== undefined && before !== this.#track.sink.written; ) {
        before = this.#track.sink.written;
        this.#advance();
      }
      if (this.#isFilled) break;
      await this.#arrival();
    }
    await this.#sync();
  }

  /** Waits for the next frame. */
  async #arrival(): Promise<void> {
    const made = this.#takes.end;
    while (!this.#over && this.#takes.end === made && !this.#complete) {
      this.#wake();
      await new Promise((resolve) => setTimeout(resolve));
    }
  }

  /** Until the audio thread has taken in what was posted, and what it had posted is here. */
  async #sync(): Promise<void> {
    if (this.#node === undefined || this.#over) return;
    const id = ++this.#syncNumber;
    await new Promise<void>((resolve) => {
      this.#syncs.set(id, resolve);
      this.#post({ kind: 'sync', id });
    });
  }

  /** Stops the rendering every second until the next one is there. */
  #drive(context: OfflineAudioContext, at: number): void {
    if (at * context.sampleRate >= context.length) return;
    context
      .suspend(at)
      .then(() => this.#filled())
      .then(() => {
        // Asked for before the rendering goes on.
        if (!this.#isOver()) this.#drive(context, at + OFFLINE_STEP);
        return context.resume();
      })
      .catch((error: unknown) => {
        this.#fail(error);
      });
  }

  // ---- the end ----------------------------------------------------------------------------------------------------

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#finish('failed', error instanceof Error ? error : new PocketTTSError('state', describe(error)));
  }

  #finish(state: 'stopped' | 'ended' | 'failed', error?: Error): void {
    if (this.#over) return;
    this.#setState(state);
    this.#going = false;
    this.#stopping.abort();
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#context.removeEventListener('statechange', this.#onContext);
    this.#track?.stretcher?.close();
    this.#tracks.clear();
    this.#track = undefined;
    for (const resolve of this.#syncs.values()) resolve();
    this.#syncs.clear();
    this.#wake();
    const { port } = this.#node ?? {};
    const leave = (): void => {
      this.#node?.disconnect();
      this.#gain.disconnect();
      if (port !== undefined) {
        port.onmessage = null;
        port.close();
      }
      this.#release();
    };
    this.#post({ kind: 'close' });
    // The ramp down is heard first.
    if (state === 'ended') leave();
    else setTimeout(leave, 50);
    if (error === undefined) this.#settle.resolve();
    else this.#settle.reject(error);
    if (state === 'ended') this.#emit('ended', {});
    if (state === 'failed' && error !== undefined) this.#emit('error', { error });
  }
}

function convert(track: Track, samples: Float32Array): Float32Array {
  const stretched = track.stretcher === undefined ? samples : track.stretcher.push(samples);
  return track.resampler === undefined ? stretched : track.resampler.push(stretched);
}

function flush(track: Track): Float32Array {
  const rest = track.stretcher === undefined ? NOTHING : track.stretcher.end();
  if (track.resampler === undefined) return rest;
  const [body, tail] = [track.resampler.push(rest), track.resampler.end()];
  const all = new Float32Array(body.length + tail.length);
  all.set(body);
  all.set(tail, body.length);
  return all;
}
