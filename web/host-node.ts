// Node: packs from folders (or URLs), files read in slices with one buffer, the engine from the package's own folder.
import { createHash } from 'node:crypto';
import type { Stats } from 'node:fs';
import { open, readFile, realpath, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { isAbsolute, join, relative, resolve, sep } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Transferable as NodeTransferable } from 'node:worker_threads';
import { describe, PocketTTSError, shown, throwIfAborted } from './errors.js';
import type { ErrorCode } from './errors.js';
import { once, packUrl, urlSource } from './host.js';
import type { Host, OpenFile, Source } from './host.js';

const SLICE_BYTES = 1 << 20;

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

export const nodeHost: Host = {
  wasm: once(async () => {
    const path = packageFile('./pocket_tts.wasm');
    const bytes = await readFile(path).catch((error: unknown) => {
      throw fileError(error, path);
    });
    return WebAssembly.compile(bytes);
  }),
  starter: () => folderSource(packageFile('../models/starter')),
  source(pack) {
    if (typeof pack === 'string' && !/^(https?|file):|^[a-z][a-z0-9+.-]+:\/\//i.test(pack)) {
      return folderSource(resolve(pack));
    }
    const url = packUrl(pack);
    if (/^https?:$/.test(url.protocol)) return urlSource(url);
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
  workers: {
    cores: availableParallelism,
    usable: () => true,
    preferred: () => false,
    start({ receive, fail }) {
      // Not with the arguments of this process, which may be for its main script only.
      const worker = new Worker(new URL('./worker-node.js', import.meta.url), { execArgv: [], name: 'pocket-tts' });
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
    },
  },
};
