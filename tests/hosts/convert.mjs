// Does one conversion of conversions.json with the Node command line.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { cli, root, sha256 } from '../node/support.mjs';

/** The files of a folder by their paths, with their sha256. */
export function hashes(folder) {
  const paths = readdirSync(folder, { recursive: true }).filter((path) => statSync(join(folder, path)).isFile());
  return Object.fromEntries(paths.sort().map((path) => [path, sha256(readFileSync(join(folder, path)))]));
}

/** Writes the pack `target`, and returns its files. */
export function convert({ source, precision, withoutEncoder }, target) {
  const flags = ['--precision', precision, ...(withoutEncoder ? ['--without-encoder'] : []), '-q'];
  execFileSync(process.execPath, [cli, 'packs', 'convert', join(root, source), target, ...flags]);
  return hashes(target);
}
