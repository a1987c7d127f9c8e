// Arguments of the public calls: what TypeScript would have refused is refused here, by name, before anything is done
// with it.
import { describe, kindOf, PocketTTSError, shown } from './errors.js';

/** Refuses a value that an option cannot take. `undefined`, which means "not given", is never asked about. */
export type Check = (name: string, value: unknown) => void;

/** A check for every option of a call; it has no others. */
export type Checks<T> = { readonly [K in keyof T]-?: Check };

export function refuse(name: string, expected: string, found: unknown): never {
  throw new PocketTTSError('argument', `${name}: expected ${expected}, found ${shown(found)}`);
}

/** The options of a call: an object with known names only, each of the right kind. */
export function checkOptions<T extends object>(options: T, checks: Checks<T>): void {
  const given: unknown = options;
  if (typeof given !== 'object' || given === null || kindOf(given) === 'an array') refuse('options', 'an object', given);
  readable('options', () => {
    checkEach(options, given, checks);
  });
}

/** What throws when it is looked at (a proxy that was revoked, a getter) is no value of an option. */
function readable(name: string, look: () => void): void {
  try {
    look();
  } catch (error) {
    if (error instanceof PocketTTSError) throw error;
    throw new PocketTTSError('argument', `${name}: cannot be read (${describe(error)})`, { cause: error });
  }
}

function checkEach<T extends object>(options: T, given: object, checks: Checks<T>): void {
  const known = Object.keys(checks) as (keyof T & string)[];
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(checks, name)) continue;
    const meant = nearest(name, known);
    const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
    throw new PocketTTSError('argument', `options: expected only ${known.join(', ')}, found ${shown(name)}${hint}`);
  }
  for (const name of known) {
    readable(name, () => {
      if (options[name] !== undefined) checks[name](name, options[name]);
    });
  }
}

/** The known name that a misspelt one most likely means. */
function nearest(name: string, known: readonly string[]): string | undefined {
  const plain = (text: string): string => text.slice(0, 40).toLowerCase().replaceAll(/[-_]/g, '');
  const [best] = known
    .map((candidate) => ({ candidate, edits: distance(plain(name), plain(candidate)) }))
    .sort((a, b) => a.edits - b.edits);
  return best !== undefined && best.edits <= Math.max(2, best.candidate.length / 3) ? best.candidate : undefined;
}

/** Insertions, deletions and replacements that make `b` of `a`. */
function distance(a: string, b: string): number {
  let before = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 0; i < a.length; i++) {
    const row = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const [left = 0, above = 0, corner = 0] = [row[j], before[j + 1], before[j]];
      row.push(Math.min(left + 1, above + 1, corner + (a[i] === b[j] ? 0 : 1)));
    }
    before = row;
  }
  return before.at(-1) ?? 0;
}

export const isString: Check = (name, value) => {
  if (typeof value !== 'string') refuse(name, 'a string', value);
};

/** A URL, or a string that names a place. */
const place =
  (expected: string): Check =>
  (name, value) => {
    if (value instanceof URL || (typeof value === 'string' && value !== '')) return;
    refuse(name, expected, value);
  };

export const isPack = place('a folder, a URL or a name');
export const isUrl = place('a URL');

export const isBoolean: Check = (name, value) => {
  if (typeof value !== 'boolean') refuse(name, 'true or false', value);
};

export const isFunction: Check = (name, value) => {
  if (typeof value !== 'function') refuse(name, 'a function', value);
};

export const isSignal: Check = (name, value) => {
  if (!(value instanceof AbortSignal)) refuse(name, 'an AbortSignal', value);
};

/** One of some words. */
export const oneOf =
  (words: readonly string[]): Check =>
  (name, value) => {
    if (!words.some((word) => word === value)) refuse(name, words.map((word) => JSON.stringify(word)).join(' or '), value);
  };

/** A number in a range, in single precision as the engine takes it. */
export const float =
  (least: number, most: number, expected: string): Check =>
  (name, value) => {
    if (typeof value !== 'number') refuse(name, 'a number', value);
    const single = Math.fround(value);
    if (!(single >= least && single <= most)) refuse(name, expected, value);
  };

/** A whole number in a range. */
export const whole =
  (least: number, most: number): Check =>
  (name, value) => {
    if (!Number.isInteger(value)) refuse(name, `a whole number from ${least} to ${most}`, value);
    if (Number(value) < least || Number(value) > most) refuse(name, `${least} to ${most}`, value);
  };

const MAX_SEED = 2n ** 64n - 1n;

/** A seed: 64 bits, of which a number holds 53. */
export const isSeed: Check = (name, value) => {
  const seed = Number.isSafeInteger(value) ? BigInt(value as number) : value;
  if (typeof seed === 'bigint' && seed >= 0n && seed <= MAX_SEED) return;
  refuse(name, `a whole number from 0 to ${Number.MAX_SAFE_INTEGER}, or a bigint up to ${String(MAX_SEED)}`, value);
};

/** The class of a typed array or buffer, also of one from another realm. */
function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice('[object '.length, -1);
}

export function isFloat32Array(value: unknown): value is Float32Array {
  return ArrayBuffer.isView(value) && tagOf(value) === 'Float32Array';
}

export function isUint8Array(value: unknown): value is Uint8Array {
  return ArrayBuffer.isView(value) && tagOf(value) === 'Uint8Array' && isAttached(value.buffer);
}

/** Whether there is anything in a buffer: what was handed over to a worker is elsewhere. */
function isAttached(buffer: ArrayBufferLike): boolean {
  try {
    return new Uint8Array(buffer).length >= 0;
  } catch {
    return false;
  }
}

/** The content of a file that a caller handed over, or undefined for anything else. */
export function bytesOf(value: unknown): Uint8Array | undefined {
  if (isUint8Array(value)) return value;
  if (typeof value !== 'object' || tagOf(value) !== 'ArrayBuffer') return undefined;
  try {
    return new Uint8Array(value as ArrayBuffer);
  } catch {
    return undefined; // detached: there is nothing in it any more
  }
}
