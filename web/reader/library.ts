// Documents, places and settings, in IndexedDB.
import { openDB } from 'idb';
import type { DBSchema, IDBPDatabase } from 'idb';
import type { Place } from './place.js';

/** A document without its content. */
export interface Entry {
  readonly id: string;
  readonly title: string;
  /** Milliseconds since 1970. */
  readonly added: number;
  readonly opened: number;
  readonly place?: Place;
}

export interface Settings {
  readonly rate: number;
  /** By name; undefined: the pack's own choice. */
  readonly voice?: string;
}

interface Schema extends DBSchema {
  entries: { key: string; value: Entry };
  /** Sanitised HTML. */
  contents: { key: string; value: { readonly id: string; readonly html: string } };
  settings: { key: string; value: Settings };
}

const DEFAULTS: Settings = { rate: 1 };

/**
 * Where the browser keeps nothing (storage is forbidden, or full), the page does, as long as it is open.
 */
export class Library {
  readonly #db: IDBPDatabase<Schema> | undefined;
  readonly #lacking: (error: unknown) => void;
  /** What is in this page only. */
  readonly #loose = new Map<string, { entry: Entry; readonly html: string }>();
  #settings: Settings | undefined;
  /** What it was that failed last. */
  #error: unknown;

  private constructor(db: IDBPDatabase<Schema> | undefined, lacking: (error: unknown) => void) {
    this.#db = db;
    this.#lacking = lacking;
  }

  /** `lacking` is told of every document that is not kept, and the first time that anything is not. */
  static async open(lacking: (error: unknown) => void): Promise<Library> {
    try {
      const db = await openDB<Schema>('pocket-tts-reader', 1, {
        upgrade(created) {
          created.createObjectStore('entries', { keyPath: 'id' });
          created.createObjectStore('contents', { keyPath: 'id' });
          created.createObjectStore('settings');
        },
        // A newer page wants to change the schema.
        blocking() {
          db.close();
        },
      });
      return new Library(db, lacking);
    } catch (error) {
      const library = new Library(undefined, lacking);
      library.#lacks(error);
      return library;
    }
  }

  #lacks(error: unknown): void {
    const first = this.#error === undefined;
    this.#error = error;
    if (first) this.#lacking(error);
  }

  /** What the browser does with what it keeps; undefined where that fails. What fails in a transaction fails its `done` as well. */
  async #kept<T>(work: (db: IDBPDatabase<Schema>) => Promise<T>): Promise<T | undefined> {
    if (this.#db === undefined) return undefined;
    try {
      return await work(this.#db);
    } catch (error) {
      this.#lacks(error);
      return undefined;
    }
  }

  /** The last opened first. */
  async entries(): Promise<Entry[]> {
    const kept = (await this.#kept((db) => db.getAll('entries'))) ?? [];
    const loose = [...this.#loose.values()].map(({ entry }) => entry);
    return [...kept, ...loose].sort((a, b) => b.opened - a.opened);
  }

  async add(title: string, html: string): Promise<Entry> {
    const now = Date.now();
    const entry: Entry = { id: crypto.randomUUID(), title, added: now, opened: now };
    const kept = await this.#kept(async (db) => {
      const change = db.transaction(['entries', 'contents'], 'readwrite');
      change.done.catch(() => undefined);
      await Promise.all([
        change.objectStore('entries').put(entry),
        change.objectStore('contents').put({ id: entry.id, html }),
        change.done,
      ]);
      return true;
    });
    if (kept !== true) {
      this.#loose.set(entry.id, { entry, html });
      this.#lacking(this.#error);
      return entry;
    }
    // Without it a browser may throw documents away when it is short of space. Nobody waits: some ask the user first.
    void (navigator.storage as StorageManager | undefined)?.persist().catch(() => false);
    return entry;
  }

  async read(id: string): Promise<{ readonly entry: Entry; readonly html: string } | undefined> {
    const loose = this.#loose.get(id);
    if (loose !== undefined) return loose;
    const found = await this.#kept((db) => Promise.all([db.get('entries', id), db.get('contents', id)]));
    const [entry, content] = found ?? [];
    return entry === undefined || content === undefined ? undefined : { entry, html: content.html };
  }

  /** Changes what is known of a document; one that was removed stays removed. */
  async update(id: string, change: Partial<Omit<Entry, 'id'>>): Promise<void> {
    const loose = this.#loose.get(id);
    if (loose !== undefined) {
      loose.entry = { ...loose.entry, ...change };
      return;
    }
    await this.#kept(async (db) => {
      const { store, done } = db.transaction('entries', 'readwrite');
      done.catch(() => undefined);
      const entry = await store.get(id);
      if (entry !== undefined) await store.put({ ...entry, ...change });
      await done;
    });
  }

  async remove(id: string): Promise<void> {
    this.#loose.delete(id);
    await this.#kept(async (db) => {
      const change = db.transaction(['entries', 'contents'], 'readwrite');
      await Promise.all([change.objectStore('entries').delete(id), change.objectStore('contents').delete(id), change.done]);
    });
  }

  async settings(): Promise<Settings> {
    return { ...DEFAULTS, ...(await this.#kept((db) => db.get('settings', 'reader'))), ...this.#settings };
  }

  async set(settings: Settings): Promise<void> {
    this.#settings = settings;
    await this.#kept((db) => db.put('settings', settings, 'reader'));
  }
}
