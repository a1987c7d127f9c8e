// Packs by name: the official ones (models/packs.json), their files at the model hub by pinned revision, and hubs.
//
// A file of the hub is hf://OWNER/NAME/PATH@REVISION, in packs.json as in the reference's configurations. A hub is a URL
// template; several are tried in order.
import { hub as defaultHub, packs, repositories, voice_files, voices } from '../models/packs.json';
import { float, isFunction, isString, oneOf, refuse } from './arguments.js';
import type { Checks } from './arguments.js';
import type { PackLocation } from './backend.js';
import { Cache } from './cache.js';
import type { CacheOption, LoadWarning } from './cache.js';
import { PocketTTSError, shown } from './errors.js';
import type { Host, OpenFile, Sha256, Source } from './host.js';
import { IDLE_TIMEOUT } from './idle.js';
import type { PackFile } from './pack.js';
import { encodePath, remoteSource } from './remote-source.js';
import { StatusError, unreachable } from './transfer.js';
import type { Remote, Transport } from './transfer.js';

/** Where packs come from and where they are kept: the same in load() and in the functions of the cache. */
export interface PackOptions {
  /** Where downloads are kept. Default: `auto`, see there. */
  readonly cache?: CacheOption | undefined;
  /**
   * URL templates of the model hub with `{repository}`, `{revision}` and `{path}`, for packs by name: mirrors, tried in
   * order. Default: the hub of the official packs. An empty list: only what is in the cache. In Node, what the hub's own
   * programs have fetched (HF_HOME) is read where they keep it, and not fetched again; isCached() does not look there.
   */
  readonly hub?: string | readonly string[] | undefined;
  /**
   * Token of an account of the hub that has agreed to the terms of the gated weights, which can make voices from
   * recordings. Sent to the first hub only, in a header.
   */
  readonly token?: string | undefined;
  /**
   * Seconds without an answer or a byte after which a connection counts as cut: the rest is asked for again, then of the next
   * hub, then it is a `network` error. Default: 30.
   */
  readonly idleTimeout?: number | undefined;
  /**
   * Called in load(), and in later calls that fetch something: a voice, an encoder. What it throws, or the promise that it
   * returns rejects with, ends that call with that error once the file that is being read has come; the call waits for it.
   */
  readonly onWarning?: ((warning: LoadWarning) => unknown) | undefined;
}

const CACHES: readonly CacheOption[] = ['auto', 'none', 'opfs', 'cache-api', 'folder', 'memory'];

export const PACK_CHECKS: Checks<PackOptions> = {
  cache: oneOf(CACHES),
  hub: (name, value) => {
    const templates: unknown[] = Array.isArray(value) ? value : [value];
    for (const template of templates) {
      isString(name, template);
      expand(template as string, { repository: 'owner/name', revision: 'main', path: 'file' });
    }
  },
  token: (name, value) => {
    // Not shown: it is a secret.
    if (typeof value !== 'string' || !/^[!-~]+$/.test(value)) refuse(name, 'a token of printable letters', undefined);
  },
  idleTimeout: float(0.001, 86_400, '0.001 to 86400 seconds'),
  onWarning: isFunction,
};

/** A file of the hub. */
export interface Address {
  readonly repository: string;
  readonly revision: string;
  readonly path: string;
}

export const PACK_NAMES: readonly string[] = ['starter', ...packs.map(({ name }) => name)];

/** Reads hf://OWNER/NAME/PATH[@REVISION]; undefined when it is no such address. Without a revision: the newest. */
export function parseAddress(address: string): Address | undefined {
  const [, repository, path, revision = 'main'] = /^hf:\/\/([^/@]+\/[^/@]+)\/([^@]+)(?:@([^@]+))?$/.exec(address) ?? [];
  const names = [...(repository?.split('/') ?? []), ...(path?.split('/') ?? []), ...revision.split('/')];
  if (names.some((name) => name === '' || name === '.' || name === '..')) return undefined;
  return repository === undefined || path === undefined ? undefined : { repository, revision, path };
}

/** Only a full revision says what a file is for ever. */
export const isPinned = ({ revision }: Address): boolean => /^[0-9a-f]{40}$/.test(revision);

const format = ({ repository, revision, path }: Address): string => `hf://${repository}/${path}@${revision}`;

function hubs({ hub }: PackOptions): readonly string[] {
  return hub === undefined ? [defaultHub] : typeof hub === 'string' ? [hub] : hub;
}

/** A template with the names of a file; refuses one that is no URL. */
function expand(template: string, { repository, revision, path }: Address): URL {
  const url = template
    .replaceAll('{repository}', encodePath(repository))
    .replaceAll('{revision}', encodeURIComponent(revision))
    .replaceAll('{path}', encodePath(path));
  if (!template.includes('{path}') || !URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new PocketTTSError(
      'argument',
      `hub: expected a URL of http or https with {repository}, {revision} and {path}, found ${shown(template)}`,
    );
  }
  return new URL(url);
}

/** How a file of the hub is fetched. What has no full revision is not kept. */
export function hubRemote(address: Address, pack: string, options: PackOptions): Remote {
  const urls = hubs(options).map((template) => expand(template, address));
  const { token } = options;
  const terms = repositories[address.repository]?.terms;
  return {
    identity: isPinned(address) ? format(address) : undefined,
    pack,
    urls,
    headers: (url) => (token !== undefined && url.href === urls[0]?.href ? { authorization: `Bearer ${token}` } : {}),
    hint(status) {
      if (status !== 401 && status !== 403) return undefined;
      const where = terms === undefined ? '' : ` (${terms})`;
      return `the hub does not give ${address.repository} to ${token === undefined ? 'everybody' : 'this token'}: agree to its terms${where} and pass a token of that account`;
    },
  };
}

