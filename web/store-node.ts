// The user's cache folder in Node: KEY is a file, KEY.json its meta, KEY.part-OWNER a part that process OWNER is fetching,
// KEY.part one that nobody fetches.
//
// Parts change hands by rename, which one process wins: two of them never write into one file, and one that was killed
// leaves a part that the next takes over.
import { randomBytes } from 'node:crypto';
import type { Stats } from 'node:fs';
import { lstat, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { throwIfAborted } from './errors.js';
import { keysOf, localLocks, parseMeta, storeError } from './store.js';
import type { Store, StoredFile, StoreMeta } from './store.js';

const SLICE_BYTES = 1 << 20;
/** How often a part of another process is looked at, and how long it may stand still before it is not waited for. */
const LOOK_MS = 250;
const STILL_MS = 60_000;

/** POCKET_TTS_CACHE, else pocket-tts-wasm/packs in what the system has for caches. */
export function cacheFolder(): string {
  const { POCKET_TTS_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (POCKET_TTS_CACHE) return POCKET_TTS_CACHE;
  if (XDG_CACHE_HOME) return join(XDG_CACHE_HOME, 'pocket-tts-wasm', 'packs');
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'pocket-tts-wasm', 'packs');
  if (process.platform === 'win32') return join(LOCALAPPDATA ?? join(homedir(), 'AppData', 'Local'), 'pocket-tts-wasm', 'packs');
  return join(homedir(), '.cache', 'pocket-tts-wasm', 'packs');
}

/** undefined where there is no such file. */
async function unlessMissing<T>(work: Promise<T>, missing: readonly unknown[] = ['ENOENT']): Promise<T | undefined> {
  return work.catch((error: unknown) => {
    if (missing.includes((error as { code?: unknown } | null)?.code)) return undefined;
    throw storeError(error);
  });
}

/** A plain file; undefined for what is none. Opening a FIFO would wait for ever. */
async function plain(path: string): Promise<Stats | undefined> {
  const found = await unlessMissing(stat(path), ['ENOENT', 'ELOOP']);
  return found?.isFile() === true ? found : undefined;
}

async function* read(path: string, size: number): AsyncGenerator<Uint8Array> {
  const handle = await open(path);
  try {
    const buffer = new Uint8Array(Math.min(SLICE_BYTES, size));
    for (let at = 0; at < size; ) {
      const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, size - at));
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Somebody else's process is alive too.
    return (error as { code?: unknown }).code === 'EPERM';
  }
}

/** Of this thread: for all loads. */
const mine = localLocks();
/** The parts that this thread writes. */
const writing = new Set<string>();

/**
 * Whether the process that wrote a part has ended. The number of this one may have been another's: in a container every first
 * process is number 1. What is older than this process is not of one of its threads; the clock may have been set back.
 */
function orphaned(pid: number, modified: number): boolean {
  if (pid !== process.pid) return !alive(pid);
  return modified < Date.now() - process.uptime() * 1000 || modified > Date.now() + STILL_MS;
}

