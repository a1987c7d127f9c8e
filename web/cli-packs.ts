// The commands `packs list`, `packs pull`, `packs verify` and `packs rm`: what can be had, and what is in the cache.
import { helpLines, tokenize, UsageError } from './cli-options.js';
import type { Flag } from './cli-options.js';
import { cacheInfo, clearCache, isOfPack, listOf, packState } from './cache-info.js';
import { Cache } from './cache.js';
import { PocketTTSError } from './errors.js';
import { label } from './host.js';
import { nodeHost } from './host-node.js';
import { encoderFiles, knownSize, MANIFEST, modelFiles, openChecked, readManifest, retrying, TOKENIZER_LIMIT, VOICE_LIMIT } from './pack.js';
import type { PackFile } from './pack.js';
import { locatePack, PACK_NAMES } from './packs.js';
import type { PackOptions } from './packs.js';
import { Meter } from './progress.js';

export const PACKS_USAGE = 'packs list | pull | verify | rm | convert';

const QUIET: Flag = { kind: 'flag', help: 'Only errors on stderr (also -q)' };
const HELP: Flag = { kind: 'flag', help: 'Show this' };
const HUB_FLAG: Flag = {
  kind: 'string',
  value: 'TEMPLATE',
  help: 'Hub of the official packs: a URL with {repository}, {revision}, {path}; several: space between them',
};

const COMMANDS = {
  list: { arguments: '', most: 0, flags: { quiet: QUIET, help: HELP } },
  pull: {
    arguments: ' PACK',
    most: 1,
    flags: {
      voice: { kind: 'string', value: 'NAME', help: "A voice of the pack, or all. Default: the pack's own" },
      hub: HUB_FLAG,
      quiet: QUIET,
      help: HELP,
    },
  },
  verify: { arguments: ' [PACK]', most: 1, flags: { quiet: QUIET, help: HELP } },
  rm: { arguments: ' PACK', most: 1, flags: { all: { kind: 'flag', help: 'All packs' }, quiet: QUIET, help: HELP } },
} satisfies Record<string, { arguments: string; most: number; flags: Readonly<Record<string, Flag>> }>;

type CommandName = keyof typeof COMMANDS;

export interface PacksCommand {
  readonly command: CommandName;
  readonly pack: string | undefined;
  readonly all: boolean;
  readonly voice: string | undefined;
  readonly hub: readonly string[] | undefined;
  readonly quiet: boolean;
}

export const isPacksCommand = (name: string | undefined): name is CommandName =>
  name !== undefined && Object.hasOwn(COMMANDS, name);

/** The command line behind `packs`; undefined when the help is asked for. Throws UsageError. */
export function parsePacks(command: CommandName, args: readonly string[]): PacksCommand | undefined {
  const { most, flags: known } = COMMANDS[command];
  const { flags, paths } = tokenize(args, known, most);
  const values = new Map(flags);
  if (values.has('help')) return undefined;
  const [pack] = paths;
  const all = values.has('all');
  if (pack === '') throw new UsageError("Missing argument 'PACK'.");
  if (pack === undefined && !all && (command === 'pull' || command === 'rm')) {
    throw new UsageError(command === 'rm' ? "Missing argument 'PACK' (or --all)." : "Missing argument 'PACK'.");
  }
  return { command, pack, all, voice: values.get('voice'), hub: templates(values.get('hub')), quiet: values.has('quiet') };
}

/** The value of --hub. */
export function templates(value: string | undefined): readonly string[] | undefined {
  return value?.split(/\s+/).filter((template) => template !== '');
}

/** What the environment says of the hub: HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE. HF_HOME: hub-cache.ts. */
export function hubOptions(hub: readonly string[] | undefined): PackOptions {
  const { HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE } = process.env;
  if (/^(1|on|yes|true)$/i.test(HF_HUB_OFFLINE ?? '')) return { hub: [] };
  const endpoint = HF_ENDPOINT ? `${HF_ENDPOINT.replace(/\/+$/, '')}/{repository}/resolve/{revision}/{path}` : undefined;
  return { hub: hub ?? endpoint, token: HF_TOKEN ? HF_TOKEN.trim() : undefined };
}

