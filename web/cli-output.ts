// Where the WAV of `generate` goes: stdout or a file, seekable or not. The header leaves together with the first
// samples; a seekable output gets its true sizes at the end, also after a failure.
import { open, stat } from 'node:fs/promises';
import { fstatSync, readFileSync, write } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { fileReason } from './host-node.js';
import { pcm16, STREAM_DATA_BYTES, TRAILING_ZEROS, wavHeader } from './wav.js';

const STDOUT = 1;
const O_APPEND = 0o2000;

const writeAt = promisify(write);

/** Writes all of `bytes`: pipes take what they have room for. */
async function writeAll(fd: number, bytes: Uint8Array, position: number | null): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    try {
      const { bytesWritten } = await writeAt(
        fd,
        bytes,
        at,
        bytes.length - at,
        position === null ? null : position + at,
      );
      at += bytesWritten;
    } catch (error) {
      // A pipe that another process made non-blocking is full: its reader is slow.
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
      await setTimeout(5);
    }
  }
}

/** True for an output whose reader has left. */
export function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE';
}

/** Where in stdout the next byte goes when it is a file that can be patched later, else undefined. */
function stdoutStart(): number | undefined {
  if (!fstatSync(STDOUT).isFile()) return undefined;
  try {
    const info = readFileSync(`/proc/self/fdinfo/${STDOUT}`, 'utf8');
    const flags = Number.parseInt(/^flags:\s*(\d+)/m.exec(info)?.[1] ?? '0', 8);
    // Appending ignores positions, so nothing can be patched.
    if ((flags & O_APPEND) !== 0) return undefined;
    return Number(/^pos:\s*(\d+)/m.exec(info)?.[1] ?? 0);
  } catch {
    // No /proc on this system: a redirected file starts empty.
    return 0;
  }
}

/** Refuses a path that no file can be written at, before anything is loaded. Nothing is created or cut. */
export async function checkOutput(path: string): Promise<void> {
  if (path === '-') return;
  if (path === '') throw new Error('--output-path: expected a file or -, found an empty text');
  const refuse = (reason: string): never => {
    throw new Error(`--output-path ${path}: ${reason}`);
  };
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() === true || (found === undefined && /[/\\]$/.test(path))) refuse('is a folder');
  if (found !== undefined) return;
  const folder = await stat(dirname(path)).catch((error: unknown) => refuse(fileReason(error)));
  if (!folder.isDirectory()) refuse('not a directory');
}

/** The output of one run. `path` '-' is stdout. Audio shorter than `holdSeconds` is held back until there is more. */
export class WavOutput {
  readonly #path: string;
  readonly #sampleRate: number;
  readonly #holdBytes: number;
  #file: { fd: number; close?: () => Promise<void>; start: number | undefined } | undefined;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #dataBytes = 0;

  constructor(path: string, sampleRate: number, holdSeconds: number) {
    this.#path = path;
    this.#sampleRate = sampleRate;
    this.#holdBytes = holdSeconds * sampleRate * 2;
  }

  /** Adds samples. */
  async write(samples: Float32Array): Promise<void> {
    const bytes = pcm16(samples);
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    if (this.#file !== undefined || this.#heldBytes >= this.#holdBytes) await this.#flush();
  }

  /** The end of a complete run: everything held back, then the silence. */
  async finish(): Promise<void> {
    this.#held.push(new Uint8Array(TRAILING_ZEROS * 2));
    await this.#flush();
    await this.close();
  }

  /** Closes the output, complete or not; a seekable one gets the sizes that it has. */
  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    if (file === undefined) return;
    try {
      if (file.start !== undefined) {
        await this.#named(writeAll(file.fd, wavHeader(this.#dataBytes, this.#sampleRate), file.start));
      }
    } finally {
      await this.#named(file.close?.());
    }
  }

  /** Says which output an error is about. */
  async #named<T>(work: Promise<T> | T): Promise<T> {
    try {
      return await work;
    } catch (error) {
      // A reader that has left is no news, and told by its code.
      if (isBrokenPipe(error)) throw error;
      const output = this.#path === '-' ? 'stdout' : `--output-path ${this.#path}`;
      throw new Error(`${output}: ${fileReason(error)}`, { cause: error });
    }
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    if (this.#file === undefined) {
      this.#file = await this.#open();
      const declared = this.#file.start === undefined ? STREAM_DATA_BYTES : bytes.length;
      await this.#named(writeAll(this.#file.fd, Buffer.concat([wavHeader(declared, this.#sampleRate), bytes]), null));
    } else {
      await this.#named(writeAll(this.#file.fd, bytes, null));
    }
    this.#dataBytes += bytes.length;
  }

  async #open(): Promise<{ fd: number; close?: () => Promise<void>; start: number | undefined }> {
    if (this.#path === '-') return { fd: STDOUT, start: stdoutStart() };
    const handle = await this.#named(open(this.#path, 'w'));
    // Pipes and terminals cannot be patched; /dev/null takes everything.
    const seekable = (await handle.stat()).isFile();
    return { fd: handle.fd, close: () => handle.close(), start: seekable ? 0 : undefined };
  }
}
