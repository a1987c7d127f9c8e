// The command line of `generate`: flags, their types, and usage errors (exit 2), as in the reference.
import { parseArgs } from 'node:util';
import { PRECISIONS } from './pack.js';
import type { Precision } from './pack.js';

/** A command line that cannot be understood. */
export class UsageError extends Error {}

type FlagKind = 'string' | 'int' | 'float' | 'flag';

export interface Flag {
  readonly kind: FlagKind;
  /** Shown in the help; hidden when undefined. */
  readonly help?: string;
  readonly value?: string;
}

type Flags = Readonly<Record<string, Flag>>;

const FLAGS: Flags = {
  text: {
    kind: 'string',
    value: 'TEXT',
    help: 'Text to speak; - reads all of stdin. Default: a sentence in the language',
  },
  voice: {
    kind: 'string',
    value: 'VOICE',
    help: 'A voice of the pack by name, a voice file (.safetensors) or a recording (.wav): a path, https:// or hf://',
  },
  quiet: { kind: 'flag', help: 'Only errors on stderr (also -q)' },
  pack: {
    kind: 'string',
    value: 'PATH|URL|NAME',
    help: 'A pack: a folder or URL prefix with pack.json, or a name: starter (default: offline), english, ...',
  },
  language: { kind: 'string', value: 'NAME', help: 'An official model by name, fetched once and then kept (packs list)' },
  hub: {
    kind: 'string',
    value: 'TEMPLATE',
    help: 'Hub of the official models: a URL with {repository}, {revision}, {path}; several: space between them',
  },
  cache: { kind: 'string', value: 'auto|none', help: 'Whether downloads are kept. Default: auto, in the cache folder' },
  config: { kind: 'string', value: 'PATH', help: 'A configuration file of the reference (.yaml): a path, https:// or hf://' },
  checkpoint: { kind: 'string', value: 'PATH', help: 'A training checkpoint (not supported)' },
  precision: { kind: 'string', value: 'f32|q8|q4', help: "Working precision. Default: the pack's own, else q8" },
  quantize: { kind: 'flag', help: 'Same as --precision q8' },
  'no-quantize': { kind: 'flag', help: 'Same as --precision f32' },
  'sampler-decode-steps': { kind: 'int', value: 'N', help: 'Steps of the sampler. Default: 1' },
  'lsd-decode-steps': { kind: 'int' },
  temperature: { kind: 'float', value: 'X', help: "Variance of the noise. Default: the model's own" },
  'noise-clamp': { kind: 'float', value: 'X', help: 'Truncate the noise to [-X, X]' },
  'eos-threshold': { kind: 'float', value: 'X', help: "The end is a logit above X. Default: the model's own" },
  'frames-after-eos': { kind: 'int', value: 'N', help: 'Frames made after the end was found' },
  'max-tokens': { kind: 'int', value: 'N', help: 'Tokens in a chunk. Default: 50' },
  seed: { kind: 'string', value: 'N|random', help: 'Seed of the noise, 0 to 18446744073709551615. Default: 42' },
  rng: {
    kind: 'string',
    value: 'chunk|torch',
    help: 'Random streams: one for each chunk, or one sequential as in the reference',
  },
  instances: {
    kind: 'string',
    value: 'auto|1|2',
    help: 'Instances of the engine that share the work on a chunk. Default: auto, 2 for larger models on two cores',
  },
  parallel: {
    kind: 'int',
    value: 'N',
    help: 'Workers that share the chunks of a long text. Default: 1',
  },
  device: { kind: 'string', value: 'cpu', help: 'Only cpu' },
  'output-path': { kind: 'string', value: 'PATH', help: 'Where the WAV goes; - is stdout. Default: ./tts_output.wav' },
  help: { kind: 'flag', help: 'Show this' },
};

