// Calls on one instance that the calling thread and the workers share: voices, and the chunks of a text.
import type { DoorMemory, DoorModel, DoorSession, DoorVoice, Engine } from './engine.js';
import type { RawChunk, VoiceOrigin } from './protocol.js';

/** The bytes that a voice is made of, on their way into linear memory. */
export class VoiceBytes {
  readonly memory: DoorMemory;
  readonly #engine: Engine;
  #filled = 0;

  constructor(engine: Engine, total: number) {
    this.#engine = engine;
    this.memory = engine.memory(total);
  }

  add(bytes: Uint8Array): void {
    this.#engine.run(() => {
      this.memory.bytes().set(bytes, this.#filled);
    });
    this.#filled += bytes.length;
  }

  release(): void {
    this.#engine.release(this.memory);
  }
}

export function makeVoice(
  engine: Engine,
  model: DoorModel,
  { memory }: VoiceBytes,
  from: VoiceOrigin,
  name: string,
): { handle: DoorVoice; positions: number } {
  const handle = engine.run((door) => new door.Voice());
  try {
    engine.call(
      () =>
        from.kind === 'file'
          ? handle.load(model, memory)
          : from.kind === 'wav'
            ? handle.fromWav(model, memory, from.maxSeconds)
            : handle.fromPcm(model, memory, from.sampleRate),
      name,
    );
    return { handle, positions: engine.run(() => handle.positions()) };
  } catch (error) {
    engine.release(handle);
    throw error;
  }
}

/** The voice as a file of the reference's current format. */
export function exportVoice(engine: Engine, voice: DoorVoice, name: string): Uint8Array<ArrayBuffer> {
  const memory = engine.memory(0);
  try {
    engine.call(() => voice.exportTo(memory), name);
    return engine.run(() => memory.bytes().slice());
  } finally {
    engine.release(memory);
  }
}

/** The chunks of an open session. */
export function rawChunks(engine: Engine, session: DoorSession): RawChunk[] {
  return engine.run(() =>
    Array.from({ length: session.chunkCount() }, (_, i) => {
      const { tokens, textBegin, textEnd, overLimit } = session.chunk(i);
      return { text: session.chunkText(i, 1), tokens, textBegin, textEnd, overLimit: overLimit !== 0 };
    }),
  );
}
