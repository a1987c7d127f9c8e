// The folder in which the hub's own programs keep what they fetch (HF_HUB_CACHE, HF_HOME): what the reference has fetched is
// read from there. Nothing is written into it.
import { readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Address } from './packs.js';

function hubFolder(): string {
  const { HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env;
  if (HF_HUB_CACHE) return HF_HUB_CACHE;
  if (HF_HOME) return join(HF_HOME, 'hub');
  if (XDG_CACHE_HOME) return join(XDG_CACHE_HOME, 'huggingface', 'hub');
  return join(homedir(), '.cache', 'huggingface', 'hub');
}

/** Where the file of a revision is, or of the one that a branch had when it was last asked for; undefined where it is not. */
export async function hubPath({ repository, revision, path }: Address): Promise<string | undefined> {
  const folder = join(hubFolder(), `models--${repository.replaceAll('/', '--')}`);
  const isCommit = (text: string): boolean => /^[0-9a-f]{40}$/.test(text);
  const commit = isCommit(revision)
    ? revision
    : (await readFile(join(folder, 'refs', revision), 'utf8').catch(() => '')).trim();
  if (!isCommit(commit)) return undefined;
  const place = join(folder, 'snapshots', commit, path);
  const found = await stat(place).catch(() => undefined);
  return found?.isFile() ? place : undefined;
}