/**
 * A source of files of the hub, by what `addressOf` makes of its paths. In Node, what the hub's own programs have fetched is
 * read where they keep it: by its revision before the hub is asked, else where no hub answers.
 */
export function hubSource(
  host: Host,
  where: string,
  transport: Transport,
  pack: string,
  options: PackOptions,
  addressOf: (path: string) => Address | undefined,
): Source {
  const find = (path: string): Address => {
    const address = addressOf(path);
    if (address === undefined) throw new PocketTTSError('not-found', `${where}: ${path}: no such file in this pack`);
    return address;
  };
  const remote = remoteSource(where, transport, (path) => hubRemote(find(path), pack, options));
  const open: Source['open'] = async (path, signal, expected) => {
    const address = find(path);
    const here = async (): Promise<OpenFile | undefined> => {
      const file = await host.hubFile?.(address, signal);
      if (file === undefined || expected?.bytes === undefined || file.size === expected.bytes) return file;
      await file.close();
      return undefined;
    };
    const pinned = isPinned(address);
    const first = pinned && (await remote.kept?.(path, expected))?.file === undefined ? await here() : undefined;
    if (first !== undefined) return first;
    try {
      return await remote.open(path, signal, expected);
    } catch (error) {
      const kept = !pinned && unreachable(error) ? await here() : undefined;
      if (kept === undefined) throw error;
      return kept;
    }
  };
  return { ...remote, open };
}

/** What downloads of these options go through. */
export function transportOf(host: Host, options: PackOptions): Transport {
  const { cache = 'auto', idleTimeout = IDLE_TIMEOUT, onWarning } = options;
  const sha256 = (): Sha256 => host.sha256();
  return {
    sha256,
    idleTimeout,
    cache: cache === 'none' ? undefined : new Cache(host.stores(cache), sha256, onWarning),
    onMirror: (message) => onWarning?.({ code: 'mirror', message }),
  };
}

const WITHOUT_CLONING = `these weights are without voice cloning; those with it are gated: pass a token of an account that has agreed to their terms`;

/** An official pack. */
function official(host: Host, pack: (typeof packs)[number], transport: Transport, options: PackOptions): PackLocation {
  const { name, config, default_voice } = pack;
  const addresses = new Map<string, Address>();
  const entry = (address: Address, rest: Omit<PackFile, 'path'>): PackFile => {
    addresses.set(address.path, address);
    return { path: address.path, ...rest };
  };
  // The gated weights have the path of the public ones.
  const gated = options.token === undefined ? undefined : pack.files.find(({ cloning }) => cloning);
  const files = pack.files
    .filter(({ cloning }) => !cloning)
    .map(({ role, kind, bytes, sha256, ...address }) => {
      const known = { ...(bytes === undefined ? {} : { bytes }), ...(sha256 === undefined ? {} : { sha256 }) };
      const measured = role === 'weights' && gated !== undefined ? {} : known;
      return entry(address, { role, ...(kind === undefined ? {} : { kind }), ...measured });
    });
  for (const { name: voice, license } of voices) {
    const path = voice_files.path.replace('{pack}', name).replace('{voice}', voice);
    files.push(
      entry({ ...voice_files, path }, { role: 'voice', name: voice, ...(license === undefined ? {} : { license }) }),
    );
  }
  const source = hubSource(host, name, transport, name, options, (path) => addresses.get(path));
  const weights = hubSource(host, name, transport, name, options, (path) => gated ?? addresses.get(path));
  const open: Source['open'] = async (path, signal, expected) => {
    if (gated?.path !== path) return source.open(path, signal, expected);
    try {
      return await weights.open(path, signal);
    } catch (error) {
      if (!(error instanceof PocketTTSError) || error.code === 'aborted') throw error;
      const refused = error instanceof StatusError && [401, 403, 404].includes(error.status);
      // Without a network, what is there is better than nothing.
      if (!refused && (await source.kept?.(path, expected))?.file === undefined) throw error;
      options.onWarning?.({ code: 'no-cloning', message: `${error.message}; loading the weights without voice cloning` });
      return source.open(path, signal, expected);
    }
  };
  const recheck = async (): Promise<boolean> => {
    const found = await Promise.all([source.recheck?.(), weights.recheck?.()]);
    return found.includes(true);
  };
  const kept: Source['kept'] = async (path, expected) => {
    const better = gated?.path === path ? await weights.kept?.(path) : undefined;
    return better?.file === undefined ? ((await source.kept?.(path, expected)) ?? {}) : better;
  };
  return {
    source: { where: name, open, recheck, kept },
    manifest: {
      format: 1,
      name,
      config,
      files,
      default_voice,
      ...(gated === undefined ? { cloning: { available: false, reason: WITHOUT_CLONING } } : {}),
    },
  };
}

/** What `pack` of load() names: the starter voice, an official pack, else a place. */
export function locatePack(host: Host, pack: string | URL | undefined, options: PackOptions): PackLocation {
  if (pack === undefined || pack === 'starter') return { source: host.starter() };
  const known = packs.find(({ name }) => name === pack);
  const transport = transportOf(host, options);
  return known === undefined ? { source: host.source(pack, transport) } : official(host, known, transport, options);
}
