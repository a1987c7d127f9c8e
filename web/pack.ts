// A pack: pack.json and the files it names (models/FORMAT.md), read from a Source and fed to an engine in slices.
// Sizes and sha256 are checked on the way; nothing is spoken with a file that is not the one that was named.
import { describe, PocketTTSError, shown, throwIfAborted } from './errors.js';
import type { ModelSink } from './builder.js';
import { label, memoryFile, readAll } from './host.js';
import type { Host, OpenFile, Source } from './host.js';
import type { Meter } from './progress.js';

/** Working precision: f32, or integer weights of about 8 bits, or of 4 bits in the language model's transformer. */
export type Precision = 'f32' | 'q8' | 'q4';
/** In the order of the engine's PTTS_PRECISION_*. */
export const PRECISIONS: readonly Precision[] = ['f32', 'q8', 'q4'];

export type PackFileRole =
  | 'weights'
  | 'weights-flow-lm'
  | 'weights-mimi'
  | 'weights-encoder'
  | 'tokenizer'
  | 'voice'
  | 'other';

export interface PackFile {
  readonly path: string;
  readonly role: PackFileRole;
  readonly kind?: 'sentencepiece' | 'json';
  readonly name?: string;
  readonly bytes?: number;
  readonly sha256?: string;
  readonly license?: string;
}

export interface PackManifest {
  readonly format: 1;
  readonly name: string;
  readonly description?: string;
  readonly license?: string;
  /** The fields of the reference's configuration files. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly files: readonly PackFile[];
  readonly default_voice?: string;
  readonly precision?: Precision;
  readonly cloning?: { readonly available: boolean; readonly reason?: string };
}

/** The manifest of a pack, and its bytes at most. */
export const MANIFEST = 'pack.json';
export const MANIFEST_LIMIT = 1 << 20;
export const TOKENIZER_LIMIT = 64 << 20;
/** Bytes of a voice file, and of a recording. */
export const VOICE_LIMIT = 64 << 20;
export const AUDIO_LIMIT = 256 << 20;
/** Objects and arrays in each other, in pack.json. */
const NESTING_LIMIT = 10_000;

const ROLES: readonly string[] = [
  'weights',
  'weights-flow-lm',
  'weights-mimi',
  'weights-encoder',
  'tokenizer',
  'voice',
  'other',
];

function fail(where: string, field: string, expected: string, found: unknown): never {
  throw new PocketTTSError('pack', `${where}: ${field}: expected ${expected}, found ${shown(found)}`);
}

function asObject(value: unknown, where: string, field: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail(where, field, 'an object', value);
  return value as Record<string, unknown>;
}

/** A string that may be absent, but not something else. */
function optionalString(value: unknown, where: string, field: string): string | undefined {
  if (value !== undefined && typeof value !== 'string') fail(where, field, 'a string', value);
  return value;
}

/** Whether a path names a file below the pack, whatever the host's idea of a path. */
function isInside(path: string): boolean {
  return (
    !/^[a-z][a-z0-9+.-]*:|[\\\0]/i.test(path) &&
    path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
  );
}

function parseFile(value: unknown, where: string, field: string): PackFile {
  const file = asObject(value, where, field);
  const { path, role, kind, name, bytes, sha256, license } = file;
  if (typeof path !== 'string' || !isInside(path)) {
    fail(where, `${field}.path`, 'a relative path inside the pack', path);
  }
  if (typeof role !== 'string' || !ROLES.includes(role))
    fail(where, `${field}.role`, `one of ${ROLES.join(', ')}`, role);
  if (kind !== undefined && kind !== 'sentencepiece' && kind !== 'json') {
    fail(where, `${field}.kind`, '"sentencepiece" or "json"', kind);
  }
  if (role === 'voice' && (typeof name !== 'string' || name === ''))
    fail(where, `${field}.name`, 'the name of the voice', name);
  if (bytes !== undefined && !(Number.isSafeInteger(bytes) && Number(bytes) >= 0)) {
    fail(where, `${field}.bytes`, 'a whole number of bytes', bytes);
  }
  if (sha256 !== undefined && !(typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256))) {
    fail(where, `${field}.sha256`, '64 hexadecimal digits', sha256);
  }
  const fileName = optionalString(name, where, `${field}.name`);
  const fileLicense = optionalString(license, where, `${field}.license`);
  return {
    path,
    role: role as PackFileRole,
    ...(kind === undefined ? {} : { kind }),
    ...(fileName === undefined ? {} : { name: fileName }),
    ...(bytes === undefined ? {} : { bytes: Number(bytes) }),
    ...(sha256 === undefined ? {} : { sha256: sha256 }),
    ...(fileLicense === undefined ? {} : { license: fileLicense }),
  };
}

