// Files as the model hub has them for an official pack: its layout and its tensors (tests/golden/plans.json), with random
// weights, since the real ones cannot be had here.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, writeSafetensors } from '../node/support.mjs';

const golden = (path) => join(root, 'tests', 'golden', path);
const packs = JSON.parse(readFileSync(join(root, 'models', 'packs.json'), 'utf8'));

/** The upper half of a float32. */
function bfloat16(values, scale) {
  const bits = new Uint32Array(Float32Array.from(values, (x) => x * scale).buffer);
  return Uint16Array.from(bits, (word) => word >>> 16);
}

/** Numbers from -1 to 1. A prime length, so that no two rows of a matrix are the same. */
export const NOISE = (() => {
  let state = 1;
  return Array.from({ length: 65521 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
})();

/** Values that keep activations near 1: ones for norms, zeros for biases, the rest by the width of the input. */
function* tensorBytes(name, shape) {
  const count = shape.reduce((product, n) => product * n, 1);
  const one = /(norm\d?|ln)\.weight$|emb_std$|alpha$|freqs$/.test(name);
  const zero = /bias$|emb_mean$/.test(name);
  const width = shape.slice(1).reduce((product, n) => product * n, 1);
  const scale = /layer_scale/.test(name) ? 0.01 : Math.sqrt(3 / width);
  const block = one || zero ? bfloat16(NOISE.map(() => (one ? 1 : 0)), 1) : bfloat16(NOISE, scale);
  for (let at = 0; at < count; at += block.length) yield new Uint8Array(block.buffer, 0, 2 * Math.min(block.length, count - at));
}

/** The plan of a configuration: its tensors and their shapes. */
export function planOf(name) {
  const plans = JSON.parse(readFileSync(golden('plans.json'), 'utf8'));
  const { config, tensors } = plans.configs[name];
  return { config, plan: Object.entries(plans.tensors[tensors]) };
}

/** A weights file in BF16, piece by piece. */
export function* randomWeights(plan) {
  let end = 0;
  const header = Object.fromEntries(
    plan.map(([name, shape]) => {
      const begin = end;
      end += 2 * shape.reduce((product, n) => product * n, 1);
      return [name, { dtype: 'BF16', shape, data_offsets: [begin, end] }];
    }),
  );
  yield writeSafetensors(header, Buffer.alloc(0));
  for (const [name, shape] of plan) yield* tensorBytes(name, shape);
}

/** A voice of eight positions. */
export function randomVoice({ num_layers: layers, num_heads, num_kv_heads, d_model, attn_dim }) {
  const rows = 8;
  const heads = num_kv_heads ?? num_heads;
  const width = (attn_dim ?? d_model) / num_heads;
  const cache = Buffer.from(Float32Array.from({ length: 2 * rows * heads * width }, (_, i) => NOISE[i]).buffer);
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
    add(`transformer.layers.${i}.self_attn/cache`, 'F32', [2, 1, rows, heads, width], cache);
    add(`transformer.layers.${i}.self_attn/offset`, 'I64', [1], length);
  }
  return writeSafetensors(voice, Buffer.concat(parts));
}

/** Where a file is below a hub of the template HUB/{repository}/{revision}/{path}. */
export const hubPath = ({ repository, revision, path }) => `${repository}/${revision}/${path}`;

/** Every file of an official pack with a SentencePiece tokenizer, by hubPath(). */
export function officialFiles(name, voices = ['alba']) {
  const { files, config } = packs.packs.find((pack) => pack.name === name);
  const weights = Buffer.concat([...randomWeights(planOf(name).plan)]);
  const found = {};
  for (const file of files) {
    found[hubPath(file)] = file.role === 'weights' ? weights : readFileSync(golden('tokenizers/english.model'));
  }
  const voice = randomVoice(config.flow_lm.transformer);
  for (const each of voices) {
    const path = packs.voice_files.path.replace('{pack}', name).replace('{voice}', each);
    found[hubPath({ ...packs.voice_files, path })] = voice;
  }
  return found;
}
