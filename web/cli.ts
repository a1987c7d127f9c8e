#!/usr/bin/env node
// The command line program: `generate` and `packs`. Nothing but WAV bytes goes to stdout; lines on stderr are
// `LEVEL: message`. Exit codes: 0 done, 1 failed, 2 usage.
import { randomInt } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { writeSync } from 'node:fs';
import { basename } from 'node:path';
import { addAbortSignal } from 'node:stream';
import { decimal, help, parseOptions, UsageError } from './cli-options.js';
import type { Options } from './cli-options.js';
import { convert, convertHelp, CONVERT_USAGE, parseConvert } from './cli-convert.js';
import { hubOptions, isPacksCommand, packsHelp, PACKS_USAGE, parsePacks, runPacks, templates } from './cli-packs.js';
import { checkOutput, isBrokenPipe, WavOutput } from './cli-output.js';
import { describe, PocketTTSError } from './errors.js';
import { fileError, fileReason, nodeHost, plainFile } from './host-node.js';
import { CONFIG_VOICE, defaultText, LANGUAGES } from './languages.js';
import { PocketTTS } from './node.js';
import type { Info, Voice, Warning } from './node.js';
import { AUDIO_LIMIT, VOICE_LIMIT } from './pack.js';
import { fetchRemote, isRemote, remotePath } from './remote-file.js';
import type { RemoteFileOptions } from './remote-file.js';

declare const PACKAGE_VERSION: string;

/** What the engine takes at most. */
const MAX_TEXT_BYTES = 4 << 20;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
/** Exit codes of signals. */
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
/** What a signal leaves the program for a graceful end. */
const GRACE_MS = 500;

/** A failure that was explained: one line, exit 1. */
class Failure extends Error {}

type Level = 'INFO' | 'WARNING' | 'ERROR';
type Log = (level: Level, message: string) => void;

