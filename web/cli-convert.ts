// The command `packs convert`: its flags, and what it says.
import { helpLines, oneOf, tokenize, UsageError } from './cli-options.js';
import type { Flag } from './cli-options.js';
import { hubOptions } from './cli-packs.js';
import { loadConfig } from './config-node.js';
import { isRemote, remotePath } from './remote-file.js';
import { convertPack } from './convert.js';
import type { ConvertOptions } from './convert.js';
import { nodeHost } from './host-node.js';
import { locatePack } from './packs.js';

export const CONVERT_USAGE = 'packs convert SOURCE TARGET [OPTIONS]';

const FLAGS: Readonly<Record<string, Flag>> = {
  precision: { kind: 'string', value: 'q8|q4', help: "Precision to convert to. Default: the pack's own, else q8" },
  'without-encoder': { kind: 'flag', help: 'Leave out what makes voices from recordings' },
  force: { kind: 'flag', help: 'Replace TARGET if it is a pack' },
  quiet: { kind: 'flag', help: 'Only errors on stderr (also -q)' },
  help: { kind: 'flag', help: 'Show this' },
};

export interface ConvertCommand {
  readonly source: string;
  readonly target: string;
  readonly precision: ConvertOptions['precision'];
  readonly withoutEncoder: boolean;
  readonly force: boolean;
  readonly quiet: boolean;
}

/** The command line behind `packs`; undefined when the help is asked for. Throws UsageError. */
export function parseConvert([command, ...args]: readonly string[]): ConvertCommand | undefined {
  if (command === '--help' || command === '-h') return undefined;
  if (command === undefined) throw new UsageError('Missing command.');
  if (command !== 'convert') throw new UsageError(`No such command: packs ${command}`);
  const { flags, paths } = tokenize(args, FLAGS, 2);
  const values = new Map(flags);
  if (values.has('help')) return undefined;
  const precision = values.get('precision');
  const chosen = precision === undefined ? undefined : oneOf('precision', precision, ['q8', 'q4'] as const);
  const [source, target] = paths;
  if (source === undefined || source === '') throw new UsageError("Missing argument 'SOURCE'.");
  if (target === undefined || target === '') throw new UsageError("Missing argument 'TARGET'.");
  const [withoutEncoder, force, quiet] = [values.has('without-encoder'), values.has('force'), values.has('quiet')];
  return { source, target, precision: chosen, withoutEncoder, force, quiet };
}

/** The help of the command. */
export function convertHelp(): string {
  return [
    `Usage: pocket-tts-wasm ${CONVERT_USAGE}`,
    '',
    'Writes a pack with integer weights: smaller, and loaded without converting. SOURCE is a pack (a folder or URL',
    'prefix with pack.json, or starter) or a configuration file of the reference (.yaml) with local weights; TARGET is',
    'a new folder.',
    '',
    'Options:',
    ...helpLines(FLAGS),
    '',
  ].join('\n');
}

export async function convert(
  { source, target, ...options }: ConvertCommand,
  log: (level: 'INFO', message: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const isConfig = /\.ya?ml$/.test(remotePath(source));
  if (isRemote(target)) throw new Error(`${target}: expected a folder of this machine`);
  const hub = hubOptions(undefined);
  const location = isConfig ? await loadConfig(source, { ...hub, signal }) : locatePack(nodeHost, source, hub);
  const { precision, files } = await convertPack(location, target, { ...options, signal });
  for (const { path, bytes, sha256 } of files) log('INFO', `${path}: ${bytes} bytes, sha256 ${sha256}`);
  log('INFO', `Pack (${precision}) written in ${target}`);
}
