// Files over HTTP: resumed where they were cut, checked, and kept while they are streamed on.
//
//   open    a whole file of the cache, or its part and a request for the rest, or a request for all of it
//   slices  the kept bytes, then those that come, hashed; each goes to the cache and on to the engine
//   end     the hash is right: the part becomes the file. Wrong: it is removed, and nothing is spoken with it
import type { Cache } from './cache.js';
import { describe, PocketTTSError, throwIfAborted } from './errors.js';
import { bodyReader, bodySlices } from './host.js';
import type { Expected, OpenFile, Sha256 } from './host.js';
import { Cut, IdleWatch, Stalled } from './idle.js';
import type { Store, StoredFile, StoreMeta, Writer } from './store.js';
import { abortable } from './turns.js';

/** A file somewhere else. */
export interface Remote {
  /** What it is called in the cache. Without it, its content may change, and it is not kept. */
  readonly identity: string | undefined;
  /** The pack that it belongs to, for lists of the cache. */
  readonly pack: string;
  /** Where it can be had, tried in this order. */
  readonly urls: readonly URL[];
  /** How the browser's own HTTP cache is used. Default: as it likes. */
  readonly mode?: 'no-cache' | 'no-store';
  headers?(url: URL): Readonly<Record<string, string>>;
  /** For an error status, what else is to be said. */
  hint?(status: number): string | undefined;
}

export interface Transport {
  readonly cache: Cache | undefined;
  readonly sha256: () => Sha256;
  /** Seconds without a byte after which a connection counts as cut. */
  readonly idleTimeout: number;
  /** A mirror failed and the next one is asked. */
  readonly onMirror?: ((message: string) => void) | undefined;
}

/** An answer that is an error, by its status. */
export class StatusError extends PocketTTSError {
  readonly status: number;

  constructor(url: string, status: number, hint: string | undefined) {
    const rest = hint === undefined ? '' : `: ${hint}`;
    super(status === 404 ? 'not-found' : 'network', `${url}: HTTP status ${status}${rest}`);
    this.status = status;
  }
}

/**
 * Reconnections in a row that bring nothing, and the wait before the first; it doubles. After a connection that stood still
 * there are half as many: each of them may cost the whole limit.
 */
const RECONNECTIONS = 4;
const STALL_COUNTS = 2;
const RECONNECT_MS = 200;
/** From here on a file is worth asking that the browser keep it. */
const PERSIST_BYTES = 16 << 20;

/** For messages: without what may be secret in it. */
export function shownUrl(url: URL): string {
  const { origin, pathname } = url;
  return origin === 'null' ? url.protocol + pathname : origin + pathname;
}

/** An answer with bytes from `from` on. */
interface Connection {
  readonly url: URL;
  readonly from: number;
  /** Bytes of the whole file, where known. */
  readonly total: number | undefined;
  readonly etag: string | undefined;
  readonly lastModified: string | undefined;
  /** False when the body is compressed on its way: then its bytes cannot be counted. */
  readonly resumable: boolean;
  readonly slices: AsyncGenerator<Uint8Array>;
  cancel(): Promise<void>;
}

/** What a part came from; the rest has to be of the same. */
interface Validators {
  readonly etag?: string | undefined;
  readonly lastModified?: string | undefined;
  readonly bytes?: number | undefined;
}

/** The total of `Content-Range: bytes from-(total-1)/total`; undefined when it is any other. */
function restOf(header: string | null, from: number): number | undefined {
  const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(header ?? '') ?? [];
  return Number(first) === from && Number(last) === Number(total) - 1 ? Number(total) : undefined;
}

/** Of a header that is not always there, or not to be read. */
function differ(a: string | undefined, b: string | undefined): boolean {
  return a !== undefined && b !== undefined && a !== b;
}

function sameOrigin(url: URL): boolean {
  return typeof location === 'undefined' || url.origin === location.origin;
}

