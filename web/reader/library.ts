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

export class Library {
  readonly #db: IDBPDatabase<Schema>;

  private constructor(db: IDBPDatabase<Schema>) {
    this.#db = db;
  }

  static async open(): Promise<Library> {
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
    return new Library(db);
  }

  /** The last opened first. */
  async entries(): Promise<Entry[]> {
    return (await this.#db.getAll('entries')).sort((a, b) => b.opened - a.opened);
  }

  async add(title: string, html: string): Promise<Entry> {
    const now = Date.now();
    const entry: Entry = { id: crypto.randomUUID(), title, added: now, opened: now };
    const change = this.#db.transaction(['entries', 'contents'], 'readwrite');
    await Promise.all([
      change.objectStore('entries').put(entry),
      change.objectStore('contents').put({ id: entry.id, html }),
      change.done,
    ]);
    // Without it a browser may throw documents away when it is short of space. Nobody waits: some ask the user first.
    void (navigator.storage as StorageManager | undefined)?.persist().catch(() => false);
    return entry;
  }

  async read(id: string): Promise<{ entry: Entry; html: string } | undefined> {
    const [entry, content] = await Promise.all([this.#db.get('entries', id), this.#db.get('contents', id)]);
    return entry === undefined || content === undefined ? undefined : { entry, html: content.html };
  }

  /** Changes what is known of a document; one that was removed stays removed. */
  async update(id: string, change: Partial<Omit<Entry, 'id'>>): Promise<void> {
    const { store, done } = this.#db.transaction('entries', 'readwrite');
    const entry = await store.get(id);
    if (entry !== undefined) await store.put({ ...entry, ...change });
    await done;
  }

  async remove(id: string): Promise<void> {
    const change = this.#db.transaction(['entries', 'contents'], 'readwrite');
    await Promise.all([change.objectStore('entries').delete(id), change.objectStore('contents').delete(id), change.done]);
  }

  async settings(): Promise<Settings> {
    return { ...DEFAULTS, ...(await this.#db.get('settings', 'reader')) };
  }

  async set(settings: Settings): Promise<void> {
    await this.#db.put('settings', settings, 'reader');
  }
}