/** Checks the content of a pack.json. Unknown fields are left to later versions of the format. */
export function parseManifest(json: unknown, where: string): PackManifest {
  const pack = asObject(json, where, 'content');
  const { format, name, description, license, config, files, default_voice, precision, cloning } = pack;
  if (format !== 1) fail(where, 'format', '1', format);
  if (typeof name !== 'string') fail(where, 'name', 'a string', name);
  if (name === '') fail(where, 'name', 'a string of at least one character', name);
  if (!Array.isArray(files)) fail(where, 'files', 'an array', files);
  const working = PRECISIONS.find((known) => known === precision);
  if (precision !== undefined && working === undefined) fail(where, 'precision', '"f32", "q8" or "q4"', precision);
  const parsed = files.map((file, i) => parseFile(file, where, `files[${i}]`));
  const tokenizers = parsed.filter((file) => file.role === 'tokenizer').length;
  if (tokenizers !== 1) fail(where, 'files', 'exactly one tokenizer', tokenizers);
  const voices = parsed.map((file) => (file.role === 'voice' ? file.name : undefined));
  const twice = voices.findIndex((voice, i) => voice !== undefined && voices.indexOf(voice) !== i);
  if (twice !== -1) fail(where, `files[${twice}].name`, 'a name that no other voice has', voices[twice]);
  const preferred = optionalString(default_voice, where, 'default_voice');
  if (preferred !== undefined && !parsed.some((file) => file.role === 'voice' && file.name === preferred)) {
    fail(where, 'default_voice', 'the name of a voice in files', preferred);
  }
  const clone = cloning === undefined ? undefined : asObject(cloning, where, 'cloning');
  if (clone !== undefined && typeof clone['available'] !== 'boolean') {
    fail(where, 'cloning.available', 'a boolean', clone['available']);
  }
  const reason = optionalString(clone?.['reason'], where, 'cloning.reason');
  const about = optionalString(description, where, 'description');
  const terms = optionalString(license, where, 'license');
  return {
    format: 1,
    name,
    ...(about === undefined ? {} : { description: about }),
    ...(terms === undefined ? {} : { license: terms }),
    config: asObject(config, where, 'config'),
    files: parsed,
    ...(preferred === undefined ? {} : { default_voice: preferred }),
    ...(working === undefined ? {} : { precision: working }),
    ...(clone === undefined
      ? {}
      : {
          cloning: {
            available: clone['available'] === true,
            ...(reason === undefined ? {} : { reason }),
          },
        }),
  };
}

/** How deeply the objects and arrays of a JSON text are nested. */
function nesting(text: string): number {
  let [depth, deepest, inString] = [0, 0, false];
  for (let i = 0; i < text.length; i++) {
    const letter = text[i];
    if (letter === '"') inString = !inString;
    else if (inString) i += letter === '\\' ? 1 : 0;
    else if (letter === '[' || letter === '{') deepest = Math.max(deepest, ++depth);
    else if (letter === ']' || letter === '}') depth--;
  }
  return deepest;
}

/** A key that an object of a JSON text has twice. Readers differ on what that means. */
function repeatedKey(text: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  for (const [token] of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"(?:\s*:)?|[{}[\]]/g)) {
    if (token === '{' || token === '[') open.push(token === '{' ? new Set() : undefined);
    else if (token === '}' || token === ']') open.pop();
    else if (token.endsWith(':')) {
      const key = JSON.parse(token.slice(0, -1)) as string;
      if (open.at(-1)?.has(key)) return key;
      open.at(-1)?.add(key);
    }
  }
  return undefined;
}

/** Reads pack.json of a source. */
export async function readManifest(source: Source, signal?: AbortSignal): Promise<PackManifest> {
  const where = `${source.where}: ${MANIFEST}`;
  return manifestOf(await readAll(await source.open(MANIFEST, signal), where, MANIFEST_LIMIT), where);
}