/** Opens the rest of a file from `from` on, or all of it where the server has no right answer to that. */
async function connect(
  transport: Transport,
  remote: Remote,
  url: URL,
  from: number,
  known: Validators,
  signal: AbortSignal | undefined,
): Promise<Connection> {
  const shown = shownUrl(url);
  const headers: Record<string, string> = { ...remote.headers?.(url) };
  if (from > 0) {
    headers['Range'] = `bytes=${from}-`;
    const strong = known.etag?.startsWith('W/') === false ? known.etag : undefined;
    const validator = strong ?? known.lastModified;
    // To other origins it would cost a preflight that servers need not answer; the answer's validators are compared below.
    if (validator !== undefined && sameOrigin(url)) headers['If-Range'] = validator;
  }
  const watch = new IdleWatch(transport.idleTimeout, signal);
  const response = await watch.wait(
    () => fetch(url, { headers, signal: watch.signal, ...(remote.mode === undefined ? {} : { cache: remote.mode }) }),
    `${shown}: no answer`,
    (cause) => new PocketTTSError('network', `${shown}: the request failed (${describe(cause)})`, { cause }),
  );
  const { status } = response;
  const reader = response.body === null ? undefined : bodyReader(response.body);
  const cancel = async (): Promise<void> => {
    await reader?.cancel().catch(() => undefined);
  };
  const [etag, lastModified] = ['etag', 'last-modified'].map((name) => response.headers.get(name) ?? undefined);
  const encoded = response.headers.get('content-encoding') !== null;
  const length = response.headers.get('content-length');
  const answer = { url, etag, lastModified, resumable: !encoded, cancel };
  if (from > 0) {
    const total = status === 206 && !encoded ? restOf(response.headers.get('content-range'), from) : undefined;
    const differs =
      total === undefined ||
      (known.bytes !== undefined && known.bytes !== total) ||
      differ(known.etag, etag) ||
      differ(known.lastModified, lastModified);
    if (!differs) return { ...answer, from, total, slices: bodySlices(reader, shown, watch, total - from) };
    if (status !== 200) {
      await cancel();
      if (status >= 500) throw new StatusError(shown, status, remote.hint?.(status));
      // A wrong 206, a 416, or whatever else: once more, and all of it.
      return connect(transport, remote, url, 0, {}, signal);
    }
  }
  if (status !== 200) {
    await cancel();
    throw new StatusError(shown, status, remote.hint?.(status));
  }
  if (/^text\/html\b/i.test(response.headers.get('content-type') ?? '')) {
    await cancel();
    throw htmlError(shown);
  }
  // A compressed transfer announces the compressed size.
  const total = length === null || encoded ? undefined : Number(length);
  return { ...answer, from: 0, total, slices: bodySlices(reader, shown, watch, total) };
}

function htmlError(where: string): PocketTTSError {
  return new PocketTTSError(
    'pack',
    `${where}: expected a file of a pack, found an HTML page (an error or login page, or the start page of an app); check the address`,
  );
}

/** Whether bytes begin like a page. No file of a pack does. */
function looksLikeHtml(bytes: Uint8Array): boolean {
  return /^\ufeff?\s*<(!doctype html|html)[\s>]/i.test(new TextDecoder().decode(bytes.subarray(0, 64)));
}

