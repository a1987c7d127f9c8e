// Speaks with a full-size model through Node and Go, from the F32 file and from a BF16 cast of it, and watches the memory.
//
//   make reference OUT=full ARGS="--no-shared --names full:english_2026-10"     # 440 MB, needs the Python reference
//   node tests/full_size.mjs full/full_english_2026-10 [--precision f32|q8]
//
// Prints time and peak memory of each run; fails above 1.2 times the working weights + 80 MB. Linux: the peak is VmHWM.
import { spawn } from 'node:child_process';
import { closeSync, copyFileSync, existsSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values, positionals } = parseArgs({ allowPositionals: true, options: { precision: { type: 'string', default: 'f32' } } });
const [folder] = positionals;
if (folder === undefined) throw new Error('usage: node tests/full_size.mjs FOLDER [--precision f32|q8]');
const programs = { node: [process.execPath, join(root, 'dist', 'cli.js')], go: [join(root, 'build', 'pocket-tts')] };

/** The header of a safetensors file, and where its data begins. */
function header(file) {
  const size = Buffer.alloc(8);
  readSync(file, size, 0, 8, 0);
  const bytes = Buffer.alloc(Number(size.readBigUInt64LE()));
  readSync(file, bytes, 0, bytes.length, 8);
  return { tensors: JSON.parse(bytes.toString('utf8')), begin: 8 + bytes.length };
}

/** A copy of an F32 file with every value rounded toward zero to BF16. */
function castToBf16(from, to) {
  const input = openSync(from, 'r');
  const output = openSync(to, 'w');
  const { tensors, begin } = header(input);
  for (const tensor of Object.values(tensors)) {
    if (tensor.dtype === undefined) continue;
    tensor.dtype = 'BF16';
    tensor.data_offsets = tensor.data_offsets.map((offset) => offset / 2);
  }
  const text = Buffer.from(JSON.stringify(tensors));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  writeSync(output, Buffer.concat([size, text]));
  const block = new Uint32Array(1 << 20);
  for (let at = begin; ;) {
    const count = readSync(input, new Uint8Array(block.buffer), 0, block.byteLength, at) / 4;
    if (count === 0) break;
    writeSync(output, Uint16Array.from(block.subarray(0, count), (bits) => bits >>> 16));
    at += count * 4;
  }
  closeSync(input);
  closeSync(output);
}

/** Bytes that the working weights take with q8: int8 or int16 and a scale per row (models/MODEL.md), else f32. */
function workingBytes(path) {
  const file = openSync(path, 'r');
  let total = 0;
  for (const [name, { shape }] of Object.entries(header(file).tensors)) {
    if (shape === undefined) continue;
    const count = shape.reduce((product, extent) => product * extent, 1);
    const q8 = values.precision === 'q8';
    const int8 = q8 && /^(flow_lm|mimi\.decoder_transformer)\.transformer\..*(_proj|linear[12])\.weight$/.test(name);
    const int16 = q8 && /^(flow_lm\.flow_net\.(cond_embed|.*(mlp\.[02]|modulation\.1))|mimi\.decoder\..*conv)\.weight$/.test(name) &&
      !name.includes('time_embed') && shape[0] >= 4;
    total += int8 ? count + 4 * shape[0] : int16 ? 2 * count + 4 * shape[0] : 4 * count;
  }
  closeSync(file);
  return total;
}

function run([command, ...args], config) {
  return new Promise((resolve, reject) => {
    const begin = performance.now();
    const child = spawn(command, [...args, 'generate', '--config', config, '--voice', join(folder, 'voice.safetensors'),
      '--precision', values.precision, '--text', 'Hello world, this is a test of a full-size model.', '--output-path', '-', '-q']);
    let peak = 0;
    let first = 0;
    let bytes = 0;
    let errors = '';
    const watch = setInterval(() => {
      try {
        peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0));
      } catch { /* it has ended */ }
    }, 20);
    child.stdout.on('data', (data) => { first ||= performance.now() - begin; bytes += data.length; });
    child.stderr.on('data', (data) => { errors += data; });
    child.on('error', reject);
    child.on('close', (code) => {
      clearInterval(watch);
      if (code === 0) resolve({ seconds: (performance.now() - begin) / 1000, first: first / 1000, sound: (bytes - 44 - 9600) / 48000, peak: peak * 1024 });
      else reject(new Error(`${command} ended with ${code}: ${errors}`));
    });
  });
}

const scratch = mkdtempSync(join(tmpdir(), 'full-size-'));
let failed = false;
try {
  const model = join(folder, 'model.safetensors');
  for (const name of ['config.yaml', 'tokenizer.model']) copyFileSync(join(folder, name), join(scratch, name));
  castToBf16(model, join(scratch, 'model.safetensors'));
  const limit = 1.2 * workingBytes(model) + 80e6;
  for (const [host, command] of Object.entries(programs)) {
    if (!existsSync(command.at(-1))) throw new Error(`${command.at(-1)} is missing: make speak builds it`);
    for (const [dtype, place] of [['F32', folder], ['BF16', scratch]]) {
      const { seconds, first, sound, peak } = await run(command, join(place, 'config.yaml'));
      const ok = peak <= limit;
      failed ||= !ok;
      console.log(`${ok ? 'ok ' : 'BAD'} ${host.padEnd(5)} ${dtype.padEnd(5)} file ${(statSync(join(place, 'model.safetensors')).size / 1e6).toFixed(0)} MB: ` +
        `${sound.toFixed(2)} s of sound in ${seconds.toFixed(2)} s with loading, first after ${first.toFixed(2)} s; ` +
        `peak ${(peak / 1e6).toFixed(0)} MB of ${(limit / 1e6).toFixed(0)} MB (1.2 x ${((limit - 80e6) / 1.2e6).toFixed(0)} MB of ${values.precision} weights + 80 MB)`);
    }
  }
} finally {
  rmSync(scratch, { recursive: true });
}
process.exit(failed ? 1 : 0);
