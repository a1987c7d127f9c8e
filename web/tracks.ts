// A text on its way to the audio thread, and where in it the sound is.
//
// A track is the text from some second on at some speed: stretched, resampled, written to the ring of the worklet. Another one takes
// over from it at once, or where the sound gets to it (player-worklet.js). One is written, the newest; those before it may still
// be heard.
import { isOffline, TrackSink } from './audio.js';
import type { Report } from './audio.js';
import type { Engine } from './engine.js';
import { Resampler } from './resample.js';
import { Stretcher } from './stretch.js';
import type { Takes } from './takes.js';

/** Seconds from a new speed to its sound: room for the message, and for the first samples to be made. */
const LEAD = 0.08;
const BLOCK = 1920;

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

/** What the audio thread has told last. */
interface Heard {
  readonly second: number;
  /** Of the context. */
  readonly time: number;
  readonly speed: number;
  readonly moving: boolean;
}

const NOTHING = new Float32Array(0);

export class Tracks {
  readonly #context: BaseAudioContext;
  readonly #sampleRate: number;
  readonly #takes: Takes;
  readonly #ring: number;
  readonly #makeStretcher: () => Promise<Engine>;
  readonly #tracks = new Map<number, Track>();
  readonly #syncs = new Map<number, () => void>();
  #syncNumber = 0;
  #node: AudioWorkletNode | undefined;
  #stretchEngine: Engine | undefined;
  #newest: Track | undefined;
  #epoch = 0;
  #heard: Heard = { second: 0, time: 0, speed: 1, moving: false };

  /** `sampleRate`: of what is in `takes`; `ring`: seconds of sound that have room in the audio thread. */
  constructor(context: BaseAudioContext, sampleRate: number, takes: Takes, stretcher: () => Promise<Engine>, ring: number) {
    this.#context = context;
    this.#sampleRate = sampleRate;
    this.#takes = takes;
    this.#ring = ring;
    this.#makeStretcher = stretcher;
  }

  // ---- the audio thread -------------------------------------------------------------------------------------------

  get isAttached(): boolean {
    return this.#node !== undefined;
  }

  attach(node: AudioWorkletNode, receive: (report: Report) => void): void {
    this.#node = node;
    node.port.onmessage = ({ data }) => {
      const message = data as Report | { kind: 'synced'; id: number };
      if (message.kind === 'report') {
        receive(message);
        return;
      }
      this.#syncs.get(message.id)?.();
      this.#syncs.delete(message.id);
    };
  }

  post(message: object): void {
    this.#node?.port.postMessage(message);
  }

  /** Until the audio thread has taken in what was posted, and what it had posted is here. */
  async sync(): Promise<void> {
    if (this.#node === undefined) return;
    const id = ++this.#syncNumber;
    await new Promise<void>((resolve) => {
      this.#syncs.set(id, resolve);
      this.post({ kind: 'sync', id });
    });
  }

  /** Takes in a report; undefined: it is of a track that is gone. `ended`: all of the text was heard. */
  told(report: Report): { readonly second: number; readonly ended: boolean } | undefined {
    const track = this.#tracks.get(report.epoch);
    if (track === undefined) return undefined;
    track.sink.told(report.read);
    for (const epoch of this.#tracks.keys()) if (epoch < report.epoch) this.#tracks.delete(epoch);
    const second = track.from + (report.read / this.#context.sampleRate) * track.speed;
    this.#heard = { second, time: report.time, speed: track.speed, moving: report.moving };
    return { second, ended: report.ended && track === this.#newest };
  }

  /** The sound stands at `second`. */
  rest(second: number): void {
    this.#heard = { ...this.#heard, second, moving: false };
  }

  /** Nothing more is made. */
  close(): void {
    this.#newest?.stretcher?.close();
    this.#tracks.clear();
    this.#newest = undefined;
    for (const resolve of this.#syncs.values()) resolve();
    this.#syncs.clear();
  }

  /** Out of the graph. */
  detach(): void {
    if (this.#node === undefined) return;
    this.#node.disconnect();
    this.#node.port.onmessage = null;
    this.#node.port.close();
  }

  // ---- where the sound is -----------------------------------------------------------------------------------------

  get heard(): Heard {
    return this.#heard;
  }

  /** The second that is rendered now. */
  get position(): number {
    const { second, time, speed, moving } = this.#heard;
    if (!moving || isOffline(this.#context)) return second;
    // Between two reports the clock goes on.
    const since = Math.min(Math.max(0, this.#context.currentTime - time), 0.1);
    return Math.min(second + since * speed, this.#takes.end / this.#sampleRate);
  }

  // ---- the newest track -------------------------------------------------------------------------------------------

  /** undefined: there is none. */
  get speed(): number | undefined {
    return this.#newest?.speed;
  }

  /** The next sample of the text that is made into sound; 0 without a track. */
  get at(): number {
    return this.#newest?.at ?? 0;
  }

  /** Samples of sound written; undefined: there is no track. */
  get written(): number | undefined {
    return this.#newest?.sink.written;
  }

  /** Whether so many seconds of sound lie in the audio thread, or all of the rest. */
  isFilled(seconds: number): boolean {
    const track = this.#newest;
    return track !== undefined && (track.ended || track.sink.waiting >= seconds * this.#context.sampleRate);
  }

  /** Before a track at another speed than 1. */
  async needStretcher(): Promise<void> {
    this.#stretchEngine ??= await this.#makeStretcher();
  }

  /** Begins a track; at once, or where the sound gets to it. */
  open(from: number, speed: number, now: boolean): void {
    const node = this.#node;
    if (node === undefined) return;
    const sampleRate = this.#sampleRate;
    const at = Math.round(from * sampleRate);
    const second = at / sampleRate;
    this.#newest?.stretcher?.close();
    const epoch = ++this.#epoch;
    const sink = new TrackSink(node.port, this.#context.sampleRate, this.#ring, { epoch, from: second, speed, now, fade: second > 0 });
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
    this.#newest = track;
    this.#tracks.set(epoch, track);
    if (now) this.#heard = { second, time: 0, speed, moving: false };
  }

  /** Begins a track at another speed, a little ahead of the sound: where the old one surely gets to. */
  openAhead(speed: number): void {
    const written = this.#tracks.get(Math.min(...this.#tracks.keys())) ?? this.#newest;
    if (written === undefined) return;
    const { position } = this;
    const end = written.from + (written.sink.written / this.#context.sampleRate) * written.speed;
    this.open(Math.max(position, Math.min(position + LEAD * this.#heard.speed, end)), speed, false);
  }

  /** Writes what there is room for, at most about `seconds` of sound. `complete`: all of the text is in the takes. */
  pump(seconds: number, complete: boolean): void {
    const track = this.#newest;
    if (track === undefined) return;
    const budget = seconds * this.#context.sampleRate;
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
      } else if (complete) {
        track.pending = flush(track);
        track.flushed = true;
      } else {
        return;
      }
    }
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
