// One instance's model on its way in: a pack of the engine, filled piece by piece.
import type { Engine, DoorMemory, DoorModel, DoorPack } from './engine.js';
import type { PackFileRole, Precision } from './pack.js';
import type { Duties } from './protocol.js';

const STAGING_BYTES = 1 << 18;

/** Takes a model in pieces, in this order; `name` and `where` start the messages of errors. */
export interface ModelSink {
  openPack(config: Uint8Array, precision: Precision, where: string): void | Promise<void>;
  tokenizer(bytes: Uint8Array, json: boolean, name: string): void | Promise<void>;
  /** Announces a weights file; feed() then takes its bytes in order. */
  file(role: PackFileRole, total: number, name: string): void | Promise<void>;
  /** `bytes` are good during the call only. */
  feed(bytes: Uint8Array, name: string): void | Promise<void>;
}


export class ModelBuilder implements ModelSink {
  readonly #engine: Engine;
  readonly #duties: Duties;
  readonly #pack: DoorPack;
  #staging: DoorMemory | undefined;

  constructor(engine: Engine, duties: Duties) {
    this.#engine = engine;
    this.#duties = duties;
    this.#pack = engine.run((door) => new door.Pack());
  }

  openPack(config: Uint8Array, precision: Precision, where: string): void {
    const { speaks, decodes, clones } = this.#duties;
    this.#engine.withBytes(config, (memory, door) => {
      const parts =
        (speaks ? door.PART_FLOW_LM : 0) |
        (decodes ? door.PART_MIMI_DECODER : 0) |
        (clones ? door.PART_MIMI_ENCODER : 0);
      const working = { f32: door.PRECISION_F32, q8: door.PRECISION_Q8, q4: door.PRECISION_Q4 };
      return this.#engine.check(this.#pack.open(memory, parts, working[precision]), where);
    });
  }

  tokenizer(bytes: Uint8Array, json: boolean, name: string): void {
    // Only the language model reads text.
    if (!this.#duties.speaks) return;
    this.#engine.withBytes(bytes, (memory, door) =>
      this.#engine.check(
        this.#pack.tokenizer(json ? door.TOKENIZER_JSON : door.TOKENIZER_SENTENCEPIECE, memory),
        name,
      ),
    );
  }

  file(role: PackFileRole, total: number, name: string): void {
    this.#engine.call(
      (door) =>
        this.#pack.file(
          role === 'weights-flow-lm' ? door.FILE_FLOW_LM : role === 'weights' ? door.FILE_BUNDLE : door.FILE_MIMI,
          total,
        ),
      name,
    );
  }

  feed(bytes: Uint8Array, name: string): void {
    const staging = (this.#staging ??= this.#engine.memory(STAGING_BYTES));
    for (let at = 0; at < bytes.length; at += STAGING_BYTES) {
      const part = bytes.subarray(at, at + STAGING_BYTES);
      this.#engine.call(() => {
        staging.bytes().set(part);
        return this.#pack.feed(staging, part.length);
      }, name);
    }
  }

  /** The model, complete. */
  finish(where: string): DoorModel {
    this.#releaseStaging();
    const model = this.#engine.run((door) => new door.Model());
    try {
      this.#engine.call(() => this.#pack.finish(model), where);
      return model;
    } catch (error) {
      this.#engine.release(model);
      throw error;
    }
  }

  /** Frees what is left of the loading; needed after finish() as well as instead of it. */
  close(): void {
    this.#releaseStaging();
    this.#engine.release(this.#pack);
  }

  #releaseStaging(): void {
    this.#engine.release(this.#staging);
    this.#staging = undefined;
  }
}