/** The first address that answers. */
async function connectAny(
  transport: Transport,
  remote: Remote,
  part: StoredFile | undefined,
  expected: Expected,
  signal: AbortSignal | undefined,
): Promise<Connection> {
  const failures: PocketTTSError[] = [];
  for (const [i, url] of remote.urls.entries()) {
    try {
      // Another address may have other bytes, unless a hash says what they have to be.
      const same = part !== undefined && (part.meta.url === shownUrl(url) || part.meta.sha256 !== undefined);
      const meta = part?.meta.url === shownUrl(url) ? part.meta : {};
      const connection = await connect(transport, remote, url, same ? part.size : 0, meta, signal);
      const { total = expected.bytes } = connection;
      if (expected.bytes === undefined || total === expected.bytes) return connection;
      await connection.cancel();
      throw new PocketTTSError('pack', `${shownUrl(url)}: expected ${expected.bytes} bytes, found ${total ?? 'other'}`);
    } catch (error) {
      if (!(error instanceof PocketTTSError) || error.code === 'aborted') throw error;
      failures.push(error);
      if (i + 1 < remote.urls.length) transport.onMirror?.(`${error.message}; asking the next hub`);
    }
  }
  const [first] = failures;
  if (first === undefined) {
    const missing = `${remote.identity ?? remote.pack} is not in the cache, and no hub may be asked for it`;
    const what = (remote.identity ?? remote.pack).startsWith(remote.pack) ? 'it' : `the pack ${remote.pack}`;
    throw new PocketTTSError('network', `${missing}; load ${what} once with a network`);
  }
  if (failures.length === 1) throw first;
  const code = failures.every((failure) => failure.code === first.code) ? first.code : 'network';
  throw new PocketTTSError(code, failures.map(({ message }) => message).join('; '), { cause: first });
}

/** A file that is being opened, read and kept. One for each open(). */
export class Transfer {
  readonly #transport: Transport;
  readonly #remote: Remote;
  readonly #expected: Expected;
  readonly #name: string;
  readonly #signal: AbortSignal | undefined;
  readonly #key: string;
  readonly #hash: Sha256;
  #unlock: (() => void) | undefined;
  #kept: StoredFile | undefined;
  #keptIn: Store | undefined;
  #connection: Connection | undefined;
  /** Connections in a row that brought nothing. */
  #failures = 0;
  #writing: { readonly store: Store; readonly writer: Writer } | undefined;
  /** What the part will be called, as long as nothing has been written. */
  #planned: StoreMeta | undefined;
  #ended = false;
  /** Bytes of the cache have been read and have not been found right. */
  #doubtful = false;
  /** They were not right and are gone. */
  #dropped = false;
  #at = 0;

  constructor(
    transport: Transport,
    remote: Remote,
    expected: Expected,
    name: string,
    signal: AbortSignal | undefined,
  ) {
    this.#transport = transport;
    // Not kept twice; and the browser's cache would complete what was cut, and keep what is damaged, in its own way.
    const kept = transport.cache !== undefined && remote.identity !== undefined;
    this.#remote = kept ? { ...remote, mode: 'no-store' } : remote;
    this.#expected = expected;
    this.#name = name;
    this.#signal = signal;
    this.#key = remote.identity === undefined ? '' : (transport.cache?.key(remote.identity) ?? '');
    this.#hash = transport.sha256();
  }

  /** Nothing of it can come up any more. */
  get settled(): boolean {
    return this.#ended && !this.#doubtful && !this.#dropped;
  }

