// The stores of browsers: OPFS, and the Cache API where that is missing.
//
// OPFS is written through sync access handles, which live in workers only: what createWritable() takes is not there before
// it is closed, so that a tab that is closed would lose its part. Reading needs no worker and no exclusive handle.
import { bodyReader, readSlices } from './host.js';
import type { Link } from './host.js';
import { keysOf, localLocks, parseMeta, storeError, StoreError, webLocks } from './store.js';
import type { Found, Kept, Store, StoredFile, StoreMeta, Writer } from './store.js';
import type { StoreCalls, StoreReply } from './store-worker.js';
import { FOLDER } from './store-worker.js';

function persist(): Promise<void> {
  // Nobody waits for the answer: some browsers ask their user.
  // Missing where the page is not secure, and in WebKitGTK under automation.
  void (navigator as { storage?: StorageManager }).storage?.persist().catch(() => undefined);
  return Promise.resolve();
}

/** Of this page alone, where there are no others. */
const ownLocks = localLocks();

function locks(): Store['lock'] {
  // Missing where the page is not secure.
  const manager = (navigator as { locks?: LockManager }).locks;
  return manager === undefined ? ownLocks : webLocks(manager);
}

/** undefined where there is no such file, or a folder in its place. */
async function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  return work.catch((error: unknown) => {
    if (['NotFoundError', 'TypeMismatchError'].includes(String((error as DOMException | null)?.name))) return undefined;
    throw storeError(error);
  });
}

async function* streamed(blob: Blob | Response): AsyncGenerator<Uint8Array> {
  const stream = blob instanceof Blob ? blob.stream() : blob.body;
  if (stream === null) return;
  const reader = bodyReader(stream);
  try {
    yield* readSlices(reader);
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** A worker of the package; `receive` and `fail` as in host.ts. */
export type StartWorker = (fail: (error: unknown) => void) => Link;

/** One open part, in a worker of its own. */
class PartWriter implements Writer {
  readonly #link: Link;
  readonly #port: MessagePort;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: unknown) => void }>();
  #buffer: Uint8Array<ArrayBuffer> | undefined;
  #calls = 0;

  constructor(start: StartWorker) {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#link = start((error) => {
      this.#end(storeError(error));
    });
    port1.onmessage = ({ data }) => {
      const { id, value, error } = data as StoreReply;
      const call = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) call?.resolve(value);
      else call?.reject(storeError(error));
    };
    this.#link.post({ kind: 'store', port: port2 }, [port2]);
  }

  #call<N extends keyof StoreCalls>(op: N, args: StoreCalls[N], transfer: Transferable[] = []): Promise<unknown> {
    const id = this.#calls++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#port.postMessage({ id, op, args }, transfer);
    });
  }

  async open(key: string, meta: StoreMeta, resume: boolean): Promise<void> {
    await this.#call('open', { key, meta, resume }).catch((error: unknown) => {
      this.#end(error);
      throw error;
    });
  }

  async write(bytes: Uint8Array): Promise<void> {
    // One buffer goes back and forth.
    if (this.#buffer === undefined || this.#buffer.length < bytes.length) this.#buffer = new Uint8Array(bytes.length);
    const buffer = this.#buffer;
    buffer.set(bytes);
    this.#buffer = undefined;
    const back = await this.#call('write', { buffer, length: bytes.length }, [buffer.buffer]);
    this.#buffer = back as Uint8Array<ArrayBuffer>;
  }

  async commit(meta: StoreMeta): Promise<void> {
    try {
      await this.#call('commit', { meta });
    } finally {
      this.#end(new StoreError('closed', false));
    }
  }

  async close(): Promise<void> {
    try {
      await this.#call('close', undefined);
    } finally {
      this.#end(new StoreError('closed', false));
    }
  }

  #end(error: unknown): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    this.#port.close();
    void this.#link.terminate();
  }
}

/** How often a small file is asked for, and milliseconds between: a second in all, and writing it takes a few of them. */
const READ_TRIES = 50;
const READ_PAUSE_MS = 20;

