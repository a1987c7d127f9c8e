// The functions of the cache: isCached(), cacheInfo(), clearCache(), the same in both hosts.
import { checkOptions, isPack, isString } from './arguments.js';
import type { Checks } from './arguments.js';
import type { PackLocation } from './backend.js';
import { Cache, sharedMemory } from './cache.js';
import type { CacheOption } from './cache.js';
import { describe, PocketTTSError } from './errors.js';
import type { Host, OpenFile } from './host.js';
import { defaultVoiceName, MANIFEST, modelFiles, readManifest } from './pack.js';
import type { PackFile, PackManifest } from './pack.js';
import { locatePack, PACK_CHECKS } from './packs.js';
import type { Found, Kept, Store, StoreKind, StoreMeta } from './store.js';

/** A file in the cache. */
export interface CacheFile {
  /** What it is: `hf://owner/name/path@revision`, `sha256:...`, or the URL of a pack.json. */
  readonly identity: string;
  /** The pack that it was fetched for: its name or URL. */
  readonly pack: string;
  /** Where it came from. */
  readonly url: string;
  /** Bytes that are there. */
  readonly bytes: number;
  /** Bytes of the whole file, where known. */
  readonly total: number | undefined;
  /** False for a part, which the next load() goes on with. */
  readonly complete: boolean;
  /** Of a whole file: what it had when it came. */
  readonly sha256: string | undefined;
}

export interface CacheInfo {
  /** Undefined where nothing can be kept. */
  readonly store: StoreKind | undefined;
  /** The folder, or the name of the store. */
  readonly where: string | undefined;
  readonly bytes: number;
  readonly files: readonly CacheFile[];
  /** In browsers: bytes that this origin may keep, and uses. */
  readonly quota?: number;
  readonly usage?: number;
  /** In browsers: whether the browser has promised not to throw it away by itself. */
  readonly persisted?: boolean;
}

export interface CacheOptions {
  /** Which store. Default: `auto`, as in load(). */
  readonly cache?: CacheOption | undefined;
}

export interface ClearOptions extends CacheOptions {
  /** Only what was fetched for this pack: its name or URL. Default: everything. */
  readonly pack?: string | undefined;
}

export interface CachedOptions extends CacheOptions {
  /** As in load(). */
  readonly pack?: string | URL | undefined;
  /** The voice of it that has to be there. Default: the default voice. */
  readonly voice?: string | undefined;
}

const CACHE_CHECKS: Checks<CacheOptions> = { cache: PACK_CHECKS.cache };
const CLEAR_CHECKS: Checks<ClearOptions> = { ...CACHE_CHECKS, pack: isString };
const CACHED_CHECKS: Checks<CachedOptions> = { ...CACHE_CHECKS, pack: isPack, voice: isString };

/** The stores that may hold something, memory last. */
async function stores(host: Host, cache: CacheOption): Promise<readonly Store[]> {
  if (cache === 'none') return [];
  const first = await new Cache(host.stores(cache), () => host.sha256()).store();
  const memory = await sharedMemory();
  return first === undefined ? [] : first === memory ? [memory] : [first, memory];
}

/** What a store has; `unsupported` when it cannot be read at all. */
export async function listOf(store: Store): Promise<readonly Kept[]> {
  return store.list().catch((error: unknown) => {
    throw new PocketTTSError('unsupported', `${store.where}: the cache cannot be read: ${describe(error)}`, { cause: error });
  });
}

export async function cacheInfo(host: Host, options: CacheOptions): Promise<CacheInfo> {
  checkOptions(options, CACHE_CHECKS);
  const { cache = 'auto' } = options;
  const all = await stores(host, cache);
  const kept = (await Promise.all(all.map(listOf))).flat();
  const files = kept.map(({ meta, size, complete }): CacheFile => ({
    identity: meta.identity,
    pack: meta.pack,
    url: meta.url,
    bytes: size,
    total: meta.bytes,
    complete,
    sha256: complete ? meta.sha256 : undefined,
  }));
  return {
    store: all[0]?.kind,
    where: all[0]?.where,
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    files,
    ...(await host.quota()),
  };
}

/** Whether a file was fetched for a pack: its name, or its URL with or without a slash at the end. */
export function isOfPack(meta: StoreMeta, pack: string): boolean {
  return meta.pack === pack || meta.pack === `${pack}/`;
}

/** Removes what is kept; the result is the number of bytes. What another page is fetching just now stays. */
export async function clearCache(host: Host, options: ClearOptions): Promise<number> {
  checkOptions(options, CLEAR_CHECKS);
  const { cache = 'auto', pack } = options;
  let bytes = 0;
  for (const store of await stores(host, cache)) {
    for (const { key, meta, size } of await listOf(store)) {
      if (pack !== undefined && !isOfPack(meta, pack)) continue;
      const removed = await store.remove(key).then(
        () => true,
        () => false,
      );
      if (removed) bytes += size;
    }
    // What cannot be read is of no pack.
    const rest = pack === undefined ? await store.keys().catch(() => []) : [];
    for (const key of rest) await store.remove(key).catch(() => undefined);
  }
  return bytes;
}

/** The files of a pack that load() reads: the model and a voice. */
function needed(manifest: PackManifest, voice: string | undefined): readonly PackFile[] {
  const name = voice ?? defaultVoiceName(manifest);
  const found = manifest.files.find((file) => file.role === 'voice' && file.name === name);
  if (voice !== undefined && found === undefined) {
    throw new PocketTTSError('not-found', `No voice "${voice}" in the pack ${manifest.name}`);
  }
  return found === undefined ? modelFiles(manifest) : [...modelFiles(manifest), found];
}

/** A file of a pack, and what is kept of it. */
export interface FileState {
  readonly file: PackFile;
  readonly found: Found;
}

/**
 * What load() would find of a pack, as far as names and sizes tell; undefined when its manifest is not known without the
 * network, or it is not from the network at all.
 */
export async function packState({ source, manifest }: PackLocation, voice?: string): Promise<readonly FileState[] | undefined> {
  const { kept } = source;
  if (kept === undefined) return undefined;
  let known = manifest;
  if (known === undefined) {
    const { file } = await kept(MANIFEST);
    if (file === undefined) return undefined;
    const open = (): Promise<OpenFile> =>
      Promise.resolve({ size: file.size, slices: file.read(), close: () => Promise.resolve() });
    // A damaged copy is none.
    known = await readManifest({ where: source.where, open }).catch(() => undefined);
    if (known === undefined) return undefined;
  }
  return Promise.all(
    needed(known, voice).map(async (file) => {
      const found = await kept(file.path, file);
      const wrong = file.bytes !== undefined && found.file !== undefined && found.file.size !== file.bytes;
      return { file, found: wrong ? {} : found };
    }),
  );
}

/** Whether load() of a pack needs no network. */
export async function isCached(host: Host, options: CachedOptions): Promise<boolean> {
  checkOptions(options, CACHED_CHECKS);
  // Also for packs that are in no cache, as in load().
  if (options.cache !== undefined) host.stores(options.cache);
  const location = locatePack(host, options.pack, options);
  if (location.source.kept === undefined) return true;
  const state = await packState(location, options.voice);
  return state?.every(({ found }) => found.file !== undefined) ?? false;
}