  async open(): Promise<OpenFile> {
    try {
      const size = await this.#begin();
      const phase = this.#connection === undefined ? 'load' : 'download';
      return { size, phase, verified: true, slices: this.#slices(), close: () => this.#end() };
    } catch (error) {
      await this.#end();
      throw error;
    }
  }

  /** The size, where known. */
  async #begin(): Promise<number | undefined> {
    const signal = this.#signal;
    const cache = this.#key === '' ? undefined : this.#transport.cache;
    if (cache === undefined) {
      this.#connection = await connectAny(this.#transport, this.#remote, undefined, this.#expected, signal);
      return this.#connection.total;
    }
    this.#unlock = await cache.lock(this.#key, signal);
    const found = await cache.find(this.#key);
    if (found.file !== undefined && found.store !== undefined) {
      this.#kept = found.file;
      this.#keptIn = found.store;
      if (this.#fits(found.file, true)) {
        this.#unlock();
        this.#unlock = undefined;
        return found.file.size;
      }
      await this.#forget();
    }
    const part = found.part !== undefined && this.#fits(found.part, false) ? found.part : undefined;
    if (part !== undefined && part.size === part.meta.bytes) {
      // All of it came, and nobody was left to look at it.
      this.#kept = part;
      this.#keptIn = found.store;
      this.#planned = part.meta;
      return part.size;
    }
    this.#connection = await connectAny(this.#transport, this.#remote, part, this.#expected, signal);
    const { url, total, etag, lastModified, resumable, from } = this.#connection;
    const bytes = total ?? this.#expected.bytes;
    const meta: StoreMeta = {
      identity: this.#remote.identity ?? '',
      pack: this.#remote.pack,
      url: shownUrl(url),
      ...(bytes === undefined ? {} : { bytes }),
      ...(this.#expected.sha256 === undefined ? {} : { sha256: this.#expected.sha256 }),
      ...(etag === undefined ? {} : { etag }),
      ...(lastModified === undefined ? {} : { lastModified }),
    };
    if (from > 0) {
      this.#kept = part;
      this.#keptIn = found.store;
    }
    if (resumable) this.#planned = meta;
    return total;
  }

  /** Whether a kept file can be the one that is wanted, by what is known before it is read. */
  #fits({ meta, size }: StoredFile, complete: boolean): boolean {
    const { bytes, sha256 } = this.#expected;
    if (meta.identity !== this.#remote.identity) return false;
    if (sha256 !== undefined && meta.sha256 !== undefined && meta.sha256 !== sha256) return false;
    const total = bytes ?? meta.bytes;
    if (meta.bytes !== undefined && meta.bytes !== total) return false;
    return complete ? meta.sha256 !== undefined && size === meta.bytes : size > 0 && (total === undefined || size <= total);
  }

  async *#slices(): AsyncGenerator<Uint8Array> {
    const pass = (slice: Uint8Array): Uint8Array => {
      this.#hash.update(slice);
      this.#at += slice.length;
      return slice;
    };
    try {
      if (this.#kept !== undefined) {
        this.#doubtful = true;
        for await (const slice of this.#readKept(this.#kept)) yield pass(slice);
      }
      // Not before its first bytes have been read: from here on the part is the writer's.
      if (this.#planned !== undefined) {
        this.#writing = await this.#transport.cache?.write(this.#key, this.#planned, this.#kept !== undefined);
      }
      if (this.#connection !== undefined) {
        for await (const slice of this.#received(this.#connection)) {
          throwIfAborted(this.#signal);
          if (this.#at === 0 && looksLikeHtml(slice)) throw htmlError(this.#name);
          // Written while it is used.
          const written = this.#write(slice);
          yield pass(slice);
          await written;
        }
      }
      await this.#finish();
    } finally {
      await this.#end();
    }
  }

  async *#readKept(kept: StoredFile): AsyncGenerator<Uint8Array> {
    let size = 0;
    try {
      for await (const slice of kept.read()) {
        throwIfAborted(this.#signal);
        size += slice.length;
        if (size > kept.size) break;
        yield slice;
      }
    } catch (error) {
      if (error instanceof PocketTTSError) throw error;
      await this.#forget();
      throw new PocketTTSError('pack', `${this.#name}: the copy in the cache cannot be read`, { cause: error });
    }
    if (size !== kept.size) {
      await this.#forget();
      throw new PocketTTSError('pack', `${this.#name}: the copy in the cache: expected ${kept.size} bytes, found ${size}`);
    }
  }

  /** What comes from the network, over as many connections as it takes; bytes that were there before are left out. */
  async *#received(first: Connection): AsyncGenerator<Uint8Array> {
    // What the rest has to go with.
    let origin = first;
    let connection = first;
    // Not known: a body that ends is one that is complete.
    const size = first.total ?? this.#expected.bytes;
    for (;;) {
      let skip = this.#at - connection.from;
      try {
        for await (const slice of connection.slices) {
          const rest = slice.subarray(Math.min(skip, slice.length));
          skip -= slice.length - rest.length;
          if (rest.length === 0) continue;
          this.#failures = 0;
          yield rest;
        }
        if (size === undefined || this.#at >= size) return;
        throw new Cut('network', `${this.#name}: the transfer broke off: expected ${size} bytes, found ${this.#at}`);
      } catch (error) {
        connection = await this.#reconnect(origin, size, error);
        if (connection.url !== origin.url) origin = connection;
        this.#connection = connection;
      }
    }
  }

  /** Waits and asks for the rest, as long as that is worth a try; then the next hub. */
  async #reconnect(origin: Connection, bytes: number | undefined, cut: unknown): Promise<Connection> {
    const { url, etag, lastModified } = origin;
    let error = cut;
    for (;;) {
      // Whoever reads this went away, or the server said no.
      if (!(error instanceof Cut) && !retryable(error)) throw error;
      if (this.#failures >= RECONNECTIONS || !origin.resumable) return this.#elsewhere(origin, bytes, error as PocketTTSError);
      const wait = RECONNECT_MS * 2 ** this.#failures;
      this.#failures += error instanceof Stalled ? STALL_COUNTS : 1;
      await pause(wait, this.#signal);
      try {
        const next = await connect(this.#transport, this.#remote, url, this.#at, { etag, lastModified, bytes }, this.#signal);
        if (!differ(etag, next.etag) && !differ(lastModified, next.lastModified) && (next.total ?? bytes) === bytes) return next;
        await next.cancel();
        await this.#discard();
        throw new PocketTTSError('pack', `${this.#name}: the file changed while it was being fetched; load again`);
      } catch (again) {
        error = again;
      }
    }
  }

  /** The rest from another hub: of those that follow, the first that has the same file for certain. */
  async #elsewhere(origin: Connection, bytes: number | undefined, cut: PocketTTSError): Promise<Connection> {
    const { urls } = this.#remote;
    const failures = [cut];
    for (const url of urls.slice(urls.indexOf(origin.url) + 1)) {
      this.#transport.onMirror?.(`${failures.at(-1)?.message ?? ''}; asking the next hub for the rest`);
      try {
        const next = await connect(this.#transport, this.#remote, url, this.#at, { bytes }, this.#signal);
        // What has been used cannot be taken back: a hash has to say that the two are one file, or a strong validator.
        const named = origin.etag?.startsWith('"') === true && next.etag === origin.etag;
        if ((this.#expected.sha256 !== undefined || named) && bytes !== undefined && next.total === bytes) {
          this.#failures = 0;
          return next;
        }
        await next.cancel();
        failures.push(new PocketTTSError('network', `${shownUrl(url)}: nothing says that it is the same file`));
      } catch (error) {
        if (!(error instanceof PocketTTSError) || error.code === 'aborted') throw error;
        failures.push(error);
      }
    }
    if (failures.length === 1) throw cut;
    throw new PocketTTSError('network', failures.map(({ message }) => message).join('; '), { cause: cut });
  }

  /** To the cache. One that cannot take more is left, for memory if it fits. */
  async #write(slice: Uint8Array): Promise<void> {
    const writing = this.#writing;
    const before = this.#at;
    if (writing === undefined) return;
    try {
      await writing.writer.write(slice);
    } catch (error) {
      // The slice is used by others, but stays as it is until this has ended.
      this.#writing = undefined;
      await this.#moveOn(writing, error, before, slice).catch(() => undefined);
    }
  }

  async #moveOn({ store, writer }: { store: Store; writer: Writer }, error: unknown, size: number, slice: Uint8Array): Promise<void> {
    const { cache } = this.#transport;
    await writer.close().catch(() => undefined);
    const next = await cache?.demote(store, error);
    const part = await store.find(this.#key).then(({ part: found }) => found, () => undefined);
    if (next !== undefined && next !== store && part !== undefined && part.size >= size) {
      const { writer: moved } = (await cache?.write(this.#key, part.meta, false)) ?? {};
      let at = 0;
      try {
        for await (const bytes of part.read()) {
          const rest = bytes.subarray(0, size - at);
          await moved?.write(rest);
          at += rest.length;
          if (at === size) break;
        }
        await moved?.write(slice);
        if (moved !== undefined) this.#writing = { store: next, writer: moved };
      } catch {
        await next.remove(this.#key);
      }
    }
    // Room for whoever needs it.
    await store.remove(this.#key);
  }

  /** Everything has come. */
  async #finish(): Promise<void> {
    const found = this.#hash.hex();
    const expected = this.#expected.sha256 ?? (this.#connection === undefined ? this.#kept?.meta.sha256 : undefined);
    const { bytes } = this.#expected;
    if ((expected !== undefined && found !== expected) || (bytes !== undefined && bytes !== this.#at)) {
      if (this.#doubtful) await this.#forget();
      await this.#discard();
      const [wanted, got] =
        bytes !== undefined && bytes !== this.#at
          ? [`${bytes} bytes`, `${this.#at}`]
          : [`sha256 ${expected ?? ''}`, found];
      throw new PocketTTSError('pack', `${this.#name}: expected ${wanted}, found ${got}`);
    }
    this.#doubtful = false;
    const writing = this.#writing;
    if (writing === undefined) return;
    this.#writing = undefined;
    const before = this.#connection === undefined ? this.#kept?.meta : undefined;
    const { etag, lastModified } = this.#connection ?? before ?? {};
    try {
      await writing.writer.commit({
        identity: this.#remote.identity ?? '',
        pack: this.#remote.pack,
        url: this.#connection === undefined ? (before?.url ?? '') : shownUrl(this.#connection.url),
        bytes: this.#at,
        sha256: found,
        ...(etag === undefined ? {} : { etag }),
        ...(lastModified === undefined ? {} : { lastModified }),
      });
      if (this.#at >= PERSIST_BYTES) await writing.store.persist();
    } catch (error) {
      await this.#transport.cache?.demote(writing.store, error);
      await writing.store.remove(this.#key).catch(() => undefined);
    }
  }

  /** The part that is being written is not worth keeping. */
  async #discard(): Promise<void> {
    const writing = this.#writing;
    this.#writing = undefined;
    await writing?.writer.close().catch(() => undefined);
    await writing?.store.remove(this.#key).catch(() => undefined);
  }

  /** The copy in the cache is damaged, or not what is wanted. */
  async #forget(): Promise<void> {
    const store = this.#keptIn;
    this.#kept = undefined;
    this.#doubtful = false;
    this.#dropped = true;
    await this.#discard();
    await store?.remove(this.#key).catch(() => undefined);
  }

  /**
   * After a failure: whether bytes of the cache were in it that are not right, or may not be. They are gone then, and
   * loading again fetches them.
   */
  async suspect(): Promise<boolean> {
    if (this.#dropped) {
      this.#dropped = false;
      return true;
    }
    const { cache, sha256 } = this.#transport;
    if (!this.#doubtful || cache === undefined) return false;
    this.#doubtful = false;
    const { file, part, store } = await cache.find(this.#key);
    if (file !== undefined) {
      const hash = sha256();
      for await (const slice of file.read()) hash.update(slice);
      if (hash.hex() === file.meta.sha256) return false;
    } else if (part === undefined) return false;
    await store?.remove(this.#key).catch(() => undefined);
    return true;
  }

  /** Frees what is held; a part stays for the next time. */
  async #end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    const writing = this.#writing;
    this.#writing = undefined;
    try {
      await this.#connection?.cancel();
      // An empty part is none.
      if (writing !== undefined && this.#at === 0 && this.#kept === undefined) {
        await writing.writer.close();
        await writing.store.remove(this.#key);
      } else await writing?.writer.close();
    } catch {
      // Nothing that the caller could do about it.
    } finally {
      this.#unlock?.();
      this.#unlock = undefined;
    }
  }
}

/** Whether nobody answered. A server that answers is right, whatever it says. */
export function unreachable(error: unknown): boolean {
  return error instanceof PocketTTSError && error.code === 'network' && !(error instanceof StatusError);
}

/** Whether a request may succeed a little later. */
function retryable(error: unknown): boolean {
  if (error instanceof StatusError) return error.status >= 500;
  return error instanceof PocketTTSError && error.code === 'network';
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const waiting = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  try {
    await abortable(waiting, signal);
  } finally {
    clearTimeout(timer);
  }
}
