// How the package says no: PocketTTSError, with a `code` that stays the same from version to version.
//
// The codes of the engine are the names of its status table (wasm/engine/pocket_tts.h): status -5,
// PTTS_ERROR_WEIGHTS, is 'weights'. The host's own codes follow; they never come from the engine.

/** Codes of the engine, in the order of its table: the first is status -1. */
export const ENGINE_CODES = [
  'argument',
  'handle',
  'state',
  'config',
  'weights',
  'tokenizer',
  'voice',
  'audio',
  'cloning',
  'text-empty',
  'text-encoding',
  'text-too-long',
  'memory',
  'numeric',
] as const;

/** Codes of the JavaScript host. */
export const HOST_CODES = [
  /** An AbortSignal fired; `cause` is its reason, and the error's name is `AbortError`. */
  'aborted',
  /** The object was disposed of. */
  'disposed',
  /** pack.json, or a file that is not the one it names (size, sha256). */
  'pack',
  /** A transfer failed. */
  'network',
  /** No such file, pack or voice. */
  'not-found',
  /** Something that this version or this environment cannot do. */
  'unsupported',
  /** The WebAssembly instance trapped; the next call starts on a new one. */
  'crashed',
] as const;

export type EngineErrorCode = (typeof ENGINE_CODES)[number];
export type HostErrorCode = (typeof HOST_CODES)[number];
export type ErrorCode = EngineErrorCode | HostErrorCode;

/** The code of a negative status; a status of a newer engine reads as 'state'. */
export function codeOfStatus(status: number): EngineErrorCode {
  return ENGINE_CODES[-status - 1] ?? 'state';
}

/** The error for a signal that fired. */
export function abortError(signal: AbortSignal): PocketTTSError {
  return new PocketTTSError('aborted', 'The operation was aborted', { cause: signal.reason });
}

/** Throws when `signal` has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortError(signal);
}

/** `error` as one sentence. */
export function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Every error of this package. Switch on `code`; `message` says what was expected and found. */
export class PocketTTSError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = code === 'aborted' ? 'AbortError' : 'PocketTTSError';
    this.code = code;
  }
}

/** What a value is, for messages. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (value === undefined) return 'nothing';
  if (typeof value !== 'object') return `a ${typeof value}`;
  try {
    if (Array.isArray(value)) return 'an array';
    // Not value.constructor: JSON may have a field of that name.
    const prototype = Object.getPrototypeOf(value) as { readonly constructor?: { readonly name?: unknown } } | null;
    const name = prototype?.constructor?.name;
    if (typeof name !== 'string' || name === '' || name === 'Object') return 'an object';
    return `${/^[AEIO]/.test(name) ? 'an' : 'a'} ${name}`;
  } catch {
    return 'an object'; // a proxy that was revoked
  }
}

/** A value for messages: itself when it is short, else what it is. */
export function shown(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  if (typeof value !== 'string') return kindOf(value);
  const most = 100;
  const letters = Array.from(value.slice(0, 2 * most + 1));
  return JSON.stringify(letters.length > most ? `${letters.slice(0, most).join('')}...` : value);
}
