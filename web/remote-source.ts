// Sources whose files come over HTTP, through the cache: packs at a URL prefix, and files of the model hub by revision.
import { label, memoryFile, readAll } from './host.js';
import type { Source } from './host.js';
import { MANIFEST, MANIFEST_LIMIT, manifestOf } from './pack.js';
import { Transfer, unreachable } from './transfer.js';
import type { Remote, Transport } from './transfer.js';

/** A source of what `find` makes of its paths. */
export function remoteSource(
  where: string,
  transport: Transport,
  find: (path: string, sha256: string | undefined) => Remote,
): Source {
  let transfers: Transfer[] = [];
  return {
    where,
    open(path, signal, expected = {}) {
      const remote = find(path, expected.sha256);
      const transfer = new Transfer(transport, remote, expected, label({ where }, path), signal);
      transfers = [...transfers.filter(({ settled }) => !settled), transfer];
      return transfer.open();
    },
    async kept(path, expected = {}) {
      const { identity } = find(path, expected.sha256);
      return identity === undefined ? {} : ((await transport.cache?.find(transport.cache.key(identity))) ?? {});
    },
    async recheck() {
      const before = transfers;
      transfers = [];
      let damaged = false;
      for (const transfer of before) damaged = (await transfer.suspect()) || damaged;
      return damaged;
    },
  };
}

/** A URL with a path added: '?', '#' and '%' are letters of a name; half a surrogate pair is none in UTF-8. */
export function encodePath(path: string): string {
  return path.replaceAll(/\p{Cs}/gu, '\ufffd').split('/').map(encodeURIComponent).join('/');
}

/**
 * Packs at a URL prefix. What pack.json has a hash for is kept by its hash: the address says nothing of the content. Of
 * pack.json itself the newest is used, and the last one that was seen where the server cannot be reached.
 */
export function prefixSource(prefix: URL, transport: Transport): Source {
  const base = new URL(prefix);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  const files = remoteSource(base.href, transport, (path, sha256) => ({
    identity: sha256 === undefined ? undefined : `sha256:${sha256}`,
    pack: base.href,
    ...(path === MANIFEST ? { mode: 'no-cache' as const } : {}),
    urls: [new URL(encodePath(path), base)],
  }));
  const { cache } = transport;
  if (cache === undefined) return files;
  const open: Source['open'] = async (path, signal, expected) => {
    if (path !== MANIFEST) return files.open(path, signal, expected);
    const identity = new URL(path, base).href;
    let bytes: Uint8Array<ArrayBuffer>;
    try {
      bytes = await readAll(await files.open(path, signal), label(files, path), MANIFEST_LIMIT);
    } catch (error) {
      const kept = unreachable(error) ? await cache.recall(identity) : undefined;
      if (kept === undefined) throw error;
      return memoryFile(kept);
    }
    // What is no manifest must not replace one: a login page may be JSON, too.
    if (isManifest(bytes)) await cache.remember(identity, base.href, bytes);
    return memoryFile(bytes, 'download');
  };
  const kept: Source['kept'] = async (path, expected) =>
    path === MANIFEST ? cache.find(cache.key(new URL(path, base).href)) : (files.kept?.(path, expected) ?? {});
  return { ...files, open, kept };
}

function isManifest(bytes: Uint8Array): boolean {
  try {
    manifestOf(bytes, MANIFEST);
    return true;
  } catch {
    return false;
  }
}
