// The cache of a load(): the first store that works, and the next one when it no longer does.
import { PocketTTSError } from './errors.js';
import type { Sha256 } from './host.js';
import { memoryStore, storeError } from './store.js';
import type { Found, Store, StoreKind, StoreMeta, Writer } from './store.js';

/**
 * Where downloads are kept. `auto`: the cache folder in Node, OPFS in browsers, else the Cache API, else memory (64 MiB at
 * most). `none`: nowhere. The starter voice is part of the package and never in a cache.
 */
export type CacheOption = 'auto' | 'none' | StoreKind;

/** Something that does not stop the loading but is worth a line in a log. */
export interface LoadWarning {
  /**
   * `cache-full`: no room left; what does not fit in memory is fetched again next time. `cache`: the cache cannot be used.
   * `mirror`: a hub failed and the next one was asked. `no-cloning`: the gated weights cannot be had; those without voice
   * cloning are loaded.
   */
  readonly code: 'cache-full' | 'cache' | 'mirror' | 'no-cloning';
  readonly message: string;
}

export type Warn = (warning: LoadWarning) => void;

/** A store that may turn out not to work. */
export type StoreMaker = () => Promise<Store>;

// One for all of a page or process, so that a second load() finds what the first one kept.
let shared: Store | undefined;
export const sharedMemory: StoreMaker = () => Promise.resolve((shared ??= memoryStore()));

export class Cache {
  readonly #makers: StoreMaker[];
  readonly #warn: Warn;
  readonly #sha256: () => Sha256;
  #store: Promise<Store | undefined> | undefined;

  constructor(makers: readonly StoreMaker[], sha256: () => Sha256, warn: Warn = () => undefined) {
    this.#makers = [...makers];
    this.#sha256 = sha256;
    this.#warn = warn;
  }

  /** The name of a file in a store. */
  key(identity: string): string {
    return this.#hashOf(new TextEncoder().encode(identity)).slice(0, 40);
  }

  /** The store in use; undefined when there is none. */
  store(): Promise<Store | undefined> {
    this.#store ??= this.#next();
    return this.#store;
  }

  async #next(): Promise<Store | undefined> {
    for (let make = this.#makers.shift(); make !== undefined; make = this.#makers.shift()) {
      const store = await make().catch(() => undefined);
      if (store !== undefined) return store;
    }
    return undefined;
  }

  /** `store` cannot do its work: warns and goes on to the next; straight to memory when there is no more room. */
  async demote(store: Store, error: unknown): Promise<Store | undefined> {
    if ((await this.store()) !== store) return this.store();
    const { full, message } = storeError(error);
    if (full) this.#makers.splice(0, this.#makers.length - 1);
    this.#store = this.#next();
    const next = await this.#store;
    const instead = next === undefined ? 'nothing is kept' : `${next.where} is used instead`;
    this.#warn({
      code: full ? 'cache-full' : 'cache',
      message: `${store.where}: ${full ? 'no room for this download' : 'cannot be used'} (${message}); ${instead}`,
    });
    return next;
  }

  /** A file or its part: in memory, where it fell back to once, or in the store. */
  async find(key: string): Promise<Found & { readonly store: Store | undefined }> {
    const memory = await sharedMemory();
    const store = await this.store();
    if (store === undefined) return { store };
    const here = store === memory ? {} : await memory.find(key);
    if (here.file !== undefined) return { ...here, store: memory };
    try {
      return { ...(await store.find(key)), store };
    } catch (error) {
      return { store: await this.demote(store, error) };
    }
  }

  /** Keeps a small file whose content may change; a store that does not take it is no news. */
  async remember(identity: string, pack: string, bytes: Uint8Array): Promise<void> {
    const key = this.key(identity);
    const leave = await this.lock(key);
    const store = await this.store();
    try {
      if (store === undefined) return;
      const sha256 = this.#hashOf(bytes);
      const { file } = await store.find(key);
      if (file?.meta.sha256 === sha256 && file.size === bytes.length) return;
      await store.remove(key);
      const meta: StoreMeta = { identity, pack, url: identity, bytes: bytes.length, sha256 };
      const writer = await store.write(key, meta, false);
      await writer.write(bytes);
      await writer.commit(meta);
    } catch {
      await store?.remove(key).catch(() => undefined);
    } finally {
      leave();
    }
  }

  /** What was remembered; undefined when it is not there or damaged. */
  async recall(identity: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const { file } = await this.find(this.key(identity));
    if (file === undefined) return undefined;
    try {
      const bytes = new Uint8Array(file.size);
      let at = 0;
      for await (const slice of file.read()) {
        bytes.set(slice, at);
        at += slice.length;
      }
      return at === file.size && this.#hashOf(bytes) === file.meta.sha256 ? bytes : undefined;
    } catch {
      return undefined;
    }
  }

  #hashOf(bytes: Uint8Array): string {
    const hash = this.#sha256();
    hash.update(bytes);
    return hash.hex();
  }

  /** Waits for its turn to fetch a file. */
  async lock(key: string, signal?: AbortSignal): Promise<() => void> {
    for (let store = await this.store(); store !== undefined; ) {
      try {
        return await store.lock(key, signal);
      } catch (error) {
        if (error instanceof PocketTTSError) throw error;
        store = await this.demote(store, error);
      }
    }
    return () => undefined;
  }

  /** Opens a part for writing; undefined when no store takes it. `resume`: in the store where it was found only. */
  async write(key: string, meta: StoreMeta, resume: boolean): Promise<{ store: Store; writer: Writer } | undefined> {
    for (let store = await this.store(); store !== undefined; ) {
      try {
        return { store, writer: await store.write(key, meta, resume) };
      } catch (error) {
        store = await this.demote(store, error);
        // What is resumed has its first bytes where it was.
        if (resume) return undefined;
      }
    }
    return undefined;
  }
}
