// The reference's configuration files (.yaml), here or at an address, read as packs.
//
// Relative paths: the folder of a local configuration first, then the working directory (where the reference alone
// looks). Paths of the model hub (hf://) are fetched and kept; other remote ones are refused.
import { stat } from 'node:fs/promises';
import { dirname, isAbsolute, resolve } from 'node:path';
import { parse } from 'yaml';
import type { Tags } from 'yaml';
import { describe, PocketTTSError, shown } from './errors.js';
import { folderSource, nodeHost, openFile, plainFile } from './host-node.js';
import { readAll } from './host.js';
import type { Source } from './host.js';
import type { PackFile, PackFileRole } from './pack.js';
import type { PackLocation } from './backend.js';
import { hubSource, parseAddress, transportOf } from './packs.js';
import type { PackOptions } from './packs.js';
import { fetchRemote, isRemote, remotePath } from './remote-file.js';
import type { RemoteFileOptions } from './remote-file.js';

const CONFIG_LIMIT = 1 << 20;

type Fields = Readonly<Record<string, unknown>>;

/** A field that has to be a mapping; missing ones read as empty, so that the engine names what it misses. */
function mapping(fields: Fields, key: string): Fields {
  const value = fields[key];
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

/** YAML 1.1 as PyYAML, the reference's parser, reads it: a single y or n is text. */
const asPyYaml = (tags: Tags): Tags =>
  tags.map((tag) => {
    if (typeof tag !== 'object' || !('resolve' in tag) || 'collection' in tag || tag.tag !== 'tag:yaml.org,2002:bool') return tag;
    const yes = tag.identify?.(true) === true;
    return { ...tag, test: yes ? /^(?:yes|Yes|YES|true|True|TRUE|on|On|ON)$/ : /^(?:no|No|NO|false|False|FALSE|off|Off|OFF)$/ };
  });

/** Where a file of a configuration is, and its size where that is known. */
async function locate(path: string, field: string, folder: string): Promise<{ path: string; bytes?: number }> {
  if (isRemote(path)) {
    if (parseAddress(path) !== undefined) return { path };
    throw new PocketTTSError(
      'unsupported',
      `${field}: expected a local path or hf://OWNER/NAME/PATH@REVISION, found ${shown(path)}; download it and name the local file`,
    );
  }
  const places = isAbsolute(path) ? [path] : [resolve(folder, path), resolve(path)];
  for (const place of places) {
    const found = await stat(place).catch(() => undefined);
    if (found?.isFile()) return { path: place, bytes: found.size };
  }
  throw new PocketTTSError('not-found', `${field}: no such file: ${[...new Set(places)].join(', ')}`);
}

async function readConfig(config: string, options: RemoteFileOptions): Promise<Uint8Array> {
  if (isRemote(config)) return fetchRemote(nodeHost, config, 'config', CONFIG_LIMIT, 'config', options);
  await plainFile(config, 'config');
  return readAll(await openFile(config), config, CONFIG_LIMIT, 'config');
}

/** Reads a configuration and finds its files. */
export async function loadConfig(config: string, options: RemoteFileOptions = {}): Promise<PackLocation> {
  if (!/\.ya?ml$/.test(remotePath(config))) {
    throw new PocketTTSError('config', 'ValueError: Config should be a path to a YAML file ending with .yaml');
  }
  const bytes = await readConfig(config, options);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new PocketTTSError('config', `${config}: expected UTF-8, found other bytes`, { cause: error });
  }
  let fields: unknown;
  try {
    fields = parse(text, { version: '1.1', prettyErrors: false, customTags: asPyYaml });
  } catch (error) {
    throw new PocketTTSError('config', `${config}: expected YAML: ${describe(error)}`, { cause: error });
  }
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) {
    throw new PocketTTSError('config', `${config}: expected a mapping of fields`);
  }
  const all = fields as Fields;
  const flow = mapping(all, 'flow_lm');
  const mimi = mapping(all, 'mimi');
  const table = mapping(flow, 'lookup_table');
  const folder = isRemote(config) ? resolve() : dirname(resolve(config));
  const files: PackFile[] = [];
  const add = async (role: PackFileRole, field: string, path: unknown): Promise<void> => {
    if (typeof path !== 'string') throw new PocketTTSError('config', `${config}: ${field}: expected a path`);
    const kind = table['tokenizer'] === 'tokenizers' || path.endsWith('.json') ? 'json' : 'sentencepiece';
    const file = await locate(path, `${config}: ${field}`, folder);
    files.push({ role, ...file, ...(role === 'tokenizer' ? { kind } : {}) });
  };
  const given = (value: unknown): boolean => value !== undefined && value !== null;

  await add('tokenizer', 'flow_lm.lookup_table.tokenizer_path', table['tokenizer_path']);
  const publicWeights = all['weights_path_without_voice_cloning'];
  if (given(all['weights_path'])) {
    try {
      await add('weights', 'weights_path', all['weights_path']);
    } catch (error) {
      // Without the gated weights, those without voice cloning do.
      if (!given(publicWeights)) throw error;
      await add('weights', 'weights_path_without_voice_cloning', publicWeights);
    }
  } else if (given(flow['weights_path'])) {
    // A bundle beside it wins, as in the reference.
    await add('weights-flow-lm', 'flow_lm.weights_path', flow['weights_path']);
  }
  if (files.length > 1 && given(mimi['weights_path'])) await add('weights-mimi', 'mimi.weights_path', mimi['weights_path']);
  if (!files.some((file) => file.role.startsWith('weights'))) {
    throw new PocketTTSError('config', `${config}: weights_path: expected a path, found nothing`);
  }
  return { source: mixedSource(folder, config, options), manifest: { format: 1, name: config, config: all, files } };
}

/** Local files, and those of the model hub. */
function mixedSource(folder: string, config: string, options: PackOptions): Source {
  const local = folderSource(folder);
  const hub = hubSource(nodeHost, folder, transportOf(nodeHost, options), config, options, parseAddress);
  return { ...hub, kept: undefined, open: (path, ...rest) => (isRemote(path) ? hub : local).open(path, ...rest) };
}
