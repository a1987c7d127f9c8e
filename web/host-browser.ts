// Browsers: everything by fetch. No global is touched before a call, so that importing is safe on a server.
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { sharedMemory } from './cache.js';
import type { CacheOption, StoreMaker } from './cache.js';
import { describe, PocketTTSError } from './errors.js';
import { fetchFile, label, memoryFile, once, packUrl } from './host.js';
import type { Host, LinkEvents, Link, PackageUrls, Source, Workers } from './host.js';
import type { FromWorker } from './protocol.js';
import { prefixSource } from './remote-source.js';
import type { StarterFiles } from './starter.js';
import { cacheApiStore, opfsStore } from './store-browser.js';

/** Files of the package, or what is in their place. */
export interface Assets {
  /** Where the engine is, or its bytes. */
  readonly wasm: () => URL | Promise<ArrayBuffer>;
  readonly worker: () => Worker;
  readonly starter: StarterFiles;
}

/** A turn of the event loop. Timers are clamped to 4 ms after a few; messages are not. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      channel.port1.close();
      resolve();
    };
    channel.port2.postMessage(undefined);
  });
}

/** What a relative URL of the caller is relative to. */
function baseUrl(): string | undefined {
  if (typeof document !== 'undefined') return document.baseURI;
  return typeof location === 'undefined' ? undefined : location.href;
}

async function compile(from: string | URL | Promise<ArrayBuffer>): Promise<WebAssembly.Module> {
  if (from instanceof Promise) return WebAssembly.compile(await from);
  const place = String(from);
  const response = await fetch(from).catch((error: unknown) => {
    throw new PocketTTSError('network', `${place}: the request failed`, { cause: error });
  });
  const expected = 'expected the engine (pocket_tts.wasm of this package; wasmUrl says where it is)';
  if (!response.ok) {
    throw new PocketTTSError('network', `${place}: ${expected}, found HTTP status ${response.status}`);
  }
  const type = response.headers.get('content-type') ?? '';
  // What servers of single-page applications send for a file that they do not have.
  if (type.startsWith('text/html')) throw new PocketTTSError('network', `${place}: ${expected}, found an HTML page`);
  // Streaming compilation wants the right media type, which not every server gives.
  return type.startsWith('application/wasm')
    ? WebAssembly.compileStreaming(response)
    : WebAssembly.compile(await response.arrayBuffer());
}

function starterSource({ manifest, files }: StarterFiles): Source {
  const source: Source = {
    where: 'the starter voice',
    async open(path, signal) {
      if (path === 'pack.json') return memoryFile(new TextEncoder().encode(manifest));
      const url = files[path];
      if (url === undefined) throw new PocketTTSError('not-found', `${label(source, path)}: no such file`);
      return fetchFile(url(), signal);
    },
  };
  return source;
}

/** Starts a worker and connects it. A browser that refuses it at once, or later, says so to the caller in the same way. */
function startWorker(make: () => Worker, { receive, fail }: LinkEvents): Link {
  let worker: Worker;
  try {
    worker = make();
  } catch (error) {
    throw new PocketTTSError('crashed', describe(error), { cause: error });
  }
  worker.onmessage = ({ data }) => {
    receive(data as FromWorker);
  };
  worker.onmessageerror = fail;
  worker.onerror = (event) => {
    event.preventDefault();
    // Only what its script throws has a message.
    const said: unknown = event.message;
    fail(new Error(typeof said === 'string' && said !== '' ? said : 'its script cannot be loaded'));
  };
  return {
    post: (message, transfer) => {
      worker.postMessage(message, transfer);
    },
    ref: () => undefined,
    unref: () => undefined,
    terminate: () => {
      worker.terminate();
      return Promise.resolve();
    },
  };
}

function stores(cache: CacheOption, workers: Workers): readonly StoreMaker[] {
  const opfs = (): ReturnType<StoreMaker> => opfsStore((fail) => workers.start({ receive: () => undefined, fail }));
  const known: Partial<Record<CacheOption, readonly StoreMaker[]>> = {
    auto: [opfs, cacheApiStore, sharedMemory],
    opfs: [opfs, sharedMemory],
    'cache-api': [cacheApiStore, sharedMemory],
    memory: [sharedMemory],
    none: [],
  };
  const found = known[cache];
  if (found === undefined) throw new PocketTTSError('unsupported', `cache: there is no "${cache}" in browsers`);
  return found;
}

async function quota(): ReturnType<Host['quota']> {
  // Missing where the page is not secure.
  const { storage } = navigator as { storage?: StorageManager };
  if (storage === undefined) return {};
  const { quota, usage } = await storage.estimate();
  return {
    ...(quota === undefined ? {} : { quota }),
    ...(usage === undefined ? {} : { usage }),
    persisted: await storage.persisted(),
  };
}

/** The host of a browser, with the files of the package where `assets` and the caller's URLs say. */
export function browserHostWith(assets: Assets, { wasmUrl, workerUrl }: PackageUrls = {}): Host {
  const make =
    workerUrl === undefined
      ? assets.worker
      : () => new Worker(workerUrl, { type: 'module', name: 'pocket-tts' });
  const workers: Workers = {
    cores: () => navigator.hardwareConcurrency,
    usable: () => typeof Worker !== 'undefined',
    preferred: () => typeof document !== 'undefined',
    start: (events) => startWorker(make, events),
  };
  return {
    wasm: once(async () => compile(wasmUrl ?? assets.wasm())),
    starter: () => starterSource(assets.starter),
    source: (pack, transport) => prefixSource(packUrl(pack, baseUrl()), transport),
    stores: (cache) => stores(cache, workers),
    quota,
    sha256() {
      const hash = sha256.create();
      return {
        update: (bytes) => {
          hash.update(bytes);
        },
        hex: () => bytesToHex(hash.digest()),
      };
    },
    pause: turn,
    isolated: () => globalThis.crossOriginIsolated,
    workers,
  };
}
