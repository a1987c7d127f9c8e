// The page's side of the audio thread: one context for the page, the worklet in it, and the tracks that are written to it
// (player-worklet.js says what a track is, and the messages).
import { describe, PocketTTSError } from './errors.js';
import { workletUrl } from './worklet.js';

export interface Report {
  readonly kind: 'report';
  readonly epoch: number;
  /** Samples of the track that were heard. */
  readonly read: number;
  /** Of the context, in seconds. */
  readonly time: number;
  /** Underruns so far. */
  readonly starved: number;
  readonly ended: boolean;
  readonly moving: boolean;
}

/** Seconds of sound that lie in the audio thread: what a busy page may take. Where a rendering cannot be held: all of it. */
export const RING_SECONDS = 4;

/** Kept by the page, as everybody else's: browsers allow but a few. */
let own: AudioContext | undefined;
let users = 0;
let idle: ReturnType<typeof setTimeout> | undefined;
/** Silence after which the context is suspended. */
const IDLE_MS = 2000;

/** The page's context, at the rate of the speech where it can be had. To be called in a gesture. */
export function pageContext(sampleRate: number): AudioContext {
  if (typeof AudioContext === 'undefined') {
    throw new PocketTTSError(
      'unsupported',
      'play() needs an AudioContext, which is not here: call it in a page, or pass one as context',
    );
  }
  if (own === undefined || own.state === 'closed') {
    try {
      own = new AudioContext({ sampleRate, latencyHint: 'playback' });
    } catch {
      own = new AudioContext(); // a browser that takes no rate
    }
  }
  return own;
}

export function isOffline(context: BaseAudioContext): context is OfflineAudioContext {
  return 'startRendering' in context;
}

/** Firefox renders without a stop. */
export function canHold(context: OfflineAudioContext): boolean {
  return 'suspend' in context;
}

/** Lets sound out. Settles when it may be heard, which without a gesture may be never. */
export async function resumeContext(context: BaseAudioContext): Promise<void> {
  if (isOffline(context) || !('resume' in context) || context.state === 'running' || context.state === 'closed') return;
  await (context as AudioContext).resume();
}

/**
 * Seconds from rendering to the loudspeaker, as far as the browser tells.
 *
 * Firefox is not asked. It answers under the lock of its audio graph, by a call to the process that holds the device; where that
 * process is waiting for this graph's samples just then, each waits for the other, and the page stands still for good (seen in ESR
 * 153 with PulseAudio, on a busy machine, in the stacks of the four threads).
 */
export function outputLatency(context: BaseAudioContext): number {
  if (!('outputLatency' in context) || /\bGecko\/\d/.test(navigator.userAgent)) return 0;
  const seconds = (context as AudioContext).outputLatency;
  return Number.isFinite(seconds) ? seconds : 0;
}

/** Counts the players of the page's context; without any it is suspended after a while. */
export function useContext(context: BaseAudioContext): () => void {
  if (context !== own) return () => undefined;
  users++;
  clearTimeout(idle);
  return () => {
    users--;
    clearTimeout(idle);
    idle = setTimeout(() => {
      if (users === 0) own?.suspend().catch(() => undefined);
    }, IDLE_MS);
  };
}

const modules = new WeakMap<BaseAudioContext, Map<string, Promise<void>>>();

/** Loads the worklet into a context, once. */
export function loadWorklet(context: BaseAudioContext, given: string | URL | undefined): Promise<void> {
  const url = String(given ?? workletUrl());
  // Its type says otherwise, but a page without https has none.
  const { audioWorklet } = context as { audioWorklet?: AudioWorklet };
  if (audioWorklet === undefined) {
    throw new PocketTTSError('unsupported', 'play() needs an AudioWorklet, which pages have under https or on localhost only');
  }
  let known = modules.get(context);
  if (known === undefined) modules.set(context, (known = new Map<string, Promise<void>>()));
  let loading = known.get(url);
  if (loading === undefined) {
    loading = audioWorklet.addModule(url).catch((error: unknown) => {
      known.delete(url);
      throw workletError(given, error);
    });
    known.set(url, loading);
  }
  return loading;
}

/** The script was not there, or is another. */
export function workletError(given: string | URL | undefined, error: unknown): PocketTTSError {
  return new PocketTTSError(
    'network',
    `${String(given ?? workletUrl())}: the player's worklet cannot be loaded (${describe(error)}); serve this file of the package, or say where it is: workletUrl`,
    { cause: error },
  );
}

/** Whether memory can be shared with the audio thread. */
export function canShare(): boolean {
  return typeof SharedArrayBuffer !== 'undefined' && (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated === true;
}

interface Shared {
  readonly samples: SharedArrayBuffer;
  readonly state: SharedArrayBuffer;
}

/** Writes a track: into memory that is shared, or by transferred blocks. */
export class TrackSink {
  readonly epoch: number;
  /** Samples written. */
  written = 0;
  readonly #port: MessagePort;
  readonly #capacity: number;
  readonly #ring: Float32Array | undefined;
  readonly #state: Int32Array | undefined;
  #read = 0;

  constructor(
    port: MessagePort,
    sampleRate: number,
    seconds: number,
    track: { epoch: number; from: number; speed: number; now: boolean; fade: boolean },
  ) {
    this.epoch = track.epoch;
    this.#port = port;
    this.#capacity = Math.ceil(seconds * sampleRate);
    let shared: Shared | undefined;
    if (canShare()) {
      shared = { samples: new SharedArrayBuffer(4 * this.#capacity), state: new SharedArrayBuffer(12) };
      this.#ring = new Float32Array(shared.samples);
      this.#state = new Int32Array(shared.state);
    }
    port.postMessage({ kind: 'open', ...track, capacity: this.#capacity, shared });
  }

  /** What the audio thread has told of this track. */
  told(read: number): void {
    this.#read = read;
  }

  /** Samples that were not heard yet. */
  get waiting(): number {
    return this.written - (this.#state === undefined ? this.#read : Atomics.load(this.#state, 1));
  }

  get room(): number {
    return this.#capacity - this.waiting;
  }

  /** At most `room` samples. */
  write(samples: Float32Array): void {
    if (this.#ring === undefined || this.#state === undefined) {
      // A transferred block has no length any more.
      this.written += samples.length;
      const copy = samples.slice();
      this.#port.postMessage({ kind: 'data', epoch: this.epoch, samples: copy }, [copy.buffer]);
      return;
    }
    const at = this.written % this.#capacity;
    const first = samples.subarray(0, this.#capacity - at);
    this.#ring.set(first, at);
    this.#ring.set(samples.subarray(first.length), 0);
    this.written += samples.length;
    Atomics.store(this.#state, 0, this.written);
  }

  end(): void {
    if (this.#state === undefined) this.#port.postMessage({ kind: 'end', epoch: this.epoch });
    else Atomics.store(this.#state, 2, 1);
  }
}
