// Plays a text while it is being made.
//
//   stream() -> Takes (what was made) -> Tracks: stretched, resampled -> ring in the audio thread -> context
//
// Seeking and a new speed begin another track (tracks.ts). Nothing here runs by the clock: the reports of the audio thread and the
// frames of the engine do.
import { canHold, isOffline, loadWorklet, outputLatency, pageContext, resumeContext, RING_SECONDS, useContext, workletError } from './audio.js';
import type { Report } from './audio.js';
import { isFunction, oneOf, refuse } from './arguments.js';
import { abortError, describe, kindOf, PocketTTSError } from './errors.js';
import { PLAYER_EVENTS } from './player.js';
import type { Player, PlayerEvents, PlayerState, PlayOptions, Speaker } from './player.js';
import { Production, remaining, wait } from './schedule.js';
import type { Moment } from './schedule.js';
import { Takes } from './takes.js';
import { Tracks } from './tracks.js';
import type { SpeechStream } from './tts.js';

/** Seconds of sound made ahead of what is heard. */
const AHEAD = 20;
/** Sound made in one go: the page stays awake while a ring fills. */
const BUDGET_SECONDS = 0.4;
/** Seconds of rendering offline between two looks at what was made. */
const OFFLINE_STEP = 1;
/** Seconds of sound beyond what will be rendered: the last samples of a ring are kept for a ramp down. */
const MARGIN = 0.5;
/** For the last report of a rendering to arrive. */
const CLOSED_MS = 1000;
const DEFAULT_HISTORY = 120;

interface Mark {
  readonly time: number;
  readonly chunk: number;
}

export function play(speaker: Speaker, options: PlayOptions): Player {
  return new StreamPlayer(speaker, options);
}

/** Where everything of a player goes through. The browser knows best what is a context of it, and what goes with it. */
function outlet(context: BaseAudioContext, { volume = 1, destination }: PlayOptions): GainNode {
  let gain: GainNode;
  try {
    if (context.state === 'closed') throw closedError();
    gain = new GainNode(context, { gain: volume });
  } catch (error) {
    if (error instanceof PocketTTSError) throw error;
    throw unfit('context: expected an AudioContext or OfflineAudioContext', context, error);
  }
  try {
    gain.connect(destination ?? context.destination);
  } catch (error) {
    throw unfit('destination: expected an AudioNode with an input, of the context that plays (context)', destination, error);
  }
  return gain;
}

function unfit(expected: string, found: unknown, cause: unknown): PocketTTSError {
  return new PocketTTSError('argument', `${expected}, found ${kindOf(found)} (${describe(cause)})`, { cause });
}

