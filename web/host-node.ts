// Node: packs from folders (or URLs), files read in slices with one buffer, the engine from the package's own folder.
import { createHash } from 'node:crypto';
import type { Stats } from 'node:fs';
import { open, realpath, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { isAbsolute, join, relative, resolve, sep } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Transferable as NodeTransferable } from 'node:worker_threads';
import { describe, PocketTTSError, shown, throwIfAborted } from './errors.js';
import type { ErrorCode } from './errors.js';
import { sharedMemory } from './cache.js';
import { fetchFile, once, packUrl, readAll } from './host.js';
import type { Host, Link, LinkEvents, OpenFile, PackageUrls, Source } from './host.js';
import { hubPath } from './hub-cache.js';
import { prefixSource } from './remote-source.js';
import { cacheFolder, folderStore } from './store-node.js';

const SLICE_BYTES = 1 << 20;
/** Bytes of an engine. */
const WASM_LIMIT = 1 << 25;

/** Why a file system call failed, without its own idea of what it was called with. */
export function fileReason(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT') return 'no such file or directory';
  if (code === 'EISDIR') return 'is a folder';
  return describe(error).replace(/^E[A-Z0-9]+: (.*?), [a-z]+( '.*)?$/s, '$1');
}

/** The error for a file system call that failed on `path`. */
export function fileError(error: unknown, path: string): PocketTTSError {
  return new PocketTTSError('not-found', `${path}: ${fileReason(error)}`, { cause: error });
}

/** Refuses what is not a plain file before it is opened: opening a FIFO would wait for ever. `what` names it. */
export async function plainFile(path: string, code: ErrorCode, what = path): Promise<Stats> {
  const found = await stat(path).catch((error: unknown) => {
    throw fileError(error, what);
  });
  if (found.isFile()) return found;
  const kind = found.isDirectory() ? 'a folder' : found.isFIFO() ? 'a FIFO' : found.isSocket() ? 'a socket' : 'a device';
  throw new PocketTTSError(code, `${what}: expected a plain file, found ${kind}`);
}

/** A plain file, to be read in slices. */
export async function openFile(path: string, signal?: AbortSignal): Promise<OpenFile> {
  const failed = (error: unknown): never => {
    throw fileError(error, path);
  };
  const { size } = await plainFile(path, 'pack');
  const handle = await open(path).catch(failed);
  return {
    size,
    slices: (async function* () {
      const buffer = new Uint8Array(SLICE_BYTES);
      for (;;) {
        throwIfAborted(signal);
        const { bytesRead } = await handle.read(buffer).catch(failed);
        if (bytesRead === 0) return;
        yield buffer.subarray(0, bytesRead);
      }
    })(),
    close: () => handle.close(),
  };
}

/** A folder. Absolute paths are taken as they are (configurations may name files elsewhere); a pack's own are relative. */
export function folderSource(folder: string): Source {
  return {
    where: folder,
    open: async (path, signal) => {
      if (isAbsolute(path)) return openFile(path, signal);
      const place = join(folder, path);
      await plainFile(place, 'pack');
      const inside = relative(await realpath(folder), await realpath(place));
      if (inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside)) {
        throw new PocketTTSError('pack', `${place}: leads out of the pack`);
      }
      return openFile(place, signal);
    },
  };
}

/** The files of this package: this module runs from dist/. */
function packageFile(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

/** Not with the arguments of this process, which may be for its main script only. */
const WORKER = { execArgv: [], name: 'pocket-tts' };

function connect(worker: Worker, { receive, fail }: LinkEvents): Link {
  let ending = false;
  const failed = (error: unknown): void => {
    if (!ending) fail(error);
  };
  worker.on('message', receive);
  worker.on('messageerror', failed);
  worker.on('error', failed);
  worker.on('exit', (code) => {
    failed(new Error(`it ended with exit code ${code}`));
  });
  worker.unref();
  return {
    post: (message, transfer) => {
      worker.postMessage(message, transfer as NodeTransferable[]);
    },
    ref: () => {
      worker.ref();
    },
    unref: () => {
      if (!ending) worker.unref();
    },
    terminate: async () => {
      ending = true;
      // Somebody may wait for the end.
      worker.ref();
      await worker.terminate();
    },
  };
}

/** What a URL or path of the caller names: a file of this machine, or a URL to fetch. */
function placeOf(name: string, place: string | URL): URL {
  if (typeof place === 'string' && !/^[a-z][a-z0-9+.-]+:/i.test(place)) return pathToFileURL(resolve(place));
  const url = URL.canParse(String(place)) ? new URL(place) : undefined;
  if (url !== undefined && /^(file|https?):$/.test(url.protocol)) return url;
  throw new PocketTTSError('argument', `${name}: expected a path or a URL of http, https or file, found ${shown(String(place))}`);
}

async function compile(place: URL): Promise<WebAssembly.Module> {
  if (place.protocol !== 'file:') {
    const file = await fetchFile(place);
    return WebAssembly.compile(await readAll(file, place.href, WASM_LIMIT, 'unsupported'));
  }
  const path = fileURLToPath(place);
  await plainFile(path, 'unsupported');
  return WebAssembly.compile(await readAll(await openFile(path), path, WASM_LIMIT, 'unsupported'));
}

export const nodeHost: Host = {
  wasm: once(() => compile(new URL('./pocket_tts.wasm', import.meta.url))),
  starter: () => folderSource(packageFile('../models/starter')),
  source(pack, transport) {
    if (typeof pack === 'string' && !/^(https?|file):|^[a-z][a-z0-9+.-]+:\/\//i.test(pack)) {
      return folderSource(resolve(pack));
    }
    const url = packUrl(pack);
    if (/^https?:$/.test(url.protocol)) return prefixSource(url, transport);
    if (url.protocol !== 'file:') {
      const expected = 'a folder or a URL of http, https or file';
      throw new PocketTTSError('unsupported', `pack: expected ${expected}, found ${shown(url.href)}`);
    }
    try {
      return folderSource(fileURLToPath(url));
    } catch (error) {
      const expected = 'a URL of this machine (file:///folder)';
      throw new PocketTTSError('argument', `pack: expected ${expected}, found ${shown(url.href)}`, { cause: error });
    }
  },
  stores(cache) {
    if (cache === 'none') return [];
    if (cache === 'memory') return [sharedMemory];
    if (cache === 'auto' || cache === 'folder') return [() => Promise.resolve(folderStore(cacheFolder())), sharedMemory];
    throw new PocketTTSError('unsupported', `cache: there is no "${cache}" in Node`);
  },
  quota: () => Promise.resolve({}),
  async hubFile(address, signal) {
    const path = await hubPath(address);
    return path === undefined ? undefined : openFile(path, signal);
  },
  sha256() {
    const hash = createHash('sha256');
    return {
      update: (bytes) => {
        hash.update(bytes);
      },
      hex: () => hash.digest('hex'),
    };
  },
  pause: () => setImmediate(),
  isolated: () => true,
  workers: {
    cores: availableParallelism,
    usable: () => true,
    preferred: () => false,
    // Written in one piece: so bundlers know it for a worker.
    start: (events) => connect(new Worker(new URL('./worker-node.js', import.meta.url), WORKER), events),
  },
};

/** The host with the files of the package where the caller says. */
export function nodeHostWith({ wasmUrl, workerUrl }: PackageUrls): Host {
  if (wasmUrl === undefined && workerUrl === undefined) return nodeHost;
  const wasm = wasmUrl === undefined ? undefined : placeOf('wasmUrl', wasmUrl);
  const script = workerUrl === undefined ? undefined : placeOf('workerUrl', workerUrl);
  if (script !== undefined && script.protocol !== 'file:') {
    throw new PocketTTSError('argument', `workerUrl: expected a file, found ${shown(script.href)}`);
  }
  return {
    ...nodeHost,
    ...(wasm === undefined ? {} : { wasm: once(() => compile(wasm)) }),
    ...(script === undefined
      ? {}
      : { workers: { ...nodeHost.workers, start: (events) => connect(new Worker(script, WORKER), events) } }),
  };
}
