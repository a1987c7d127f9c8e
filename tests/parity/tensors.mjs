// Reads safetensors files: name -> { shape, data }. Float tensors become Float32Array (Float64Array for F64), 64-bit integers
// stay BigInt64Array.
import { readFileSync } from 'node:fs';

const VIEWS = { F32: Float32Array, F64: Float64Array, I64: BigInt64Array, I32: Int32Array };

export function parseTensors(bytes) {
  const headerSize = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
  const header = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset + 8, headerSize).toString('utf8'));
  const tensors = new Map();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const View = VIEWS[entry.dtype];
    if (View === undefined) throw new Error(`${name}: dtype ${entry.dtype} is not read here`);
    const [begin, end] = entry.data_offsets;
    // A copy: the data may start at any byte.
    const copy = bytes.slice(8 + headerSize + begin, 8 + headerSize + end);
    tensors.set(name, { shape: entry.shape, data: new View(copy.buffer, copy.byteOffset, (end - begin) / View.BYTES_PER_ELEMENT) });
  }
  return tensors;
}

export function readTensors(path) {
  // Buffer.slice shares memory and small files share a pool: Uint8Array copies.
  return parseTensors(new Uint8Array(readFileSync(path)));
}

/** Row `i` of the first axis. */
export function row(tensor, i) {
  const width = tensor.data.length / tensor.shape[0];
  return tensor.data.subarray(i * width, (i + 1) * width);
}

export function concatenate(parts) {
  const whole = new Float32Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
