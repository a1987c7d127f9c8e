// Converting packs: a model is loaded in integers, and its working weights are written as a pack that loads without
// converting (models/FORMAT.md). The Go package writes the same bytes.
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import type { PackLocation } from './backend.js';
import { ModelBuilder } from './builder.js';
import { createEngine } from './engine.js';
import type { DoorModel, Engine } from './engine.js';
import { describe, PocketTTSError, throwIfAborted } from './errors.js';
import { fileReason, nodeHost } from './host-node.js';
import type { Source } from './host.js';
import { feedModel, openChecked, readManifest, workingPrecision } from './pack.js';
import type { PackFile, PackManifest, Precision } from './pack.js';

const SLICE_BYTES = 1 << 20;
const MODEL = 'model.safetensors';
const ENCODER = 'encoder.safetensors';
const MANIFEST = 'pack.json';

export interface ConvertOptions {
  /** Default: that of the pack where it is one of these, else q8. */
  readonly precision?: Exclude<Precision, 'f32'> | undefined;
  /** Leaves out what makes voices from audio. */
  readonly withoutEncoder: boolean;
  /** Replaces a pack that is there. */
  readonly force: boolean;
  readonly signal: AbortSignal;
}

/** A file that was written. */
export type Written = PackFile & { readonly bytes: number; readonly sha256: string };

export interface Converted {
  readonly precision: Precision;
  readonly files: readonly Written[];
}

