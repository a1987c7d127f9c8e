// Shared by the Node tests: where things are, fixtures, files damaged on purpose, hashes, the command line as a child.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PocketTTS } from '../../dist/node.js';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const starter = join(root, 'models', 'starter');
export const cli = join(root, 'dist', 'cli.js');

// Nothing of a test goes into the cache of whoever runs it.
const cache = mkdtempSync(join(tmpdir(), 'pocket-tts-cache-'));
process.env.POCKET_TTS_CACHE = cache;
process.env.HF_HOME = join(cache, 'hub');
delete process.env.HF_HUB_CACHE;
process.on('exit', () => rmSync(cache, { recursive: true, force: true }));

/** An empty cache for a test; its folder. */
export function freshCache(t) {
  const before = process.env.POCKET_TTS_CACHE;
  const folder = join(temporary(t), 'cache');
  process.env.POCKET_TTS_CACHE = folder;
  t.after(() => {
    process.env.POCKET_TTS_CACHE = before;
  });
  return folder;
}

/** Files of one fixture of tests/golden. */
export function fixture(name) {
  const folder = join(root, 'tests', 'golden', 'fixtures', name);
  const file = (path) => join(folder, path);
  return {
    folder,
    file,
    config: file('config.yaml'),
    voice: file('voice.safetensors'),
    golden: () => JSON.parse(readFileSync(file('golden.json'), 'utf8')),
  };
}

/** Loads a fixture with its voice as the default. */
export function loadFixture(name, options = {}) {
  const { config, voice } = fixture(name);
  return PocketTTS.load({ config, voice: new Uint8Array(readFileSync(voice)), ...options });
}

/** An empty folder that goes with the test. */
export function temporary(t) {
  const folder = mkdtempSync(join(tmpdir(), 'pocket-tts-'));
  // What still writes there is closed by hooks behind this one.
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 20 }));
  return folder;
}

/** A copy of a fixture in a folder, with some files replaced: { 'model.safetensors': bytes }. */
export function damaged(t, name, files) {
  const from = fixture(name);
  const folder = temporary(t);
  const tokenizer = readFileSync(from.config, 'utf8').includes('tokenizer.json') ? 'tokenizer.json' : 'tokenizer.model';
  for (const path of ['config.yaml', 'model.safetensors', 'voice.safetensors', tokenizer]) {
    if (files[path] === undefined) copyFileSync(from.file(path), join(folder, path));
  }
  for (const [path, bytes] of Object.entries(files)) writeFileSync(join(folder, path), bytes);
  return join(folder, 'config.yaml');
}

/** The two halves of a safetensors file. */
export function readSafetensors(path) {
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE(0));
  return { header: JSON.parse(bytes.subarray(8, 8 + length).toString('utf8')), data: bytes.subarray(8 + length) };
}

/** A safetensors file of a header (an object, or JSON text) and data; `length` lies about the header. */
export function writeSafetensors(header, data, length) {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(length ?? BigInt(text.length));
  return Buffer.concat([size, text, data]);
}

/** The 16-bit samples of audio, as every host writes them. */
export function pcm(samples) {
  const out = Buffer.alloc(samples.length * 2);
  for (let i = 0; i < samples.length; i++) {
    out.writeInt16LE(Math.trunc(Math.fround(Math.max(-1, Math.min(1, samples[i])) * 32767)), i * 2);
  }
  return out;
}

export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** The promise is refused with this code, by a message that matches. */
export async function refused(promise, code, message = /./) {
  let error;
  await assert.rejects(promise, (e) => {
    error = e;
    return true;
  });
  assert.equal(error.code, code, `${error.name} ${error.code}: ${error.message}`);
  assert.match(error.message, message);
  return error;
}

/** A WAV file: { rate, channels, bits, format } and its data. */
export function wav(data, { rate = 24000, channels = 1, bits = 16, format = 1 } = {}) {
  const header = Buffer.alloc(44);
  header.write('RIFF', 0);
  header.writeUInt32LE(36 + data.length, 4);
  header.write('WAVEfmt ', 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(format, 20);
  header.writeUInt16LE(channels, 22);
  header.writeUInt32LE(rate, 24);
  header.writeUInt32LE((rate * channels * bits) / 8, 28);
  header.writeUInt16LE((channels * bits) / 8, 32);
  header.writeUInt16LE(bits, 34);
  header.write('data', 36);
  header.writeUInt32LE(data.length, 40);
  return new Uint8Array(Buffer.concat([header, data]));
}

/** Runs the command line. `input` goes to stdin; options are those of spawn(). */
export function run(args, { input, ...options } = {}) {
  const child = spawn(process.execPath, [cli, ...args], { stdio: ['pipe', 'pipe', 'pipe'], ...options });
  const out = [];
  const err = [];
  child.stdout?.on('data', (bytes) => out.push(bytes));
  child.stderr?.on('data', (bytes) => err.push(bytes));
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(input ?? '');
  const done = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) =>
      resolve({
        code,
        signal,
        stdout: Buffer.concat(out),
        stderr: Buffer.concat(err).toString('utf8'),
      }),
    );
  });
  return Object.assign(done, { child });
}

/** Arguments that speak with a fixture. */
export const withFixture = (name) => ['--config', fixture(name).config, '--voice', fixture(name).voice];
