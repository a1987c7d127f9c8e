// A pack of the full size (100 M parameters, BF16, random weights) loads in slices and speaks, within a stated memory.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { root, temporary, writeSafetensors } from './support.mjs';

const NAME = 'english_2026-10';
const golden = (path) => join(root, 'tests', 'golden', path);

/** The upper half of a float32. */
function bfloat16(values, scale) {
  const bits = new Uint32Array(Float32Array.from(values, (x) => x * scale).buffer);
  return Uint16Array.from(bits, (word) => word >>> 16);
}

/** Values that keep activations near 1: ones for norms, zeros for biases, the rest by the width of the input. */
function writeTensor(fd, name, shape, noise) {
  const count = shape.reduce((product, n) => product * n, 1);
  const one = /(norm\d?|ln)\.weight$|emb_std$|alpha$|freqs$/.test(name);
  const zero = /bias$|emb_mean$/.test(name);
  const width = shape.slice(1).reduce((product, n) => product * n, 1);
  const scale = /layer_scale/.test(name) ? 0.01 : Math.sqrt(3 / width);
  const block =
    one || zero
      ? bfloat16(
          noise.map(() => (one ? 1 : 0)),
          1,
        )
      : bfloat16(noise, scale);
  for (let at = 0; at < count; at += block.length) {
    writeSync(fd, new Uint8Array(block.buffer, 0, 2 * Math.min(block.length, count - at)));
  }
}

/** Writes the pack: configuration (JSON is YAML), weights, tokenizer, a voice of eight positions. */
function writePack(folder) {
  const plans = JSON.parse(readFileSync(golden('plans.json'), 'utf8'));
  const { config, tensors } = plans.configs[NAME];
  const plan = Object.entries(plans.tensors[tensors]);
  let state = 1;
  // A prime length, so that no two rows of a matrix are the same.
  const noise = Array.from({ length: 65521 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
  let end = 0;
  const header = Object.fromEntries(
    plan.map(([name, shape]) => {
      const begin = end;
      end += 2 * shape.reduce((product, n) => product * n, 1);
      return [name, { dtype: 'BF16', shape, data_offsets: [begin, end] }];
    }),
  );
  const fd = openSync(join(folder, 'model.safetensors'), 'w');
  writeSync(fd, writeSafetensors(header, Buffer.alloc(0)));
  for (const [name, shape] of plan) writeTensor(fd, name, shape, noise);
  closeSync(fd);

  const { num_layers: layers, num_heads: heads, d_model: width } = config.flow_lm.transformer;
  const rows = 8;
  const cache = Buffer.from(Float32Array.from({ length: 2 * rows * width }, (_, i) => noise[i]).buffer);
  const voice = {};
  const parts = [];
  let at = 0;
  const add = (name, dtype, shape, bytes) => {
    voice[name] = { dtype, shape, data_offsets: [at, at + bytes.length] };
    at += bytes.length;
    parts.push(bytes);
  };
  for (let i = 0; i < layers; i++) {
    const length = Buffer.alloc(8);
    length.writeBigInt64LE(BigInt(rows));
    add(`transformer.layers.${i}.self_attn/cache`, 'F32', [2, 1, rows, heads, width / heads], cache);
    add(`transformer.layers.${i}.self_attn/offset`, 'I64', [1], length);
  }
  writeFileSync(join(folder, 'voice.safetensors'), writeSafetensors(voice, Buffer.concat(parts)));

  config.weights_path = 'model.safetensors';
  delete config.weights_path_without_voice_cloning;
  config.flow_lm.lookup_table.tokenizer = 'sentencepiece';
  config.flow_lm.lookup_table.tokenizer_path = golden('tokenizers/english.model');
  writeFileSync(join(folder, 'config.yaml'), JSON.stringify(config));
}

test('100 M parameters in BF16: memory below 1.2 x the working weights + 80 MB, + 20 MB a worker', { timeout: 300000 }, (t) => {
  const folder = temporary(t);
  writePack(folder);
  for (const [precision, instances] of [
    ['f32', 1],
    ['q8', 1],
    ['q8', 2],
  ]) {
    const child = fileURLToPath(new URL('full-size-child.mjs', import.meta.url));
    const { frames, weights, peak, seconds } = JSON.parse(
      execFileSync(process.execPath, [child, folder, precision, String(instances)], { encoding: 'utf8' }),
    );
    const limit = 1.2 * weights + 80e6 + (instances === 1 ? 0 : 2 * 20e6);
    const mb = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;
    t.diagnostic(
      `${precision}, instances ${instances}: file ${mb(statSync(join(folder, 'model.safetensors')).size)}, ` +
        `working weights ${mb(weights)}, peak of the process ${mb(peak)} (limit ${mb(limit)}), loaded in ${seconds.toFixed(1)} s`,
    );
    assert.equal(frames, 8);
    assert.ok(peak < limit);
  }
});
