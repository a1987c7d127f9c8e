// How much memory a weights file will take, read off its header: linear memory is then grown once, not tensor by tensor.
import type { PackFileRole, Precision } from './pack.js';
import type { Duties } from './protocol.js';

/** Bytes of a working weight: of the language model's transformer, and of other matrices. Vectors and tables stay f32. */
const WIDTHS: Readonly<Record<string, readonly [number, number]>> = { f32: [4, 4], q8: [1, 2], q4: [0.625, 2] };
/** For scales, a voice and the caches of a text. */
const MORE = 1 + 1 / 8;

/** Bytes that the tensors of a file take which an instance keeps, roughly; 0 when its header is not in the first slice. */
export function plannedBytes(slice: Uint8Array, role: PackFileRole, precision: Precision, duties: Duties): number {
  try {
    const length = Number(new DataView(slice.buffer, slice.byteOffset, slice.byteLength).getBigUint64(0, true));
    if (8 + length > slice.length) return 0;
    const header = JSON.parse(new TextDecoder().decode(slice.subarray(8, 8 + length))) as Record<string, unknown>;
    const tensors = Object.entries(header).filter(([name]) => keeps(duties, role, name));
    return MORE * tensors.reduce((sum, [name, tensor]) => sum + tensorBytes(name, tensor, precision), 0);
  } catch {
    return 0; // not a weights file: the engine says so
  }
}

function keeps({ speaks, decodes, clones }: Duties, role: PackFileRole, name: string): boolean {
  if (role === 'weights-flow-lm' || name.startsWith('flow_lm.')) return speaks;
  return /^(mimi\.)?(model\.)?(encoder|downsample)/.test(name) ? clones : decodes;
}

function tensorBytes(name: string, tensor: unknown, precision: Precision): number {
  const shape: unknown = typeof tensor === 'object' && tensor !== null && 'shape' in tensor ? tensor.shape : undefined;
  if (!Array.isArray(shape)) return 0;
  const count = shape.reduce((product: number, extent) => product * Number(extent), 1);
  const [transformer = 4, other = 4] = WIDTHS[precision] ?? [];
  const plain = shape.length < 2 || name.includes('embed');
  const bytes = count * (plain ? 4 : name.startsWith('flow_lm.transformer.') ? transformer : other);
  return Number.isFinite(bytes) ? bytes : 0;
}