/** What the bytes of a pack.json say; `where` names it in messages. */
export function manifestOf(bytes: Uint8Array, where: string): PackManifest {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new PocketTTSError('pack', `${where}: expected UTF-8, found other bytes`, { cause: error });
  }
  if (nesting(text) > NESTING_LIMIT) {
    throw new PocketTTSError(
      'pack',
      `${where}: expected at most ${NESTING_LIMIT} levels of nesting, found more`,
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    const found = /^\s*</.test(text) ? 'what looks like HTML' : 'something else';
    throw new PocketTTSError('pack', `${where}: expected JSON, found ${found}`, { cause: error });
  }
  const twice = repeatedKey(text);
  if (twice !== undefined) {
    throw new PocketTTSError('pack', `${where}: expected every key once, found ${shown(twice)} twice`);
  }
  return parseManifest(json, where);
}

/** The slices of a file, with its size and hash checked against the manifest at the end. */
async function* checked(host: Host, source: Source, entry: PackFile, file: OpenFile): AsyncGenerator<Uint8Array> {
  const name = label(source, entry.path);
  const hash = entry.sha256 === undefined || file.verified ? undefined : host.sha256();
  for await (const slice of entry.bytes === undefined ? file.slices : counted(file.slices, entry.bytes, name)) {
    hash?.update(slice);
    yield slice;
  }
  const found = hash?.hex();
  if (found !== undefined && found !== entry.sha256) {
    throw new PocketTTSError('pack', `${name}: expected sha256 ${entry.sha256 ?? 'none'}, found ${found}`);
  }
}

/** A file of a pack; reading it to its end checks it. */
export async function openChecked(host: Host, source: Source, entry: PackFile, signal?: AbortSignal): Promise<OpenFile> {
  const file = await source.open(entry.path, signal, entry);
  if (entry.bytes !== undefined && file.size !== undefined && file.size !== entry.bytes) {
    await file.close();
    throw new PocketTTSError('pack', `${label(source, entry.path)}: expected ${entry.bytes} bytes, found ${file.size}`);
  }
  return { ...file, size: entry.bytes ?? file.size, slices: checked(host, source, entry, file), close: () => file.close() };
}

/** A small file of a pack, checked while it is read, with its size: exactly so many bytes come. */
export async function openPackFile(
  host: Host,
  source: Source,
  entry: PackFile,
  limit: number,
): Promise<OpenFile & { readonly size: number }> {
  const file = await openChecked(host, source, entry);
  const name = label(source, entry.path);
  const { size } = file;
  if (size === undefined || size > limit) {
    // Refuses what is too large; else it is small enough to be counted.
    const bytes = await readAll(file, name, limit);
    return memoryFile(bytes);
  }
  return { ...file, size, slices: counted(file.slices, size, name) };
}

/** Slices that are `size` bytes together, and no others. */
async function* counted(slices: AsyncIterable<Uint8Array>, size: number, name: string): AsyncGenerator<Uint8Array> {
  const refuse = (found: number | string): never => {
    throw new PocketTTSError('pack', `${name}: expected ${size} bytes, found ${found}`);
  };
  let total = 0;
  for await (const slice of slices) {
    total += slice.length;
    if (total > size) refuse('more');
    yield slice;
  }
  if (total < size) refuse(total);
}

/** The configuration as the engine reads it. What JSON cannot hold (a YAML alias to itself, endless nesting) is refused. */
function configBytes(manifest: PackManifest, source: Source): Uint8Array {
  try {
    // YAML has numbers that JSON has no form for; as strings the engine refuses them with the name of the field.
    const text = JSON.stringify(manifest.config, (_, value: unknown) =>
      typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
    );
    return new TextEncoder().encode(text);
  } catch (error) {
    const message = `${source.where}: configuration: expected plain nested fields: ${describe(error).split('\n')[0] ?? ''}`;
    throw new PocketTTSError('config', message, { cause: error });
  }
}

/** Does `work`, and does it again when a damaged copy of the cache made it fail, which is gone then. */
export async function retrying<T>(source: Source, work: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await work();
    } catch (error) {
      const ours = error instanceof PocketTTSError && error.code !== 'aborted' && error.code !== 'disposed';
      if (!ours || tries === 3 || !(await source.recheck?.())) throw error;
    }
  }
}

/** What was asked for, else what the pack says of itself, else q8. */
export function workingPrecision(
  options: { readonly precision?: Precision | undefined },
  manifest: PackManifest,
): Precision {
  return options.precision ?? manifest.precision ?? 'q8';
}

