// What differs between Node and browsers, behind one interface: where bytes come from, hashing, the compiled module,
// and giving way to the event loop. host-node.ts and host-browser.ts implement it.
import type { CacheOption, StoreMaker } from './cache.js';
import { PocketTTSError, shown } from './errors.js';
import type { ErrorCode } from './errors.js';
import { Cut, IDLE_TIMEOUT, IdleWatch } from './idle.js';
import type { Address } from './packs.js';
import type { Transfer, WasmModule } from './platform.js';
import type { Command, FromWorker, StoreOrder } from './protocol.js';
import type { Found } from './store.js';
import type { Transport } from './transfer.js';

/** A file on its way in. */
export interface OpenFile {
  /** Bytes, where known before reading. */
  readonly size: number | undefined;
  /** The content in slices of any size; a slice is good until the next one is asked for. */
  readonly slices: AsyncIterable<Uint8Array>;
  /** Stops reading. Needed whenever `slices` was not read to its end; harmless otherwise. */
  close(): Promise<void>;
  /** Where it comes from. Default: `load`. */
  readonly phase?: LoadPhase;
  /** Reading it to its end compares it with what was expected. */
  readonly verified?: true;
}

/** `download`: from the network. `load`: from the cache, a folder or the package. */
export type LoadPhase = 'download' | 'load';

/** What is known of a file before it is opened. */
export interface Expected {
  readonly bytes?: number;
  readonly sha256?: string;
}

/** A place that files are read from by relative path: a folder or a URL prefix. */
export interface Source {
  /** For messages: the folder or prefix. */
  readonly where: string;
  open(path: string, signal?: AbortSignal, expected?: Expected): Promise<OpenFile>;
  /**
   * After a failure: whether damaged bytes of a cache were in it. They are gone then; it is worth another try, with new
   * ones.
   */
  recheck?(): Promise<boolean>;
  /** Of what comes over the network: what the cache has of a file. */
  kept?: ((path: string, expected?: Expected) => Promise<Found>) | undefined;
}

/** A file of a source, for messages. */
export function label(source: Pick<Source, 'where'>, path: string): string {
  return /^([/\\]|[a-z][a-z0-9+.-]*:)/i.test(path) ? path : `${source.where}: ${path}`;
}

export interface Sha256 {
  update(bytes: Uint8Array): void;
  hex(): string;
}

/** A worker that was started. */
export interface Link {
  post(message: Command | StoreOrder, transfer: Transfer[]): void;
  /** Keeps the process alive, or lets it end. */
  ref(): void;
  unref(): void;
  terminate(): Promise<void>;
}

export interface LinkEvents {
  readonly receive: (message: FromWorker) => void;
  /** The worker did not start, threw, or ended by itself. */
  readonly fail: (error: unknown) => void;
}

export interface Workers {
  /** Cores that may be used. */
  cores(): number;
  /** Whether workers can be had at all. */
  usable(): boolean;
  /** Whether one instance is better off in a worker: where it would hold up a page. */
  preferred(): boolean;
  start(events: LinkEvents): Link;
}

export interface Host {
  /** The compiled engine; compiled once. */
  wasm(): Promise<WasmModule>;
  /** The starter voice that is part of the package. */
  starter(): Source;
  /** The folder or URL prefix of a pack. */
  source(pack: string | URL, transport: Transport): Source;
  /** Stores for what is asked for, the best first. Refuses what cannot be had here. */
  stores(cache: CacheOption): readonly StoreMaker[];
  /** In browsers: what they tell of their storage. */
  quota(): Promise<{ readonly quota?: number; readonly usage?: number; readonly persisted?: boolean }>;
  sha256(): Sha256;
  /** In Node: a file of the model hub where the hub's own programs keep it on this machine. */
  hubFile?(address: Address, signal?: AbortSignal): Promise<OpenFile | undefined>;
  /** Lets other work of the event loop run: timers, input, aborts. */
  pause(): Promise<void>;
  /** Whether threads may share memory here. */
  isolated(): boolean;
  readonly workers: Workers;
}

/** Files of the package that are somewhere else: options of load(). */
export interface PackageUrls {
  /** The engine, `pocket_tts.wasm`. Default: the file in the package, where bundlers and plain pages find it by themselves. */
  readonly wasmUrl?: string | URL | undefined;
  /** The script of the workers, `worker.js` (in Node: `worker-node.js`), of exactly this version. Default: as with `wasmUrl`. */
  readonly workerUrl?: string | URL | undefined;
  /** In browsers: the audio thread's part of play(), `player-worklet.js`, of exactly this version. Default: as with `wasmUrl`. */
  readonly workletUrl?: string | URL | undefined;
}

/** Runs `make` once and keeps its result; a failure is forgotten, so that the next call tries again. */
export function once<T>(make: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= make().catch((error: unknown) => {
      result = undefined;
      throw error;
    });
    return result;
  };
}

