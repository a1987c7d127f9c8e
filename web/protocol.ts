// What the calling thread and its workers say to each other. Private: both sides come from the same package.
//
//   caller -- Command: a Call (answered) or an Order (not) --> worker
//   caller <-- FromWorker: answers, frames, bytes held ------- worker
//   FlowLM worker -- PipeMessage[], over a MessageChannel ----> Mimi worker
//   FlowLM worker <-- Decoded[], where it asked for them ------ Mimi worker
//
// A speaker (FlowLM) makes a latent only while its stream has credits; the caller gives them back as frames are taken,
// so what lies in any queue is bounded by what was granted: frames, or chunks where several are spoken at once.
import { PocketTTSError } from './errors.js';
import type { ErrorCode } from './errors.js';
import type { DoorModelInfo, DoorOptions } from './pocket_tts.mjs';
import type { PackFileRole, Precision } from './pack.js';
import type { Port, WasmModule } from './platform.js';

/** What an instance does. One that makes voices out of audio also speaks. */
export interface Duties {
  readonly speaks: boolean;
  readonly decodes: boolean;
  readonly clones: boolean;
}

/** A loaded model, as the calling thread knows it. */
export interface ModelFacts {
  readonly info: DoorModelInfo;
  /** The model's own options; only of a speaker. */
  readonly defaults: DoorOptions | undefined;
}

/** A chunk as the session cut it; offsets are bytes of the text's UTF-8. */
export interface RawChunk {
  readonly text: string;
  readonly tokens: number;
  readonly textBegin: number;
  readonly textEnd: number;
  readonly overLimit: boolean;
}

/** Commands and what they answer. */
export interface Calls {
  /** First of all. `pipes`: the ends of channels; of a speaker to its decoders, of a decoder to its speaker. */
  start: {
    args: { readonly module: WasmModule; readonly duties: Duties; readonly pipes: readonly Port[] };
    value: string;
  };
  openPack: {
    args: { readonly config: Uint8Array; readonly precision: Precision; readonly where: string };
    value: undefined;
  };
  tokenizer: { args: { readonly bytes: Uint8Array; readonly json: boolean; readonly name: string }; value: undefined };
  file: { args: { readonly role: PackFileRole; readonly total: number; readonly name: string }; value: undefined };
  /** The first `length` bytes of a buffer, which comes back as the answer: a few of them carry a whole file. */
  feed: {
    args: { readonly buffer: Uint8Array<ArrayBuffer>; readonly length: number; readonly name: string };
    value: Uint8Array<ArrayBuffer>;
  };
  finish: { args: { readonly where: string }; value: ModelFacts };
  /** The next `length` bytes of the `total` that a voice will be made of; the buffer comes back. */
  voiceBytes: {
    args: {
      readonly voice: number;
      readonly total: number;
      readonly buffer: Uint8Array<ArrayBuffer>;
      readonly length: number;
    };
    value: Uint8Array<ArrayBuffer>;
  };
  /** A voice, of the bytes that came under a number that the caller chose. Answers its positions. */
  voice: { args: { readonly voice: number; readonly from: VoiceOrigin; readonly name: string }; value: number };
  exportVoice: { args: { readonly voice: number; readonly name: string }; value: Uint8Array<ArrayBuffer> };
  /** Opens a text under a number that the caller chose. Nothing is made before `run`. */
  speak: {
    args: {
      readonly stream: number;
      readonly voice: number;
      readonly text: Uint8Array;
      readonly options: DoorOptions;
      /** Throughput: several chunks at once. */
      readonly together: Together | undefined;
    };
    value: RawChunk[];
  };
}

/** How several chunks are spoken at once. */
export interface Together {
  /** Chunks whose latents are made together. */
  readonly lanes: number;
  /** Streams that decoders open for a chunk at a time, numbers that the caller chose. */
  readonly slots: readonly { readonly stream: number; readonly decoder: number }[];
}

/** What a voice's bytes are. */
export type VoiceOrigin =
  | { readonly kind: 'file' }
  | { readonly kind: 'wav'; readonly maxSeconds: number }
  | { readonly kind: 'pcm'; readonly sampleRate: number };

/** Commands that nobody waits for. */
export interface Orders {
  /** Speaks the chunks [from, to), with credits for so many frames. */
  run: { readonly stream: number; readonly from: number; readonly to: number; readonly credits: number };
  /** Room for so many frames more, and for the chunks below `to`. */
  credit: { readonly stream: number; readonly frames: number; readonly to: number };
  close: { readonly stream: number };
  closeVoice: { readonly voice: number };
}

export type CallName = keyof Calls;
export type OrderName = keyof Orders;
export type Call = {
  [N in CallName]: { readonly kind: 'call'; readonly id: number; readonly op: N; readonly args: Calls[N]['args'] };
}[CallName];
export type Order = {
  [N in OrderName]: { readonly kind: 'order'; readonly op: N; readonly args: Orders[N] };
}[OrderName];
/** In browsers: a worker that keeps a download instead of speaking (store-worker.ts). */
export interface StoreOrder {
  readonly kind: 'store';
  readonly port: Port;
}
export type Command = Call | Order;

/** Bytes of one engine instance. */
export interface Stats {
  /** For its objects. */
  readonly allocated: number;
  /** Linear memory. */
  readonly memory: number;
}

export interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
}

/** Which frame. */
export interface Place {
  readonly chunk: number;
  readonly step: number;
}

export type StreamEvent =
  | (Place & { readonly kind: 'frame'; readonly samples: Float32Array<ArrayBuffer> })
  | { readonly kind: 'end'; readonly chunk: number; readonly truncated: boolean }
  | { readonly kind: 'error'; readonly chunk: number; readonly error: WireError };

export type FromWorker =
  | { readonly kind: 'value'; readonly id: number; readonly value: unknown; readonly stats: Stats }
  | { readonly kind: 'error'; readonly id: number; readonly error: WireError; readonly stats: Stats }
  | { readonly kind: 'events'; readonly stream: number; readonly events: readonly StreamEvent[]; readonly stats: Stats }
  /** Nothing but new stats. */
  | { readonly kind: 'stats'; readonly stats: Stats }
  /** The instance trapped: it answers nothing any more. */
  | { readonly kind: 'crash'; readonly error: WireError };

/** From the speaker to the decoder. `open` comes first and `close` last, whatever happens between. */
export type PipeMessage =
  | { readonly kind: 'open'; readonly stream: number; readonly acknowledge: boolean }
  | { readonly kind: 'close'; readonly stream: number }
  | PipeContent;
export type PipeContent = { readonly stream: number } & (
  | Exclude<StreamEvent, { kind: 'frame' }>
  | (Place & { readonly kind: 'latent'; readonly latent: Float32Array<ArrayBuffer> })
);

/** From a decoder, for streams that it acknowledges: latents that have become sound. */
export interface Decoded {
  readonly kind: 'decoded';
  readonly stream: number;
  readonly latents: number;
}

/** An error on its way to the other side. */
export function toWire(error: unknown): WireError {
  if (error instanceof PocketTTSError) return { code: error.code, message: error.message };
  return { code: 'crashed', message: `The worker failed: ${error instanceof Error ? error.message : String(error)}` };
}

/** The error that arrived. */
export function fromWire({ code, message }: WireError): PocketTTSError {
  return new PocketTTSError(code, message);
}
