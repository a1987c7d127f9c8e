// One instance of the engine: the Embind door (wasm/embind.cpp) with its statuses turned into PocketTTSError, and
// with traps caught. A trapped instance is marked and answers every later call with 'crashed'; whoever owns it makes
// a new one. All calls are synchronous; nothing in here waits.
import createDoor from './pocket_tts.mjs';
import type { Door, DoorMemory } from './pocket_tts.mjs';
import { codeOfStatus, describe, PocketTTSError } from './errors.js';
import type { WasmModule } from './platform.js';

export type {
  Door,
  DoorCodec,
  DoorMemory,
  DoorModel,
  DoorModelInfo,
  DoorOptions,
  DoorPack,
  DoorSession,
  DoorStretch,
  DoorVoice,
} from './pocket_tts.mjs';

/** A fresh instance of a compiled module. */
export async function createEngine(wasm: WasmModule): Promise<Engine> {
  const lines: string[] = [];
  const door = await new Promise<Door>((resolve, reject) => {
    createDoor({
      instantiateWasm(imports, receive) {
        // Emscripten waits for `receive` alone, so a refusal has to be carried past it.
        WebAssembly.instantiate(wasm, imports).then((instance) => {
          receive(instance, wasm);
        }, reject);
        return {};
      },
      print: (line) => lines.push(line),
      printErr: (line) => lines.push(line),
    }).then(resolve, reject);
  }).catch((error: unknown) => {
    throw new PocketTTSError('unsupported', `The WebAssembly engine does not start here: ${describe(error)}`, {
      cause: error,
    });
  });
  return new Engine(door, lines);
}

/** What the engine wrote before it trapped, if anything, and the trap. */
function crashMessage(error: unknown, lines: readonly string[]): string {
  const said = lines.slice(-3).join(' ').trim();
  return `The engine crashed (${describe(error)})${said === '' ? '' : `: ${said}`}`;
}

export class Engine {
  readonly #door: Door;
  readonly #lines: string[];
  #crash: PocketTTSError | undefined;

  constructor(door: Door, lines: string[]) {
    this.#door = door;
    this.#lines = lines;
  }

  /** True after a trap: this instance is never used again. */
  get crashed(): boolean {
    return this.#crash !== undefined;
  }

  /** Runs calls into the module. Whatever they throw that is not ours is a trap. */
  run<T>(body: (door: Door) => T): T {
    if (this.#crash !== undefined) throw this.#crash;
    try {
      return body(this.#door);
    } catch (error) {
      if (error instanceof PocketTTSError) throw error;
      this.#crash = new PocketTTSError('crashed', crashMessage(error, this.#lines), { cause: error });
      throw this.#crash;
    }
  }

  /** Hands a status on that is not an error, throws the one that is, with what the engine had to say. */
  check(status: number, subject?: string): number {
    if (status >= 0) return status;
    throw this.errorOf(status, subject);
  }

  /** The error of a status, with what the engine had to say last. */
  errorOf(status: number, subject?: string): PocketTTSError {
    const message = this.#door.message();
    return new PocketTTSError(codeOfStatus(status), subject === undefined ? message : `${subject}: ${message}`);
  }

  /** Runs `body` and checks the status it returns. `subject` starts the message of an error. */
  call(body: (door: Door) => number, subject?: string): number {
    return this.run((door) => this.check(body(door), subject));
  }

  /** Linear memory of `bytes` bytes; the caller deletes it. */
  memory(bytes: number): DoorMemory {
    return this.run((door) => {
      const memory = new door.Memory();
      if (memory.allocate(bytes)) return memory;
      memory.delete();
      throw new PocketTTSError('memory', `${bytes} bytes of WebAssembly memory were refused`);
    });
  }

  /** `body` with `bytes` in linear memory for as long as it runs. */
  withBytes<T>(bytes: Uint8Array, body: (memory: DoorMemory, door: Door) => T): T {
    const memory = this.memory(bytes.length);
    try {
      return this.run((door) => {
        memory.bytes().set(bytes);
        return body(memory, door);
      });
    } finally {
      this.release(memory);
    }
  }

  /** Deletes an object of the door; a crashed instance is left alone. */
  release(object: { delete(): void } | undefined): void {
    if (object === undefined || this.crashed) return;
    this.run(() => {
      object.delete();
    });
  }

  get version(): string {
    return this.run((door) => door.version());
  }

  /** Bytes that the engine holds for its objects. */
  get allocatedBytes(): number {
    return this.crashed ? 0 : this.#door.allocatedBytes();
  }

  /** Size of the linear memory. */
  get memoryBytes(): number {
    return this.crashed ? 0 : this.#door.memoryBytes();
  }
}