function closedError(): PocketTTSError {
  return new PocketTTSError('state', 'The AudioContext of the player was closed');
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
  readonly #tracks: Tracks;
  readonly #release: () => void;
  #settle: { resolve: () => void; reject: (error: unknown) => void } = { resolve: () => undefined, reject: () => undefined };
  #wakers: (() => void)[] = [];
  #stream: SpeechStream | undefined;
  #rate: number;
  /** Seconds of sound that are in the audio thread before a rendering begins or goes on. */
  #reach = OFFLINE_STEP + MARGIN;
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
    try {
      this.#gain = outlet(this.#context, options);
    } catch (error) {
      this.#release();
      throw error;
    }
    if (isOffline(this.#context) && !canHold(this.#context)) this.#reach = this.#context.length / this.#context.sampleRate + MARGIN;
    this.#tracks = new Tracks(this.#context, speaker.sampleRate, this.#takes, speaker.stretcher, Math.max(RING_SECONDS, this.#reach + MARGIN));
    resumeContext(this.#context).catch(() => undefined);
    this.#context.addEventListener('statechange', this.#onContext);
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
    const { moving, speed } = this.#tracks.heard;
    const late = moving ? outputLatency(this.#context) * speed : 0;
    return Math.max(0, this.#tracks.position - late);
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
    if (!(typeof rate === 'number' && rate >= 0.25 && rate <= 4)) refuse('rate', '0.25 to 4', rate);
    if (rate === this.#rate || this.#over) return;
    this.#rate = rate;
    void this.#retune();
  }

  get volume(): number {
    return this.#volume ?? this.#gain.gain.value;
  }

  set volume(volume: number) {
    if (!(typeof volume === 'number' && volume >= 0 && volume <= 1)) refuse('volume', '0 to 1', volume);
    this.#volume = volume;
    // A few times 10 ms: no click.
    this.#gain.gain.setTargetAtTime(volume, this.#context.currentTime, 0.01);
  }
  #volume: number | undefined;

  on<K extends keyof PlayerEvents>(event: K, listener: (detail: PlayerEvents[K]) => unknown): () => void {
    oneOf(PLAYER_EVENTS)('event', event);
    isFunction('listener', listener);
    let listeners = this.#listeners.get(event);
    if (listeners === undefined) this.#listeners.set(event, (listeners = new Set()));
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }

  #emit<K extends keyof PlayerEvents>(event: K, detail: PlayerEvents[K]): void {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      // The caller's own mistake is the caller's to see, and does not stop the sound.
      const show = (error: unknown): void => {
        queueMicrotask(() => {
          throw error;
        });
      };
      try {
        Promise.resolve((listener as (detail: PlayerEvents[K]) => unknown)(detail)).catch(show);
      } catch (error) {
        show(error);
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
    this.#tracks.post({ kind: 'play', on: false });
    this.#update();
  }

  async resume(): Promise<void> {
    if (this.#over) return;
    const waking = resumeContext(this.#context);
    if (this.#paused) {
      this.#paused = false;
      this.#tracks.post({ kind: 'play', on: true });
      this.#update();
    }
    await waking;
  }

  stop(): void {
    this.#finish('stopped');
  }

  seek(seconds: number): void {
    if (!(typeof seconds === 'number' && seconds >= 0 && seconds < Infinity)) {
      refuse('seek', 'a number of seconds, 0 or more', seconds);
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
      const closed = (): void => {
        this.#fail(closedError());
      };
      // At the end of a rendering; what the audio thread has said before may still be on its way.
      if (isOffline(this.#context)) setTimeout(closed, CLOSED_MS);
      else closed();
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
    return this.#going && this.madeTime - this.#tracks.position > AHEAD * Math.max(1, this.#rate);
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
    if (this.#rate !== 1) await this.#tracks.needStretcher();
    if (this.#over) return this.finished;
    let node: AudioWorkletNode;
    try {
      node = new AudioWorkletNode(this.#context, 'pocket-tts-player', { numberOfInputs: 0, outputChannelCount: [1] });
    } catch (error) {
      throw workletError(workletUrl, error);
    }
    node.onprocessorerror = () => {
      this.#fail(new PocketTTSError('crashed', 'The worklet of the player failed'));
    };
    this.#tracks.attach(node, (report) => {
      this.#receive(report);
    });
    node.connect(this.#gain);
    if (this.#paused) this.#tracks.post({ kind: 'play', on: false });
    this.#open(this.#start);
    this.#advance();
    if (isOffline(this.#context)) {
      await this.#filled();
      if (!this.#isOver() && canHold(this.#context)) this.#drive(this.#context, OFFLINE_STEP);
    }
  }
  /** Where a seek before the first track went. */
  #start = 0;

  #receive(report: Report): void {
    if (this.#over) return;
    const told = this.#tracks.told(report);
    if (told === undefined) return;
    if (report.moving) this.#started = true;
    if (report.starved !== this.#starved) {
      this.#starved = report.starved;
      this.#going = false;
      this.#emit('underrun', { time: told.second, seconds: wait(this.#moment) });
    }
    if (told.ended) {
      this.#tracks.rest(this.madeTime);
      this.#follow(true);
      this.#finish('ended');
      return;
    }
    this.#advance();
    this.#follow(false);
    this.#wake();
  }

  async #retune(): Promise<void> {
    try {
      const rate = this.#rate;
      if (rate !== 1) await this.#tracks.needStretcher();
      if (this.#over || rate !== this.#rate || this.#tracks.speed === undefined) return;
      if (this.#tracks.speed === rate) return;
      if (this.#going && this.#tracks.heard.moving && !this.#paused) this.#tracks.openAhead(rate);
      else this.#jump(this.#tracks.position);
      this.#advance();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Begins a track at once. */
  #open(from: number): void {
    this.#tracks.open(from, this.#rate, true);
    this.#going = false;
  }

  #jump(second: number): void {
    if (this.#tracks.isAttached) this.#open(second);
    else this.#start = second;
    this.#mark = -1;
    this.#update();
    this.#advance();
    this.#wake();
  }

  /** Everything that can be done now. */
  #advance(): void {
    if (this.#over) return;
    try {
      this.#tracks.pump(BUDGET_SECONDS, this.#complete);
      this.#consider();
      const { sampleRate } = this.#speaker;
      const keep = Math.min(this.#tracks.position - this.#history, this.#tracks.at / sampleRate);
      this.#takes.forget(Math.floor(Math.max(0, keep) * sampleRate));
      this.#update();
    } catch (error) {
      this.#fail(error);
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
      ahead: this.madeTime - this.#tracks.position,
      remaining: remaining(lengths),
      rate: this.#production.rate,
      speed: this.#rate,
      complete: this.#complete,
    };
  }

  /** Lets the sound go when it need not stop again. */
  #consider(): void {
    if (this.#going || this.#tracks.speed === undefined || this.#over) return;
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
    this.#tracks.post({ kind: 'go' });
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
    return this.#tracks.isFilled(this.#reach);
  }

  async #filled(): Promise<void> {
    while (!this.#over) {
      await this.#sync();
      // Several turns: a track is filled piece by piece.
      for (let before: number | undefined; before !== this.#tracks.written; ) {
        before = this.#tracks.written;
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

  async #sync(): Promise<void> {
    if (!this.#over) await this.#tracks.sync();
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
    this.#tracks.close();
    this.#wake();
    const leave = (): void => {
      this.#tracks.detach();
      this.#gain.disconnect();
      this.#release();
    };
    this.#tracks.post({ kind: 'close' });
    // The ramp down is heard first.
    if (state === 'ended') leave();
    else setTimeout(leave, 50);
    if (error === undefined) this.#settle.resolve();
    else this.#settle.reject(error);
    if (state === 'ended') this.#emit('ended', {});
    if (state === 'failed' && error !== undefined) this.#emit('error', { error });
  }
}