/** Writes the pack at `location` into the new folder `target`: all of it, or nothing. */
export async function convertPack(location: PackLocation, target: string, options: ConvertOptions): Promise<Converted> {
  const { source } = location;
  const { signal, withoutEncoder } = options;
  const place = resolve(target);
  const free = await checkTarget(place, target, location, options.force);
  const manifest = location.manifest ?? (await readManifest(source, signal));
  const listed = manifest.files.filter(({ role }) => !role.startsWith('weights'));
  const others = [...listed, ...(location.manifest === undefined ? await license(source, listed, signal) : [])];
  // Files of a configuration lie anywhere; those of a pack keep their places.
  const pathOf = (file: PackFile): string =>
    location.manifest === undefined ? file.path : `tokenizer.${file.kind === 'json' ? 'json' : 'model'}`;
  for (const path of others.map(pathOf)) {
    if (![MODEL, ENCODER, MANIFEST].includes(path.toLowerCase())) continue;
    throw new PocketTTSError('pack', `${source.where}: files: ${path}: the converted pack has another file of this name`);
  }
  const own = workingPrecision(options, manifest);
  const precision = own === 'f32' ? 'q8' : own;
  const engine = await createEngine(await nodeHost.wasm());
  const model = await load(engine, location, manifest, precision, !withoutEncoder, signal);

  const folder = join(dirname(place), `.${basename(place)}.${randomBytes(6).toString('hex')}`);
  const writer = new Writer(folder, target);
  try {
    await writer.named(mkdir(folder));
    const terms = weightsLicense(manifest);
    const parts = engine.run((door) => ({
      loaded: model.info().parts,
      speech: door.PART_FLOW_LM | door.PART_MIMI_DECODER,
      encoder: door.PART_MIMI_ENCODER,
    }));
    const slices = (which: number): AsyncGenerator<Uint8Array> => exported(engine, model, which, signal);
    await writer.write({ path: MODEL, role: 'weights', ...terms }, slices(parts.speech));
    if ((parts.loaded & parts.encoder) !== 0) {
      await writer.write({ path: ENCODER, role: 'weights-encoder', ...terms }, slices(parts.encoder));
    }
    for (const file of others) {
      const { role, name, license } = file;
      const kind = file.kind ?? (file.path.endsWith('.json') ? 'json' : 'sentencepiece');
      const entry = {
        path: pathOf(file),
        role,
        ...(role === 'tokenizer' ? { kind } : {}),
        ...(name ? { name } : {}),
        ...(license ? { license } : {}),
      };
      const from = await openChecked(nodeHost, source, file, signal);
      try {
        await writer.write(entry, from.slices);
      } finally {
        await from.close();
      }
    }
    const { files } = writer;
    const { cloning } = manifest;
    const pack = {
      format: 1,
      name: location.manifest === undefined ? manifest.name : basename(place),
      description: given(manifest.description),
      license: given(manifest.license),
      config: convertedConfig(manifest.config, files.find(({ role }) => role === 'tokenizer')?.path),
      files: files.map(({ path, role, kind, name, bytes, sha256, license }) => ({
        ...{ path, role, kind, name, bytes, sha256, license },
      })),
      default_voice: manifest.default_voice,
      precision,
      cloning:
        withoutEncoder && cloning?.available !== false
          ? { available: false, reason: 'converted without its encoder' }
          : cloning && { available: cloning.available, reason: given(cloning.reason) },
    };
    await writer.write({ path: MANIFEST, role: 'other' }, [new TextEncoder().encode(json(pack))]);
    throwIfAborted(signal);
    await replace(folder, place, free, writer);
    return { precision, files: files.slice(0, -1) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** True when nothing is at the target. Otherwise it has to be a pack that may be replaced. */
async function checkTarget(place: string, target: string, { source, manifest }: PackLocation, force: boolean): Promise<boolean> {
  const parent = await stat(dirname(place)).catch((error: unknown) => {
    throw new Error(`${target}: ${dirname(place)}: ${fileReason(error)}`, { cause: error });
  });
  if (!parent.isDirectory()) throw new Error(`${target}: ${dirname(place)}: expected a folder`);
  const found = await stat(place).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new Error(`${target}: ${fileReason(error)}`, { cause: error });
  });
  if (found === undefined) return true;
  if (!force) throw new Error(`${target}: is there already; --force replaces a pack`);
  const names = found.isDirectory() ? await readdir(place) : undefined;
  if (names === undefined || (names.length > 0 && !names.includes(MANIFEST))) {
    throw new Error(`${target}: is not a pack; nothing else is replaced`);
  }
  // What the source needs must not be replaced by it.
  const within = `${await realpath(place)}${sep}`;
  const read = [source.where, ...(manifest?.files.map(({ path }) => path) ?? [])];
  for (const path of read) {
    const real = await realpath(path).catch(() => undefined);
    if (real !== undefined && `${real}${sep}`.startsWith(within)) {
      throw new Error(`${target}: the source is in it, and cannot be replaced`);
    }
  }
  return false;
}

/** The finished folder takes the place of the target, which is kept until then. */
async function replace(folder: string, place: string, free: boolean, writer: Writer): Promise<void> {
  if (free) return writer.named(rename(folder, place));
  const old = `${folder}.old`;
  await writer.named(rename(place, old));
  await writer.named(rename(folder, place)).catch(async (error: unknown) => {
    await rename(old, place);
    throw error;
  });
  await writer.named(rm(old, { recursive: true, force: true }));
}

async function load(
  engine: Engine,
  { source }: PackLocation,
  manifest: PackManifest,
  precision: Precision,
  clones: boolean,
  signal: AbortSignal,
): Promise<DoorModel> {
  // An encoder that its pack does not use is not asked for either.
  const duties = { speaks: true, decodes: true, clones: clones && manifest.cloning?.available !== false };
  const builder = new ModelBuilder(engine, duties);
  try {
    await feedModel(nodeHost, Promise.resolve(builder), source, manifest, { precision, signal, encoder: duties.clones });
    return builder.finish(source.where);
  } finally {
    builder.close();
  }
}

/** Parts of a loaded model as a safetensors file; a slice is good until the next one is asked for. */
async function* exported(
  engine: Engine,
  model: DoorModel,
  parts: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const file = engine.run((door) => new door.Export());
  const memory = engine.memory(SLICE_BYTES);
  try {
    engine.call(() => file.open(model, parts));
    for (;;) {
      await nodeHost.pause();
      throwIfAborted(signal);
      const length = engine.call(() => file.read(memory));
      if (length === 0) return;
      yield engine.run(() => memory.bytes().subarray(0, length));
    }
  } finally {
    engine.release(memory);
    engine.release(file);
  }
}

/** Writes the files of a folder, with their sizes and hashes. */
class Writer {
  readonly files: Written[] = [];
  readonly #folder: string;
  readonly #target: string;

  constructor(folder: string, target: string) {
    this.#folder = folder;
    this.#target = target;
  }

  /** Says which target an error is about. */
  async named<T>(work: Promise<T>): Promise<T> {
    return work.catch((error: unknown) => {
      throw new Error(`${this.#target}: ${fileReason(error)}`, { cause: error });
    });
  }

  async write(entry: PackFile, slices: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    const same = this.files.find(({ path }) => path === entry.path);
    if (same !== undefined) {
      // Two names of one voice.
      this.files.push({ ...entry, bytes: same.bytes, sha256: same.sha256 });
      return;
    }
    const path = join(this.#folder, entry.path);
    await this.named(mkdir(dirname(path), { recursive: true }));
    const file = await this.named(open(path, 'wx'));
    const hash = nodeHost.sha256();
    let bytes = 0;
    try {
      for await (const slice of slices) {
        hash.update(slice);
        bytes += slice.length;
        await this.named(file.writeFile(slice));
      }
    } finally {
      await this.named(file.close());
    }
    this.files.push({ ...entry, bytes, sha256: hash.hex() });
  }
}

/** The text of the licence, which a pack may have without listing it. */
async function license(source: Source, listed: readonly PackFile[], signal: AbortSignal): Promise<PackFile[]> {
  const path = 'LICENSE';
  if (listed.some((file) => file.path === path)) return [];
  try {
    await (await source.open(path, signal)).close();
    return [{ path, role: 'other' }];
  } catch (error) {
    if (error instanceof PocketTTSError && error.code === 'not-found') return [];
    throw error;
  }
}

/** A text that says something. */
function given(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}

/** The licence of the weights, which may be that of several files. */
function weightsLicense(manifest: PackManifest): { license?: string } {
  const terms = manifest.files.flatMap(({ role, license }) =>
    role.startsWith('weights') && license ? [license] : [],
  );
  return terms.length === 0 ? {} : { license: [...new Set(terms)].join(' AND ') };
}

/** The configuration in a fixed order; its paths name the files of the pack. */
function convertedConfig(config: PackManifest['config'], tokenizer: string | undefined): unknown {
  const fields = structuredClone(config) as Record<string, Record<string, unknown> | string>;
  const part = (of: Record<string, unknown>, name: string): Record<string, unknown> => {
    const value = of[name];
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  };
  const flow = part(fields, 'flow_lm');
  delete fields['weights_path_without_voice_cloning'];
  delete flow['weights_path'];
  delete part(fields, 'mimi')['weights_path'];
  fields['weights_path'] = MODEL;
  part(flow, 'lookup_table')['tokenizer_path'] = tokenizer;
  return sorted(fields);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, sorted(inner)] as const);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function json(value: unknown): string {
  try {
    // Half a surrogate pair is no text in UTF-8.
    const text = (_: string, inner: unknown): unknown =>
      typeof inner === 'string' ? inner.replaceAll(/\p{Cs}/gu, '\ufffd') : inner;
    return `${JSON.stringify(value, text, 2)}\n`;
  } catch (error) {
    throw new PocketTTSError('config', `configuration: expected plain nested fields: ${describe(error)}`, { cause: error });
  }
}