export function packsHelp(): string {
  return [
    ...Object.entries(COMMANDS).map(
      ([name, { arguments: wanted }], i) => `${i === 0 ? 'Usage: ' : '       '}pocket-tts-wasm packs ${name}${wanted} [OPTIONS]`,
    ),
    '       pocket-tts-wasm packs convert SOURCE TARGET [OPTIONS]',
    '',
    'list: packs by name, and what is in the cache. pull: fetches a pack (a name or URL) into the cache; what was cut goes',
    'on where it ended. verify: reads what is in the cache and removes what is damaged. rm: removes a pack from the cache.',
    '',
    ...Object.entries(COMMANDS).flatMap(([name, { flags }]) => {
      const own = Object.entries<Flag>(flags).filter(([, flag]) => flag !== QUIET && flag !== HELP);
      return own.length === 0 ? [] : [`Options of ${name}:`, ...helpLines(Object.fromEntries(own)), ''];
    }),
    'Options of all:',
    ...helpLines({ quiet: QUIET, help: HELP }),
    '',
    'Environment: POCKET_TTS_CACHE, else XDG_CACHE_HOME (where downloads are kept), HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_OFFLINE.',
    '',
  ].join('\n');
}

type Log = (level: 'INFO' | 'WARNING', message: string) => void;

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

/** Runs a command. `print` goes to stdout. The result is the exit code. */
export async function runPacks(
  { command, pack, all, voice, hub }: PacksCommand,
  print: (text: string) => void,
  log: Log,
  signal: AbortSignal,
): Promise<number> {
  switch (command) {
    case 'list':
      print(await list());
      return 0;
    case 'pull':
      await pull(pack ?? '', voice, { ...hubOptions(hub), onWarning: ({ message }) => { log('WARNING', message); } }, log, signal);
      return 0;
    case 'verify':
      return (await verify(pack, log, signal)) ? 0 : 1;
    case 'rm': {
      const bytes = await clearCache(nodeHost, { pack: all ? undefined : pack });
      if (bytes === 0 && !all) throw new PocketTTSError('not-found', `${pack ?? ''}: nothing of it is in the cache`);
      log('INFO', `Removed ${megabytes(bytes)}`);
      return 0;
    }
  }
}

async function list(): Promise<string> {
  const { files, where } = await cacheInfo(nodeHost, {});
  const urls = [...new Set(files.map(({ pack }) => pack))].filter((pack) => !PACK_NAMES.includes(pack));
  const lines = [];
  for (const name of [...PACK_NAMES, ...urls.sort()]) {
    const own = files.filter(({ pack }) => pack === name);
    const bytes = own.reduce((sum, file) => sum + file.bytes, 0);
    // Voices and configurations at addresses of their own are what is there of them.
    const isPack = PACK_NAMES.includes(name) || name.endsWith('/');
    const state = isPack && bytes > 0 ? await packState(locatePack(nodeHost, name, {})).catch(() => undefined) : undefined;
    const complete = isPack ? (state?.every(({ found }) => found.file !== undefined) ?? false) : own.every((file) => file.complete);
    const kept = name === 'starter' ? 'in the package' : bytes === 0 ? '' : `${complete ? 'cached' : 'in part'}, ${megabytes(bytes)}`;
    lines.push(`${name.padEnd(27)} ${kept}`.trimEnd());
  }
  return `${lines.join('\n')}\n\nCache: ${where ?? 'none'}\n`;
}

