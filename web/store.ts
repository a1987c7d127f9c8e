// Where downloads are kept: one interface over a folder, OPFS, the Cache API and memory.
//
//   find(key)    the whole file, or the part of it that has come
//   write(key)   appends to the part; commit() makes it the file, close() leaves the part for later
//
// A store knows nothing of hashes: who reads a file compares it with its meta (transfer.ts).
import { throwIfAborted } from './errors.js';
import type { AnyLockManager } from './platform.js';
import { abortable, Queue } from './turns.js';

export type StoreKind = 'opfs' | 'cache-api' | 'folder' | 'memory';

/** What is known of a file that is kept. */
export interface StoreMeta {
  /** What it is, wherever it comes from: `hf://owner/name/path@revision`, `sha256:...` or a URL. */
  readonly identity: string;
  /** Where its bytes came from. */
  readonly url: string;
  /** The pack that asked for it first. */
  readonly pack: string;
  /** Bytes of the whole file, where known. */
  readonly bytes?: number;
  /** Of a whole file: what its bytes have; of a part: what they should come to, where known. */
  readonly sha256?: string;
  /** Validators of the answer, for resuming. */
  readonly etag?: string;
  readonly lastModified?: string;
}

export interface StoredFile {
  readonly meta: StoreMeta;
  readonly size: number;
  /** Slices; each is good until the next one is asked for. */
  read(): AsyncIterable<Uint8Array>;
}

export interface Found {
  readonly file?: StoredFile;
  readonly part?: StoredFile;
}

export interface Writer {
  /** `bytes` may be used again once it has ended. */
  write(bytes: Uint8Array): Promise<void>;
  commit(meta: StoreMeta): Promise<void>;
  close(): Promise<void>;
}

/** An entry of list(). */
export interface Kept {
  readonly key: string;
  readonly meta: StoreMeta;
  /** Bytes that are there. */
  readonly size: number;
  readonly complete: boolean;
}

export interface Store {
  readonly kind: StoreKind;
  /** For messages: the folder or the name. */
  readonly where: string;
  /** Waits until nobody else downloads the file, here or beside; the result lets go. */
  lock(key: string, signal?: AbortSignal): Promise<() => void>;
  find(key: string): Promise<Found>;
  write(key: string, meta: StoreMeta, resume: boolean): Promise<Writer>;
  remove(key: string): Promise<void>;
  /** What can be read. */
  list(): Promise<readonly Kept[]>;
  /** Of all that there is something of, also of what cannot be read. */
  keys(): Promise<readonly string[]>;
  /** Called once something large is kept. */
  persist(): Promise<void>;
}

/** A store that cannot do its work. `full`: there is no more room. */
export class StoreError extends Error {
  readonly full: boolean;

  constructor(message: string, full: boolean, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StoreError';
    this.full = full;
  }
}

/** What a host's file system or storage said. */
export function storeError(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const { name, code, message } = (error ?? {}) as { name?: unknown; code?: unknown; message?: unknown };
  const full = name === 'QuotaExceededError' || code === 'ENOSPC' || code === 'EDQUOT';
  return new StoreError(typeof message === 'string' && message !== '' ? message : String(name), full, { cause: error });
}

const META_STRINGS = ['identity', 'url', 'pack', 'sha256', 'etag', 'lastModified'] as const;

/** The meta of a file as it was kept; undefined when it is damaged. */
export function parseMeta(text: string): StoreMeta | undefined {
  try {
    const meta = JSON.parse(text) as Record<string, unknown> | null;
    const strings = META_STRINGS.every((name) => meta?.[name] === undefined || typeof meta[name] === 'string');
    const bytes = meta?.['bytes'];
    const whole = bytes === undefined || (Number.isSafeInteger(bytes) && Number(bytes) >= 0);
    const known = ['identity', 'url', 'pack'].every((name) => meta?.[name] !== undefined);
    return strings && whole && known ? (meta as unknown as StoreMeta) : undefined;
  } catch {
    return undefined;
  }
}

/** The keys in names, each once. */
export function keysOf(names: readonly string[], pattern: RegExp): readonly string[] {
  return [...new Set(names.flatMap((name) => pattern.exec(name)?.[1] ?? []))];
}

/** Locks within this thread, by key. */
export function localLocks(): Store['lock'] {
  const queues = new Map<string, { readonly queue: Queue; users: number }>();
  return async (key, signal) => {
    const entry = queues.get(key) ?? { queue: new Queue(), users: 0 };
    queues.set(key, entry);
    entry.users++;
    const forget = (): void => {
      if (--entry.users === 0) queues.delete(key);
    };
    try {
      const leave = await entry.queue.enter(signal);
      return () => {
        leave();
        forget();
      };
    } catch (error) {
      forget();
      throw error;
    }
  };
}

/** Locks among all pages and workers of an origin. */
export function webLocks(locks: AnyLockManager): Store['lock'] {
  return (key, signal) => {
    throwIfAborted(signal);
    const granted = new Promise<() => void>((resolve, reject) => {
      locks
        .request(`pocket-tts-wasm:${key}`, signal === undefined ? {} : { signal }, () => new Promise<void>(resolve))
        .catch(reject);
    });
    return abortable(granted, signal);
  };
}

/** What memory keeps at most: a second copy of large weights would be worse than fetching them again. */
export const MEMORY_LIMIT = 64 << 20;

/** Files in memory, for as long as the page or process lives. Larger ones than it takes are refused as `full`. */
export function memoryStore(limit = MEMORY_LIMIT): Store {
  interface Entry {
    meta: StoreMeta;
    slices: Uint8Array[];
    size: number;
    complete: boolean;
  }
  const entries = new Map<string, Entry>();
  const stored = ({ meta, slices, size }: Entry): StoredFile => ({
    meta,
    size,
    // eslint-disable-next-line @typescript-eslint/require-await -- what reads it waits
    read: async function* () {
      yield* slices;
    },
  });
  return {
    kind: 'memory',
    where: 'memory',
    lock: localLocks(),
    find(key) {
      const entry = entries.get(key);
      return Promise.resolve(entry === undefined ? {} : { [entry.complete ? 'file' : 'part']: stored(entry) });
    },
    write(key, meta, resume) {
      const before = resume ? entries.get(key) : undefined;
      const entry: Entry = { meta, slices: before?.slices ?? [], size: before?.size ?? 0, complete: false };
      entries.set(key, entry);
      return Promise.resolve({
        write(bytes) {
          const kept = [...entries.values()].reduce((sum, { size }) => sum + size, 0);
          if (kept + bytes.length > limit) {
            entries.delete(key);
            return Promise.reject(new StoreError(`expected at most ${limit} bytes in memory, found more`, true));
          }
          entry.slices.push(bytes.slice());
          entry.size += bytes.length;
          return Promise.resolve();
        },
        commit(last) {
          Object.assign(entry, { meta: last, complete: true });
          return Promise.resolve();
        },
        close: () => Promise.resolve(),
      });
    },
    remove(key) {
      entries.delete(key);
      return Promise.resolve();
    },
    list: () =>
      Promise.resolve([...entries].map(([key, { meta, size, complete }]) => ({ key, meta, size, complete }))),
    keys: () => Promise.resolve([...entries.keys()]),
    persist: () => Promise.resolve(),
  };
}
