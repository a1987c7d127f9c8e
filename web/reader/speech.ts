// Reads a document aloud from any sentence on: the bridge between sentences and the player of the package.
import type { Player } from 'pocket-tts-wasm';
import { Track } from './track.js';

export type SpeechState = 'idle' | 'starting' | 'playing' | 'paused';

export interface SpeechEvents {
  /** A sentence begins to be heard. */
  sentence(index: number): void;
  state(state: SpeechState): void;
  /** The last sentence was heard. */
  end(): void;
  error(error: unknown): void;
}

/** PocketTTS.play() with the voice chosen. */
export type Play = (text: AsyncIterable<string>, rate: number) => Player;

export class Narrator {
  readonly #events: SpeechEvents;
  #player: Player | undefined;
  #state: SpeechState = 'idle';
  #rate = 1;

  constructor(events: SpeechEvents) {
    this.#events = events;
  }

  get state(): SpeechState {
    return this.#state;
  }

  /** Live. */
  set rate(rate: number) {
    this.#rate = rate;
    if (this.#player !== undefined) this.#player.rate = rate;
  }

  /** Reads from a sentence on; what was being read ends. Call it in a gesture. */
  start(play: Play, sentences: readonly string[], first: number): void {
    this.#drop();
    const track = new Track(sentences, first);
    const player = play(track.pieces(), this.#rate);
    this.#player = player;
    this.#is('starting');
    const mine = (): boolean => this.#player === player;
    player.on('sentence', ({ begin }) => {
      if (mine()) this.#events.sentence(track.at(begin));
    });
    player.on('state', ({ state }) => {
      if (mine() && (state === 'playing' || state === 'paused')) this.#is(state);
    });
    player.finished.then(
      () => {
        if (!mine()) return;
        this.stop();
        this.#events.end();
      },
      (error: unknown) => {
        if (!mine()) return;
        this.stop();
        this.#events.error(error);
      },
    );
  }

  pause(): void {
    this.#player?.pause();
  }

  resume(): void {
    this.#player?.resume().catch((error: unknown) => {
      this.#events.error(error);
    });
  }

  /** Silent at once, until the next start(): nothing more is heard of where it was. */
  hush(): void {
    this.#drop();
    this.#is('starting');
  }

  stop(): void {
    this.#drop();
    this.#is('idle');
  }

  #drop(): void {
    const player = this.#player;
    this.#player = undefined;
    player?.stop();
  }

  #is(state: SpeechState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#events.state(state);
  }
}