export interface LoadModelOptions {
  readonly precision?: Precision | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly meter?: Meter | undefined;
  /** Reads the encoder too, where it is a file of its own. Speaking does not need it. */
  readonly encoder?: boolean | undefined;
}

const isEncoder = ({ role }: PackFile): boolean => role === 'weights-encoder';

/**
 * The files that speak, in the order of reading. The tokenizer is small and goes first: a text model that does not fit is
 * known before the long read.
 */
export function modelFiles({ files }: PackManifest): readonly PackFile[] {
  return [
    ...files.filter(({ role }) => role === 'tokenizer'),
    ...files.filter((file) => file.role.startsWith('weights') && !isEncoder(file)),
  ];
}

/**
 * What makes voices out of audio, where it is not in the file of the other weights. It is read behind them: the engine would
 * take it for a whole Mimi. Nobody asks one that is not to be used.
 */
export function encoderFiles({ files, cloning }: PackManifest): readonly PackFile[] {
  return cloning?.available === false ? [] : files.filter(isEncoder);
}

/** The voice that a pack names, or its only one. */
export function defaultVoiceName({ default_voice, files }: PackManifest): string | undefined {
  const voices = files.filter((file) => file.role === 'voice');
  return default_voice ?? (voices.length === 1 ? voices[0]?.name : undefined);
}

/**
 * Feeds the model of a pack to a sink: one slice at a time, no second copy of the weights here. The files are opened
 * before the sink is there, so that they are under way while the engine is being compiled.
 */
export async function feedModel(
  host: Host,
  starting: Promise<ModelSink>,
  source: Source,
  manifest: PackManifest,
  options: LoadModelOptions,
): Promise<void> {
  const { signal, meter } = options;
  const files = [...modelFiles(manifest), ...(options.encoder === true ? encoderFiles(manifest) : [])];
  const [tokenizer, first, ...rest] = files;
  for (const { path, bytes } of files) meter?.expect(path, bytes);
  const config = configBytes(manifest, source);
  const opening = [tokenizer, first].map((entry) => entry && openChecked(host, source, entry, signal));
  const [openTokenizer, openFirst] = opening;
  for (const promise of [...opening, starting]) promise?.catch(() => undefined);
  try {
    const sink = await starting;
    await sink.openPack(config, workingPrecision(options, manifest), `${source.where}: configuration`);
    if (tokenizer !== undefined && openTokenizer !== undefined) {
      const name = label(source, tokenizer.path);
      const { phase = 'load', ...file } = await openTokenizer;
      const bytes = await readAll(file, name, TOKENIZER_LIMIT);
      const kind = tokenizer.kind ?? (tokenizer.path.endsWith('.json') ? 'json' : 'sentencepiece');
      await sink.tokenizer(bytes, kind === 'json', name);
      meter?.expect(tokenizer.path, bytes.length);
      meter?.add(tokenizer.path, phase, bytes.length);
    }
    for (const entry of first === undefined ? [] : [first, ...rest]) {
      const file = entry === first ? openFirst : openChecked(host, source, entry, signal);
      if (file === undefined) continue;
      await feedFile(await file, sink, entry, label(source, entry.path), signal, meter);
    }
  } finally {
    for (const promise of opening) await promise?.then((file) => file.close()).catch(() => undefined);
  }
}

/** Weights whose size nobody says are refused: they might not end. */
export function knownSize(size: number | undefined, name: string): number {
  if (size !== undefined) return size;
  throw new PocketTTSError('pack', `${name}: the size is not known: give it as bytes in pack.json`);
}

async function feedFile(
  file: OpenFile,
  sink: ModelSink,
  entry: PackFile,
  name: string,
  signal: AbortSignal | undefined,
  meter: Meter | undefined,
): Promise<void> {
  meter?.expect(entry.path, file.size);
  try {
    let begun = false;
    for await (const slice of file.slices) {
      throwIfAborted(signal);
      if (!begun) {
        await sink.file(entry.role, knownSize(file.size, name), name);
        begun = true;
      }
      await sink.feed(slice, name);
      meter?.add(entry.path, file.phase ?? 'load', slice.length);
    }
    // An empty file has no slices; the engine says what it thinks of it.
    if (!begun) await sink.file(entry.role, 0, name);
  } finally {
    await file.close();
  }
}