async function pull(name: string, voice: string | undefined, options: PackOptions, log: Log, signal: AbortSignal): Promise<void> {
  const location = locatePack(nodeHost, name, options);
  const { source } = location;
  const manifest = location.manifest ?? (await readManifest(source, signal));
  if (source.kept === undefined) {
    log('INFO', `${name}: is on this machine`);
    return;
  }
  const voices = manifest.files.filter(({ role }) => role === 'voice');
  const wanted = voice ?? manifest.default_voice ?? voices[0]?.name;
  const chosen = voice === 'all' ? voices : voices.filter((file) => file.name === wanted);
  if (chosen.length === 0 && voice !== undefined) {
    throw new PocketTTSError('not-found', `No voice "${voice}" in the pack ${manifest.name} (it has: ${voices.map((file) => file.name).join(', ')})`);
  }
  const files = [...modelFiles(manifest), ...encoderFiles(manifest), ...chosen];
  let second = 0;
  const meter = new Meter(({ loaded, total, bytesPerSecond }) => {
    // A line every few seconds, for logs as well as for people.
    const now = Math.floor(performance.now() / 5000);
    if (now === second) return;
    second = now;
    const rate = bytesPerSecond === undefined ? '' : `, ${megabytes(bytesPerSecond)}/s`;
    log('INFO', `${megabytes(loaded)}${total === undefined ? '' : ` of ${megabytes(total)}`}${rate}`);
  });
  for (const { path, bytes } of files) meter.expect(path, bytes);
  for (const file of files) {
    await retrying(source, async () => {
      const size = await drain(file, meter, signal, source);
      log('INFO', `${file.path}: ${size} bytes`);
    });
  }
  meter.end();
  if (location.manifest === undefined) log('INFO', `${MANIFEST} is asked for anew at every load()`);
}

/** Reads a file to its end, which keeps and checks it. One that load() would not take is refused before it fills the disk. */
async function drain(file: PackFile, meter: Meter, signal: AbortSignal, source: Parameters<typeof openChecked>[1]): Promise<number> {
  const opened = await openChecked(nodeHost, source, file, signal);
  const name = label(source, file.path);
  const limit = file.role === 'tokenizer' ? TOKENIZER_LIMIT : file.role === 'voice' ? VOICE_LIMIT : undefined;
  let size = 0;
  try {
    const most = limit ?? knownSize(opened.size, name);
    meter.expect(file.path, opened.size);
    for await (const slice of opened.slices) {
      size += slice.length;
      if (size > most) throw new PocketTTSError('pack', `${name}: expected at most ${most} bytes, found more`);
      meter.add(file.path, opened.phase ?? 'load', slice.length);
    }
  } finally {
    await opened.close();
  }
  return size;
}

/** Compares what is kept with its hashes; false when something was damaged, which is gone then. */
async function verify(pack: string | undefined, log: Log, signal: AbortSignal): Promise<boolean> {
  const store = await new Cache(nodeHost.stores('auto'), () => nodeHost.sha256()).store();
  const kept = store === undefined ? [] : await listOf(store);
  const chosen = kept.filter(({ meta }) => pack === undefined || isOfPack(meta, pack));
  if (pack !== undefined && chosen.length === 0) throw new PocketTTSError('not-found', `${pack}: nothing of it is in the cache`);
  let good = true;
  for (const { key, meta, complete, size } of chosen) {
    if (!complete) {
      log('INFO', `${meta.identity}: a part, ${size} of ${meta.bytes ?? 'unknown'} bytes`);
      continue;
    }
    const hash = nodeHost.sha256();
    const { file } = (await store?.find(key)) ?? {};
    for await (const slice of file?.read() ?? []) {
      signal.throwIfAborted();
      hash.update(slice);
    }
    const found = hash.hex();
    const right = found === meta.sha256 && size === meta.bytes;
    if (!right) await store?.remove(key);
    good &&= right;
    if (right) log('INFO', `${meta.identity}: ${size} bytes, sha256 ${found}`);
    else log('WARNING', `${meta.identity}: expected sha256 ${meta.sha256 ?? 'none'}, found ${found}; removed`);
  }
  return good;
}