// What a terminal acts on: control characters (C0, C1), and those that turn or break the order of what is read.
// eslint-disable-next-line no-control-regex
const UNSAFE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Names and addresses come from others: nothing in them is an order to the terminal. */
function printable(text: string): string {
  return text.replaceAll(UNSAFE, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

const oneLine = (text: string): string => text.replaceAll(/\s*\n\s*/g, ' ');

function toStderr(text: string): void {
  try {
    writeSync(2, printable(text));
  } catch {
    // Nobody listens; the exit code says the rest.
  }
}

/** Everything on stdin, as bytes: the engine judges the encoding. */
async function readStdin(signal: AbortSignal): Promise<Uint8Array> {
  const slices: Buffer[] = [];
  let size = 0;
  for await (const slice of addAbortSignal(signal, process.stdin)) {
    slices.push(slice as Buffer);
    size += (slice as Buffer).length;
    if (size > MAX_TEXT_BYTES) throw new Failure(`text: expected at most ${MAX_TEXT_BYTES} bytes, found more`);
  }
  const bytes = Buffer.concat(slices);
  // A byte order mark is not text.
  return bytes.subarray(0, 3).equals(BYTE_ORDER_MARK) ? bytes.subarray(3) : bytes;
}

/** The official model that was named, by either flag. */
function officialName({ language, pack }: Options): string | undefined {
  return language ?? LANGUAGES.find((name) => name === pack);
}

/** The text to speak; fails on one that is empty or blank. */
async function readText(options: Options, signal: AbortSignal): Promise<string | Uint8Array> {
  const text = options.text ?? defaultText(officialName(options));
  const content = text === '-' ? await readStdin(signal) : text.replace(/^\ufeff/, '');
  const shown = typeof content === 'string' ? content : new TextDecoder().decode(content);
  if (shown.trim() === '') throw new Failure('No input received from stdin.');
  return content;
}

/** Refuses what the options ask for and this version does not have. Nothing has been loaded yet. */
function checkOptions(options: Options): void {
  const { language, config, pack, voice } = options;
  if (config !== undefined && language !== undefined) {
    throw new Failure('ValueError: Cannot specify both config and language, please choose one or the other.');
  }
  if (pack !== undefined && (config ?? language) !== undefined) {
    throw new Failure('Cannot specify both pack and config or language, please choose one or the other.');
  }
  if (options.checkpoint !== undefined) {
    throw new Failure(
      '--checkpoint: training checkpoints are not supported; export the model to safetensors and use --config.',
    );
  }
  if (options.device !== 'cpu') throw new Failure(`--device ${options.device}: only cpu is supported.`);
  if (pack === '') throw new Failure('--pack: expected a folder, a URL or starter, found an empty text.');
  if (voice === '') throw new Failure('--voice: expected a name or a file, found an empty text.');
  if (language !== undefined) {
    if (!(LANGUAGES as readonly string[]).includes(language)) {
      throw new Failure(`Unknown language '${language}'. Available languages: ${LANGUAGES.join(', ')}.`);
    }
  }
}

/** --voice: a voice file, a name, or a recording, in this order; the files also at an address. */
async function resolveVoice(tts: PocketTTS, voice: string, options: RemoteFileOptions): Promise<Voice> {
  const { signal } = options;
  const voiceFile = remotePath(voice).endsWith('.safetensors');
  if (isRemote(voice)) {
    const [limit, code] = voiceFile ? ([VOICE_LIMIT, 'voice'] as const) : ([AUDIO_LIMIT, 'audio'] as const);
    const bytes = await fetchRemote(nodeHost, voice, '--voice', limit, code, options);
    const name = basename(remotePath(voice));
    return voiceFile ? tts.loadVoice(bytes, { name, signal }) : tts.cloneVoice(bytes, { name, signal });
  }
  const read = async (): Promise<Uint8Array> => {
    const { size } = await plainFile(voice, 'voice', `--voice ${voice}`);
    const limit = voiceFile ? VOICE_LIMIT : AUDIO_LIMIT;
    if (size > limit) throw new Failure(`--voice ${voice}: expected at most ${limit} bytes, found ${size}`);
    return readFile(voice).catch((error: unknown) => {
      throw fileError(error, `--voice ${voice}`);
    });
  };
  if (voiceFile) return tts.loadVoice(await read(), { name: basename(voice) });
  if (tts.voices.some(({ name }) => name === voice)) return tts.loadVoice(voice);
  const bytes = await read().catch((error: unknown) => {
    // There is a file, but not one that can be read.
    if (error instanceof Failure || (error instanceof PocketTTSError && !(error.cause instanceof Error))) throw error;
    const names = tts.voices.map(({ name }) => name).join(', ');
    throw new Failure(
      `--voice ${voice}: neither a voice of this pack (${names === '' ? 'it has none' : names}) nor a file.`,
    );
  });
  return tts.cloneVoice(bytes, { name: basename(voice) });
}

/** FIRST_CHUNK_LENGTH_SECONDS: audio held back before the first byte. */
function holdSeconds(): number {
  const value = process.env['FIRST_CHUNK_LENGTH_SECONDS'];
  if (value === undefined || value === '') return 0;
  const seconds = decimal(value) ?? NaN;
  if (Number.isNaN(seconds)) throw new Failure(`FIRST_CHUNK_LENGTH_SECONDS: expected a number, found '${value}'.`);
  return Math.max(0, seconds);
}

/** What the package says about its options, in terms of the flags. */
function inFlags(error: unknown, options: Options): unknown {
  if (!(error instanceof PocketTTSError) || !['argument', 'unsupported'].includes(error.code)) return error;
  const flags: Readonly<Record<string, string>> = {
    pack: 'pack',
    hub: 'hub',
    cache: 'cache',
    temperature: 'temperature',
    noiseClamp: 'noise-clamp',
    eosThreshold: 'eos-threshold',
    decodeSteps: options.oldSteps ? 'lsd-decode-steps' : 'sampler-decode-steps',
    framesAfterEos: 'frames-after-eos',
    maxTokens: 'max-tokens',
    parallel: 'parallel',
  };
  const [, name = '', rest = ''] = /^(\w+)(: .*)/.exec(error.message) ?? [];
  return Object.hasOwn(flags, name) ? new Failure(`--${flags[name] ?? ''}${rest}`) : error;
}

/** How many instances speak. */
function layout({ instances, reason, parallel }: Info): string {
  if (parallel > 1) return `${parallel} workers (${reason})`;
  return `${instances === 1 ? '1 instance' : `${instances} instances`} (${reason})`;
}

async function generate(options: Options, log: Log, signal: AbortSignal): Promise<void> {
  const text = await readText(options, signal);
  checkOptions(options);
  const hold = holdSeconds();
  await checkOutput(options.outputPath);
  if (options.oldSteps) log('WARNING', '--lsd-decode-steps is deprecated, use --sampler-decode-steps');
  // 32 bits are all that the generator takes.
  const seed = options.seed === 'random' ? randomInt(2 ** 32) : options.seed;
  if (options.seed === 'random') log('INFO', `Seed: ${String(seed)}`);

  const started = performance.now();
  const pack = options.language ?? options.pack;
  const downloads = {
    ...hubOptions(templates(options.hub)),
    cache: options.cache,
    onWarning: ({ message }: { readonly message: string }) => {
      log('WARNING', message);
    },
  };
  await using tts = await PocketTTS.load({
    ...downloads,
    pack,
    config: options.config,
    precision: options.precision,
    instances: options.instances === '1' ? 1 : options.instances === '2' ? 2 : options.instances,
    parallel: options.parallel,
    signal,
  });
  const named = options.voice ?? (options.config === undefined ? undefined : CONFIG_VOICE);
  const voice = named === undefined ? undefined : await resolveVoice(tts, named, { ...downloads, signal });
  const { precision, sampleRate } = tts.info;
  const took = ((performance.now() - started) / 1000).toFixed(2);
  log('INFO', `Pack ${tts.info.pack.name} (${precision}) loaded in ${took} s, ${layout(tts.info)}`);

  const strict = process.env['KPOCKET_TTS_ERROR_WITHOUT_EOS'] === '1';
  const onWarning = (warning: Warning): void => {
    if (strict && warning.code === 'no-eos') throw new Failure(warning.message);
    log(warning.code === 'serial' ? 'INFO' : 'WARNING', warning.message);
  };
  const stream = tts.stream(text, {
    voice,
    seed,
    signal,
    onWarning,
    temperature: options.temperature,
    eosThreshold: options.eosThreshold,
    noiseClamp: options.noiseClamp,
    decodeSteps: options.steps,
    framesAfterEos: options.framesAfterEos,
    maxTokens: options.maxTokens,
    rng: options.rng,
  });
  const output = new WavOutput(options.outputPath, sampleRate, hold);
  const speaking = performance.now();
  let first = 0;
  let samples = 0;
  try {
    for await (const frame of stream) {
      if (frame.frame === 0) first = performance.now() - speaking;
      samples += frame.samples.length;
      await output.write(frame.samples);
    }
    await output.finish();
  } catch (error) {
    // The error that counts is the first one.
    await output.close().catch(() => undefined);
    throw error;
  }
  const seconds = (performance.now() - speaking) / 1000;
  const duration = samples / sampleRate;
  log(
    'INFO',
    `Generated ${duration.toFixed(2)} s of audio in ${seconds.toFixed(2)} s (${(duration / seconds).toFixed(1)}x real time), first frame after ${first.toFixed(0)} ms`,
  );
  if (options.outputPath !== '-') log('INFO', `Results written in ${options.outputPath}`);
}

/** Prints on stdout; its reader may be gone or its disk full. */
function show(text: string): number {
  try {
    writeSync(1, printable(text));
    return 0;
  } catch (error) {
    if (!isBrokenPipe(error)) toStderr(`ERROR: stdout: ${fileReason(error)}\n`);
    return 1;
  }
}

/** A command: its usage, and what it does; the result is the exit code. */
interface Command {
  usage(args: readonly string[]): string;
  run(args: readonly string[], signal: AbortSignal): Promise<number>;
}

function logUnless(quiet: boolean): Log {
  return (level, message) => {
    if (!quiet) toStderr(`${level}: ${oneLine(message)}\n`);
  };
}

const COMMANDS: Readonly<Record<string, Command>> = {
  generate: {
    usage: () => 'generate [OPTIONS]',
    async run(args, signal) {
      const options = parseOptions(args);
      if (options.help) return show(help());
      await generate(options, logUnless(options.quiet), signal).catch((error: unknown) => {
        throw inFlags(error, options);
      });
      return 0;
    },
  },
  packs: {
    usage: ([name]) => (name === 'convert' ? CONVERT_USAGE : PACKS_USAGE),
    async run(args, signal) {
      const [name, ...rest] = args;
      if (name === '--help' || name === '-h') return show(packsHelp());
      if (isPacksCommand(name)) {
        const command = parsePacks(name, rest);
        if (command === undefined) return show(packsHelp());
        let code = 0;
        const print = (text: string): void => {
          code = show(text);
        };
        return (await runPacks(command, print, logUnless(command.quiet), signal)) || code;
      }
      const options = parseConvert(args);
      if (options === undefined) return show(convertHelp());
      await convert(options, logUnless(options.quiet), signal);
      return 0;
    },
  },
};

function usage(message: string, line = 'generate [OPTIONS]'): number {
  toStderr(`Usage: pocket-tts-wasm ${line}\nTry 'pocket-tts-wasm --help' for help.\n\nERROR: ${message}\n`);
  return 2;
}

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === '--help' || name === '-h') return show(help());
  if (name === '--version') return show(`pocket-tts-wasm ${PACKAGE_VERSION}\n`);
  if (name === undefined) return usage('Missing command.');
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) return usage(`No such ${name.startsWith('-') ? 'option' : 'command'}: ${name}`);

  const interrupted = new AbortController();
  let signalled = 0;
  for (const [signal, code] of Object.entries(SIGNALS) as [keyof typeof SIGNALS, number][]) {
    process.once(signal, () => {
      signalled = code;
      interrupted.abort();
      // A reader that stands still keeps a write waiting: then the signal does what it does by itself.
      setTimeout(() => process.kill(process.pid, signal), GRACE_MS).unref();
    });
  }
  try {
    return await command.run(rest, interrupted.signal);
  } catch (error) {
    if (error instanceof UsageError) return usage(error.message, command.usage(rest));
    if (signalled !== 0) return signalled;
    // A reader that has heard enough is no news.
    if (!isBrokenPipe(error)) toStderr(`ERROR: ${oneLine(describe(error))}\n`);
    return 1;
  }
}

// Not process.exitCode: an open stdin would keep the process alive.
process.exit(await main(process.argv.slice(2)));
