// The worker's side of OPFS (store-browser.ts): one part, written in place, so that what has come stays when the page goes.
import type { StoreMeta } from './store.js';

/** The folder of OPFS, and the name of the cache in the Cache API. */
export const FOLDER = 'pocket-tts-wasm';

export interface StoreCalls {
  readonly open: { readonly key: string; readonly meta: StoreMeta; readonly resume: boolean };
  /** The first `length` bytes of a buffer, which comes back as the answer. */
  readonly write: { readonly buffer: Uint8Array<ArrayBuffer>; readonly length: number };
  readonly commit: { readonly meta: StoreMeta };
  readonly close: undefined;
}

export interface StoreReply {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: { readonly name: string; readonly message: string };
}

type StoreCall = {
  [N in keyof StoreCalls]: { readonly id: number; readonly op: N; readonly args: StoreCalls[N] };
}[keyof StoreCalls];

/** Of the types of workers, which those of pages exclude. */
interface SyncAccess {
  read(buffer: Uint8Array, options?: { at: number }): number;
  write(buffer: Uint8Array, options?: { at: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}
type WorkerFile = FileSystemFileHandle & {
  createSyncAccessHandle(): Promise<SyncAccess>;
  move(name: string): Promise<void>;
};

function writeAll(access: SyncAccess, bytes: Uint8Array, at: number): void {
  for (let done = 0; done < bytes.length; ) {
    const written = access.write(bytes.subarray(done), { at: at + done });
    if (written === 0) throw new DOMException('the browser takes no more bytes', 'QuotaExceededError');
    done += written;
  }
}

async function open(name: string): Promise<{ file: WorkerFile; access: SyncAccess }> {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle(FOLDER, { create: true });
  const file = (await folder.getFileHandle(name, { create: true })) as WorkerFile;
  return { file, access: await file.createSyncAccessHandle() };
}

async function putMeta(key: string, meta: StoreMeta): Promise<void> {
  const { access } = await open(`${key}.json`);
  try {
    const bytes = new TextEncoder().encode(JSON.stringify(meta));
    access.truncate(0);
    writeAll(access, bytes, 0);
    access.flush();
  } finally {
    access.close();
  }
}

export function serveStore(port: MessagePort): void {
  let part: { readonly file: WorkerFile; readonly access: SyncAccess; readonly key: string; size: number } | undefined;
  const opened = (): NonNullable<typeof part> => {
    if (part === undefined) throw new Error('no part is open');
    return part;
  };
  const run = async (call: StoreCall): Promise<unknown> => {
    switch (call.op) {
      case 'open': {
        const { key, meta, resume } = call.args;
        const { file, access } = await open(`${key}.part`);
        if (!resume) access.truncate(0);
        part = { file, access, key, size: access.getSize() };
        await putMeta(key, meta);
        return part.size;
      }
      case 'write': {
        const { buffer, length } = call.args;
        const { access, size } = opened();
        try {
          writeAll(access, buffer.subarray(0, length), size);
        } catch (error) {
          // Whole slices or nothing of them.
          access.truncate(size);
          throw error;
        }
        opened().size += length;
        return buffer;
      }
      case 'commit': {
        const { file, access, key } = opened();
        access.flush();
        access.close();
        part = undefined;
        await putMeta(key, call.args.meta);
        await file.move(key);
        return undefined;
      }
      case 'close':
        part?.access.flush();
        part?.access.close();
        part = undefined;
        return undefined;
    }
  };
  let last: Promise<unknown> = Promise.resolve();
  port.onmessage = ({ data }) => {
    const call = data as StoreCall;
    last = last.then(async () => {
      try {
        const value = await run(call);
        const transfer = call.op === 'write' ? [call.args.buffer.buffer] : [];
        port.postMessage({ id: call.id, value } satisfies StoreReply, transfer);
      } catch (error) {
        const { name, message } = error as Error;
        port.postMessage({ id: call.id, error: { name, message } } satisfies StoreReply);
      }
    });
  };
}
