// One file at an address of its own, https:// or hf://: a voice, a recording, a configuration.
import { PocketTTSError, shown } from './errors.js';
import type { ErrorCode } from './errors.js';
import { memoryFile, readAll } from './host.js';
import type { Host, OpenFile } from './host.js';
import { hubSource, isPinned, parseAddress, transportOf } from './packs.js';
import type { PackOptions } from './packs.js';
import { shownUrl, Transfer, unreachable } from './transfer.js';

/** True for what would have to be fetched: http://, https://, hf://. */
export function isRemote(path: string): boolean {
  return /^[a-z][a-z0-9+.-]+:\/\//i.test(path);
}

/** The path in an address, for its suffix: without a query, and without a revision. */
export function remotePath(address: string): string {
  return parseAddress(address)?.path ?? (URL.canParse(address) ? new URL(address).pathname : address);
}

export interface RemoteFileOptions extends PackOptions {
  readonly signal?: AbortSignal | undefined;
}

/**
 * The whole of it, `limit` bytes at most; `what` names it in messages. What a full revision names is kept for ever. Of all else
 * the newest is used, and the last one that was seen where nobody answers.
 */
export async function fetchRemote(
  host: Host,
  address: string,
  what: string,
  limit: number,
  code: ErrorCode,
  options: RemoteFileOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const { signal } = options;
  const hub = parseAddress(address);
  const url = hub === undefined && /^https?:/i.test(address) && URL.canParse(address) ? new URL(address) : undefined;
  if (hub === undefined && url === undefined) {
    const expected = 'a local path, a URL of http or https, or hf://OWNER/NAME/PATH@REVISION';
    throw new PocketTTSError('unsupported', `${what}: expected ${expected}, found ${shown(address)}`);
  }
  const transport = transportOf(host, options);
  const name = url === undefined ? address : shownUrl(url);
  const open = (): Promise<OpenFile> =>
    url === undefined
      ? hubSource(host, '', transport, address, options, parseAddress).open(address, signal)
      : new Transfer(transport, { identity: undefined, pack: name, urls: [url] }, {}, name, signal).open();
  // A query may be a secret, and is not written down.
  const remembered = hub === undefined ? url?.search === '' : !isPinned(hub);
  try {
    const bytes = await readAll(await open(), name, limit, code);
    if (remembered) await transport.cache?.remember(name, name, bytes);
    return bytes;
  } catch (error) {
    const kept = remembered && unreachable(error) ? await transport.cache?.recall(name) : undefined;
    if (kept === undefined) throw error;
    return readAll(memoryFile(kept), name, limit, code);
  }
}
