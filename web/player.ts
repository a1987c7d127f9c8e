// What a player is, to those who play.
import type { Engine } from './engine.js';
import type { AnyAudioContext, AnyAudioNode } from './platform.js';
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
   * OfflineAudioContext wait for `ready` before startRendering(): rendering then waits for the speech, and has no gaps. (Firefox
   * cannot hold a rendering: there `ready` waits for all that it will need.)
   */
  readonly context?: AnyAudioContext | undefined;
  /** Where the sound goes. Default: the context's destination. */
  readonly destination?: AnyAudioNode | undefined;
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

export const PLAYER_EVENTS: readonly (keyof PlayerEvents)[] = ['sentence', 'word', 'underrun', 'state', 'time', 'ended', 'error'];

/** A text that is being played. Seconds are of the speech at rate 1. */
export interface Player {
  readonly state: PlayerState;
  /** Seconds that were heard, by the clock of the audio thread; in Firefox those that were handed to the device. */
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
  /**
   * Calls `listener` at every event of that name. Returns what ends that. What a listener throws, or its promise rejects with,
   * is an error of the page (`window.onerror`) and does not stop the sound.
   */
  on<K extends keyof PlayerEvents>(event: K, listener: (detail: PlayerEvents[K]) => unknown): () => void;
}

/** What a player needs of the engine. */
export interface Speaker {
  readonly sampleRate: number;
  /** The text, with a signal of the player's own. */
  readonly speak: (signal: AbortSignal) => SpeechStream;
  /** An instance for stretching. */
  readonly stretcher: () => Promise<Engine>;
}