/** The whole of a small file. Refuses more than `limit` bytes with an error of `code`. */
export async function readAll(
  file: OpenFile,
  name: string,
  limit: number,
  code: ErrorCode = 'pack',
): Promise<Uint8Array<ArrayBuffer>> {
  // By its size, where that is known, before anything of it is read.
  const refuse = (found: number | string): never => {
    throw new PocketTTSError(code, `${name}: expected at most ${limit} bytes, found ${found}`);
  };
  try {
    if (file.size !== undefined && file.size > limit) refuse(file.size);
    let all = new Uint8Array(file.size ?? 0);
    let total = 0;
    for await (const slice of file.slices) {
      if (total + slice.length > limit) refuse('more');
      if (total + slice.length > all.length) {
        const larger = new Uint8Array(Math.max(2 * all.length, total + slice.length));
        larger.set(all.subarray(0, total));
        all = larger;
      }
      all.set(slice, total);
      total += slice.length;
    }
    return total === all.length ? all : all.slice(0, total);
  } finally {
    await file.close();
  }
}

/** A URL that a caller gave as the place of a pack. */
export function packUrl(pack: string | URL, base?: string): URL {
  try {
    return new URL(pack, base);
  } catch (error) {
    throw new PocketTTSError('argument', `pack: expected a URL, found ${shown(String(pack))}`, { cause: error });
  }
}

/** What a body is read into. */
const BODY_BYTES = 1 << 19;

/** A file in memory. */
export function memoryFile(bytes: Uint8Array, phase: LoadPhase = 'load'): OpenFile & { readonly size: number } {
  // eslint-disable-next-line @typescript-eslint/require-await -- what reads it waits
  const slices = (async function* () {
    yield bytes;
  })();
  return { size: bytes.length, phase, slices, close: () => Promise.resolve() };
}

/** A file over HTTP. */
export async function fetchFile(url: URL, signal?: AbortSignal): Promise<OpenFile> {
  const watch = new IdleWatch(IDLE_TIMEOUT, signal);
  const response = await watch.wait(
    () => fetch(url, { signal: watch.signal }),
    `${url.href}: no answer`,
    (cause) => new PocketTTSError('network', `${url.href}: the request failed`, { cause }),
  );
  if (!response.ok) {
    throw new PocketTTSError(
      response.status === 404 ? 'not-found' : 'network',
      `${url.href}: HTTP status ${response.status}`,
    );
  }
  // A compressed transfer announces the compressed size.
  const length = response.headers.get('content-encoding') === null ? response.headers.get('content-length') : null;
  const reader = response.body === null ? undefined : bodyReader(response.body);
  return {
    size: length === null ? undefined : Number(length),
    slices: bodySlices(reader, url.href, watch),
    close: async () => {
      await reader?.cancel().catch(() => undefined);
    },
  };
}

/** Reads a body with one buffer, again and again: what lies about until it is collected would be most of a file. */
export interface BodyReader {
  read(buffer: ArrayBuffer): Promise<{ done: boolean; value?: Uint8Array<ArrayBuffer> | undefined }>;
  cancel(): Promise<void>;
}

export function bodyReader(body: ReadableStream<Uint8Array<ArrayBuffer>>): BodyReader {
  try {
    const reader = body.getReader({ mode: 'byob' });
    return { read: (buffer) => reader.read(new Uint8Array(buffer)), cancel: () => reader.cancel() };
  } catch {
    // Not a stream of bytes everywhere.
    return body.getReader();
  }
}

/** What a reader gives, in one buffer: each slice is good until the next one is asked for. */
export async function* readSlices(reader: Pick<BodyReader, 'read'>): AsyncGenerator<Uint8Array> {
  for (let buffer = new ArrayBuffer(BODY_BYTES); ; ) {
    const { value, done } = await reader.read(buffer);
    if (value === undefined || done) return;
    yield value;
    buffer = value.buffer;
  }
}

/** The slices of a body; one that ends before `size` bytes was cut. */
export async function* bodySlices(
  reader: BodyReader | undefined,
  name: string,
  watch: IdleWatch,
  size?: number,
): AsyncGenerator<Uint8Array> {
  let total = 0;
  if (reader !== undefined) {
    const watched: Pick<BodyReader, 'read'> = {
      read: (buffer) =>
        watch.wait(
          async () => reader.read(buffer),
          `${name}: the transfer stands still: no byte`,
          (cause) => new Cut('network', `${name}: the transfer broke off`, { cause }),
        ),
    };
    for await (const slice of readSlices(watched)) {
      total += slice.length;
      yield slice;
    }
  }
  if (size !== undefined && total < size) {
    throw new Cut('network', `${name}: the transfer broke off: expected ${size} bytes, found ${total}`);
  }
}