export interface Options {
  text?: string;
  voice?: string;
  quiet: boolean;
  help: boolean;
  pack?: string;
  language?: string;
  hub?: string;
  cache?: 'auto' | 'none';
  config?: string;
  checkpoint?: string;
  precision?: Precision;
  steps?: number;
  /** --lsd-decode-steps was given. */
  oldSteps: boolean;
  temperature?: number;
  noiseClamp?: number;
  eosThreshold?: number;
  framesAfterEos?: number;
  maxTokens?: number;
  seed?: bigint | 'random';
  rng?: 'chunk' | 'torch';
  instances?: 'auto' | '1' | '2';
  parallel?: number;
  device: string;
  outputPath: string;
}

function invalid(name: string, problem: string): never {
  throw new UsageError(`Invalid value for '--${name}': ${problem}.`);
}

/** Whole decimal numbers of 32 bits: "010" is ten, as in Python. */
function toInt(name: string, text: string): number {
  const value = /^\s*[+-]?\d+\s*$/.test(text) ? Number(text) : NaN;
  if (Number.isNaN(value)) invalid(name, `'${text}' is not a valid integer`);
  if (value !== (value | 0)) invalid(name, `'${text}' does not fit 32 bits`);
  return value;
}

/** A decimal number as Python's float() reads it, or undefined. Infinity and NaN have their names. */
export function decimal(text: string): number | undefined {
  const number = /^([+-]?)(?:(inf|infinity)|(nan)|((?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?))$/i.exec(text.trim());
  if (number === null) return undefined;
  const [, sign, infinite, nan, digits] = number;
  const value = infinite !== undefined ? Infinity : nan !== undefined ? NaN : Number(digits);
  return sign === '-' ? -value : value;
}

/** Decimal numbers that the engine can hold. */
function toFloat(name: string, text: string): number {
  const value = decimal(text);
  if (value === undefined) invalid(name, `'${text}' is not a valid float`);
  if (!Number.isFinite(Math.fround(value))) invalid(name, `'${text}' is not a finite number of 32 bits`);
  return value;
}

export function oneOf<T extends string>(name: string, text: string, allowed: readonly T[]): T {
  const found = allowed.find((value) => value === text);
  if (found === undefined) {
    invalid(name, `'${text}' is not one of ${allowed.map((value) => `'${value}'`).join(', ')}`);
  }
  return found;
}

function toSeed(text: string): bigint | 'random' {
  if (text === 'random') return text;
  const seed = /^\s*\+?\d+\s*$/.test(text) ? BigInt(text.trim().replace('+', '')) : -1n;
  if (seed >= 0n && seed < 2n ** 64n) return seed;
  invalid('seed', `'${text}' is not 'random' or a whole number from 0 to ${String(2n ** 64n - 1n)}`);
}

/** The flags in the order given, with values, and what else is given; checks names and presence. */
export function tokenize(
  args: readonly string[],
  known: Flags,
  positionals: number,
): { flags: [string, string][]; paths: string[] } {
  const options = Object.fromEntries(
    Object.entries(known).map(([name, { kind }]) => [
      name,
      { type: kind === 'flag' ? ('boolean' as const) : ('string' as const) },
    ]),
  );
  // Not strict: the checks below know that values may start with '-' and word the errors.
  const { tokens } = parseArgs({
    args: [...args],
    options: { ...options, quiet: { type: 'boolean', short: 'q' }, help: { type: 'boolean', short: 'h' } },
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const paths: string[] = [];
  const meant = tokens.filter((token, i) => {
    if (token.kind === 'positional' && paths.length < positionals) return paths.push(token.value) < 0;
    return token.kind !== 'option-terminator' || (positionals === 0 && i < tokens.length - 1);
  });
  const flags = meant.map((token): [string, string] => {
    if (token.kind !== 'option') {
      throw new UsageError(`Got unexpected extra argument (${token.kind === 'positional' ? token.value : '--'})`);
    }
    const flag = Object.hasOwn(known, token.name) ? known[token.name] : undefined;
    if (flag === undefined) throw new UsageError(`No such option: ${token.rawName}`);
    if (flag.kind === 'flag') {
      if (token.value !== undefined) throw new UsageError(`Option '${token.rawName}' does not take a value.`);
      return [token.name, ''];
    }
    if (token.value === undefined) throw new UsageError(`Option '${token.rawName}' requires an argument.`);
    return [token.name, token.value];
  });
  return { flags, paths };
}

/** The options of `generate`; throws UsageError. A repeated flag: the last one counts. */
export function parseOptions(args: readonly string[]): Options {
  const options: Options = {
    quiet: false,
    help: false,
    oldSteps: false,
    device: 'cpu',
    outputPath: './tts_output.wav',
  };
  let newSteps: number | undefined;
  let oldSteps: number | undefined;
  const set: Record<string, (name: string, value: string) => void> = {
    text: (_, v) => {
      options.text = v;
    },
    voice: (_, v) => {
      options.voice = v;
    },
    quiet: () => {
      options.quiet = true;
    },
    help: () => {
      options.help = true;
    },
    pack: (_, v) => {
      options.pack = v;
    },
    language: (_, v) => {
      options.language = v;
    },
    hub: (_, v) => {
      options.hub = v;
    },
    cache: (name, v) => {
      options.cache = oneOf(name, v, ['auto', 'none']);
    },
    config: (_, v) => {
      options.config = v;
    },
    checkpoint: (_, v) => {
      options.checkpoint = v;
    },
    precision: (name, v) => {
      options.precision = oneOf(name, v, PRECISIONS);
    },
    quantize: () => {
      options.precision = 'q8';
    },
    'no-quantize': () => {
      options.precision = 'f32';
    },
    'sampler-decode-steps': (name, v) => {
      newSteps = toInt(name, v);
    },
    'lsd-decode-steps': (name, v) => {
      oldSteps = toInt(name, v);
    },
    temperature: (name, v) => {
      options.temperature = toFloat(name, v);
    },
    'noise-clamp': (name, v) => {
      options.noiseClamp = toFloat(name, v);
    },
    'eos-threshold': (name, v) => {
      options.eosThreshold = toFloat(name, v);
    },
    'frames-after-eos': (name, v) => {
      options.framesAfterEos = toInt(name, v);
    },
    'max-tokens': (name, v) => {
      options.maxTokens = toInt(name, v);
    },
    seed: (_, v) => {
      options.seed = toSeed(v);
    },
    rng: (name, v) => {
      options.rng = oneOf(name, v, ['chunk', 'torch']);
    },
    instances: (name, v) => {
      options.instances = oneOf(name, v, ['auto', '1', '2']);
    },
    parallel: (name, v) => {
      options.parallel = toInt(name, v);
    },
    device: (_, v) => {
      options.device = v;
    },
    'output-path': (_, v) => {
      options.outputPath = v;
    },
  };
  for (const [name, value] of tokenize(args, FLAGS, 0).flags) set[name]?.(name, value);
  const steps = oldSteps ?? newSteps;
  if (steps !== undefined) options.steps = steps;
  options.oldSteps = oldSteps !== undefined;
  return options;
}

export function helpLines(flags: Flags): string[] {
  return Object.entries(flags).flatMap(([name, { value, help: text }]) => {
    if (text === undefined) return [];
    return [`  ${`--${name}${value === undefined ? '' : ` ${value}`}`.padEnd(28)}${text}`];
  });
}

/** The help of the program. */
export function help(): string {
  return [
    'Usage: pocket-tts-wasm generate [OPTIONS]',
    '       pocket-tts-wasm packs list | pull | verify | rm | convert ...',
    '       pocket-tts-wasm --help | --version',
    '',
    'Speaks a text into a WAV file.',
    '',
    'Options:',
    ...helpLines(FLAGS),
    '',
  ].join('\n');
}