export function folderStore(folder: string): Store {
  const path = (name: string): string => join(folder, name);
  const meta = async (key: string): Promise<StoreMeta | undefined> => {
    const name = path(`${key}.json`);
    const text = (await plain(name)) === undefined ? undefined : await unlessMissing(readFile(name, 'utf8'));
    return text === undefined ? undefined : parseMeta(text);
  };
  const stored = async (key: string, name: string): Promise<StoredFile | undefined> => {
    const found = await plain(path(name));
    const known = found === undefined ? undefined : await meta(key);
    return found === undefined || known === undefined
      ? undefined
      : { meta: known, size: found.size, read: () => read(path(name), found.size) };
  };
  // Whole or not at all, also for who reads it meanwhile.
  const putMeta = async (key: string, content: StoreMeta): Promise<void> => {
    const fresh = path(`${key}.json-${randomBytes(6).toString('hex')}`);
    await writeFile(fresh, JSON.stringify(content));
    await rename(fresh, path(`${key}.json`));
  };
  const names = async (): Promise<string[]> => (await unlessMissing(readdir(folder))) ?? [];
  /** A folder in the place of a file, which would take none. */
  const removeFolder = async (name: string): Promise<void> => {
    if ((await unlessMissing(lstat(path(name))))?.isDirectory()) await rm(path(name), { recursive: true });
  };
  const owned = async (key: string): Promise<{ name: string; pid: number }[]> =>
    (await names()).flatMap((name) => {
      const pid = name.startsWith(`${key}.part-`) ? /-(\d+)-[0-9a-f]+$/.exec(name)?.[1] : undefined;
      return pid === undefined ? [] : [{ name, pid: Number(pid) }];
    });
  /** Waits for other processes that fetch the file, and takes over what dead ones left. */
  const waitForOthers = async (key: string, signal: AbortSignal | undefined): Promise<void> => {
    for (;;) {
      throwIfAborted(signal);
      let busy = false;
      for (const { name, pid } of await owned(key)) {
        if (writing.has(path(name))) continue;
        const found = await lstat(path(name)).catch(() => undefined);
        if (found?.isFile() !== true) continue;
        if (orphaned(pid, found.mtimeMs)) {
          await removeFolder(`${key}.part`);
          await unlessMissing(rename(path(name), path(`${key}.part`)));
        } else busy ||= Math.abs(Date.now() - found.mtimeMs) < STILL_MS;
      }
      if (!busy) return;
      await setTimeout(LOOK_MS, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
    }
  };

  return {
    kind: 'folder',
    where: folder,
    async lock(key, signal) {
      const leave = await mine(path(key), signal);
      try {
        await waitForOthers(key, signal);
        return leave;
      } catch (error) {
        leave();
        throw error;
      }
    },
    async find(key) {
      const file = await stored(key, key);
      const part = file === undefined ? await stored(key, `${key}.part`) : undefined;
      return { ...(file === undefined ? {} : { file }), ...(part === undefined ? {} : { part }) };
    },
    async write(key, begun, resume) {
      const name = path(`${key}.part-${process.pid}-${randomBytes(6).toString('hex')}`);
      const failed = (error: unknown): never => {
        throw storeError(error);
      };
      await mkdir(folder, { recursive: true }).catch(failed);
      for (const other of [key, `${key}.json`, `${key}.part`]) await removeFolder(other).catch(failed);
      if (!resume) await rm(path(`${key}.part`), { force: true }).catch(failed);
      writing.add(name);
      const release = (error: unknown): never => {
        writing.delete(name);
        return failed(error);
      };
      if (resume) await rename(path(`${key}.part`), name).catch(release);
      const handle = await open(name, 'a').catch(release);
      const end = async (): Promise<void> => {
        await handle.close();
        await unlessMissing(rename(name, path(`${key}.part`)));
        writing.delete(name);
      };
      await putMeta(key, begun).catch(async (error: unknown) => {
        await end();
        return failed(error);
      });
      return {
        async write(bytes) {
          for (let at = 0; at < bytes.length; ) {
            at += (await handle.write(bytes, at, bytes.length - at).catch(failed)).bytesWritten;
          }
        },
        async commit(last) {
          try {
            await handle.sync();
            await handle.close();
            await putMeta(key, last);
            await rename(name, path(key));
          } catch (error) {
            failed(error);
          } finally {
            writing.delete(name);
          }
        },
        close: () => end().catch(failed),
      };
    },
    async remove(key) {
      let failure: unknown;
      for (const name of await names()) {
        if (name !== key && !name.startsWith(`${key}.`)) continue;
        await rm(path(name), { recursive: true, force: true }).catch((error: unknown) => {
          failure ??= error;
        });
      }
      if (failure !== undefined) throw storeError(failure);
    },
    async keys() {
      // A lock of the Go package alone is nothing.
      return keysOf((await names()).filter((name) => !name.endsWith('.lock')), /^([0-9a-f]{40})(?:\.|$)/);
    },
    async list() {
      const kept = [];
      for (const name of await names()) {
        const [, key, part] = /^([0-9a-f]{40})(\.part(?:-.*)?)?$/.exec(name) ?? [];
        const file = key === undefined ? undefined : await stored(key, name).catch(() => undefined);
        if (key === undefined || file === undefined) continue;
        kept.push({ key, meta: file.meta, size: file.size, complete: part === undefined });
      }
      return kept;
    },
    persist: () => Promise.resolve(),
  };
}