/** Rejects where there is no OPFS, or none that can be used. */
export async function opfsStore(start: StartWorker): Promise<Store> {
  // `move` finishes a file.
  const prototype = (globalThis as { FileSystemFileHandle?: { prototype: object } }).FileSystemFileHandle?.prototype;
  if (prototype === undefined || !('move' in prototype)) throw new StoreError('there is no OPFS here', false);
  const root = await navigator.storage.getDirectory();
  const folder = async (): Promise<FileSystemDirectoryHandle> => root.getDirectoryHandle(FOLDER, { create: true });
  await folder();
  const open = async (name: string): Promise<File | undefined> =>
    unlessMissing((async () => (await (await folder()).getFileHandle(name)).getFile())());
  // A file that a worker is writing just now cannot be read (NotReadableError): asked again, it is there.
  const textOf = async (name: string): Promise<string | undefined> => {
    for (let tries = 1; ; tries++) {
      const file = await open(name);
      try {
        return await file?.text();
      } catch (error) {
        if (tries === READ_TRIES) throw storeError(error);
        await new Promise((resolve) => setTimeout(resolve, READ_PAUSE_MS));
      }
    }
  };
  const stored = async (key: string, name: string): Promise<StoredFile | undefined> => {
    const [file, text] = await Promise.all([open(name), textOf(`${key}.json`)]);
    const meta = text === undefined ? undefined : parseMeta(text);
    return file === undefined || meta === undefined ? undefined : { meta, size: file.size, read: () => streamed(file) };
  };
  return {
    kind: 'opfs',
    where: 'OPFS',
    lock: locks(),
    async find(key) {
      const [file, part] = await Promise.all([stored(key, key), stored(key, `${key}.part`)]);
      if (file !== undefined) return { file };
      return part === undefined ? {} : { part };
    },
    async write(key, meta, resume) {
      const writer = new PartWriter(start);
      await writer.open(key, meta, resume);
      return writer;
    },
    async remove(key) {
      // A part that another page is writing cannot be removed, and what is known of it stays too.
      for (const name of [key, `${key}.part`, `${key}.json`]) {
        await unlessMissing((await folder()).removeEntry(name, { recursive: true }));
      }
    },
    async keys() {
      const names = [];
      for await (const name of (await folder()).keys()) names.push(name);
      return keysOf(names, /^([0-9a-f]{40})(?:\.|$)/);
    },
    async list() {
      const kept: Kept[] = [];
      for await (const name of (await folder()).keys()) {
        const [, key, part] = /^([0-9a-f]{40})(\.part)?$/.exec(name) ?? [];
        const file = key === undefined ? undefined : await stored(key, name).catch(() => undefined);
        if (key === undefined || file === undefined) continue;
        kept.push({ key, meta: file.meta, size: file.size, complete: part === undefined });
      }
      return kept;
    },
    persist,
  };
}

/** What an entry of the Cache API holds. A file is a row of them, so that a part of it is not lost. */
const SEGMENT_BYTES = 4 << 20;

/** Rejects where there is no Cache API, or none that can be used. */
export async function cacheApiStore(): Promise<Store> {
  if (typeof caches === 'undefined') throw new StoreError('there is no Cache API here', false);
  const cache = await caches.open(FOLDER);
  // Requests that nobody makes: entries go by URL.
  const address = (key: string, what: string): string => new URL(`/${FOLDER}/${key}/${what}`, location.origin).href;
  interface Head {
    meta: StoreMeta;
    complete: boolean;
    /** Of every segment. */
    sizes: number[];
  }
  const head = async (key: string): Promise<Head | undefined> => {
    const text = await (await cache.match(address(key, 'head')))?.text();
    try {
      const found = JSON.parse(text ?? 'null') as Head | null;
      const sizes: readonly unknown[] = Array.isArray(found?.sizes) ? found.sizes : [-1];
      const right = typeof found?.complete === 'boolean' && sizes.every((bytes) => Number.isSafeInteger(bytes) && Number(bytes) >= 0);
      return right && parseMeta(JSON.stringify(found.meta)) !== undefined ? found : undefined;
    } catch {
      return undefined;
    }
  };
  const put = (key: string, what: string, body: string | Uint8Array<ArrayBuffer>): Promise<void> =>
    cache.put(address(key, what), new Response(body)).catch((error: unknown) => {
      throw storeError(error);
    });
  const size = ({ sizes }: Head): number => sizes.reduce((sum, bytes) => sum + bytes, 0);
  const find = async (key: string): Promise<Found> => {
    const found = await head(key);
    if (found === undefined) return {};
    const file: StoredFile = {
      meta: found.meta,
      size: size(found),
      async *read() {
        for (const i of found.sizes.keys()) {
          const segment = await cache.match(address(key, String(i)));
          if (segment === undefined) return;
          yield* streamed(segment);
        }
      },
    };
    return found.complete ? { file } : { part: file };
  };
  const keys = async (): Promise<readonly string[]> =>
    keysOf((await cache.keys()).map(({ url }) => url), /\/([0-9a-f]{40})\/[^/]*$/);
  const remove = async (key: string): Promise<void> => {
    const prefix = address(key, '');
    for (const { url } of await cache.keys()) if (url.startsWith(prefix)) await cache.delete(url);
  };
  return {
    kind: 'cache-api',
    where: 'the Cache API',
    lock: locks(),
    find,
    async write(key, meta, resume) {
      const before = resume ? await head(key) : undefined;
      if (before === undefined) await remove(key);
      const entry: Head = { meta, complete: false, sizes: before?.sizes ?? [] };
      const buffer = new Uint8Array(SEGMENT_BYTES);
      let length = 0;
      const flush = async (): Promise<void> => {
        if (length > 0) {
          await put(key, String(entry.sizes.length), buffer.slice(0, length));
          entry.sizes.push(length);
          length = 0;
        }
        await put(key, 'head', JSON.stringify(entry));
      };
      await flush();
      return {
        async write(bytes) {
          for (let at = 0; at < bytes.length; ) {
            const part = bytes.subarray(at, at + SEGMENT_BYTES - length);
            buffer.set(part, length);
            length += part.length;
            at += part.length;
            if (length === SEGMENT_BYTES) await flush();
          }
        },
        async commit(last) {
          Object.assign(entry, { meta: last, complete: true });
          await flush();
        },
        close: flush,
      };
    },
    remove,
    keys,
    async list() {
      const kept = await Promise.all(
        (await keys()).map(async (key) => {
          const found = await head(key).catch(() => undefined);
          return found && { key, meta: found.meta, size: size(found), complete: found.complete };
        }),
      );
      return kept.filter((entry) => entry !== undefined);
    },
    persist,
  };
}
