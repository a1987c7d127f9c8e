// The module that Emscripten makes of wasm/embind.cpp, typed by hand. Conventions: see there.
import type { WasmImports, WasmInstance, WasmModule } from './platform.js';

export interface DoorMemory {
  allocate(bytes: number): boolean;
  release(): void;
  length(): number;
  /** Views die when the memory grows: ask again after every call into the module. */
  bytes(): Uint8Array<ArrayBuffer>;
  floats(): Float32Array<ArrayBuffer>;
  ints(): Int32Array<ArrayBuffer>;
  delete(): void;
}

export interface DoorHandle {
  close(): void;
  isOpen(): boolean;
  delete(): void;
}

export interface DoorModelInfo {
  sampleRate: number;
  samplesPerFrame: number;
  latentWidth: number;
  vocabulary: number;
  parts: number;
  precision: number;
  canClone: number;
  layers: number;
  hiddenWidth: number;
  weightBytes: number;
}

export interface DoorModel extends DoorHandle {
  info(): DoorModelInfo;
  tokenize(text: DoorMemory, ids: DoorMemory): number;
  detokenize(ids: DoorMemory, text: DoorMemory): number;
  /** The guess of frames after the end, or a negative status. */
  prepare(text: DoorMemory, prepared: DoorMemory): number;
  flowVelocity(condition: DoorMemory, times: DoorMemory, x: DoorMemory, velocity: DoorMemory): number;
}

export interface DoorPack extends DoorHandle {
  open(configJson: DoorMemory, parts: number, precision: number): number;
  tokenizer(kind: number, file: DoorMemory): number;
  file(kind: number, totalBytes: number): number;
  feed(slice: DoorMemory, length: number): number;
  finish(model: DoorModel): number;
}

export interface DoorExport extends DoorHandle {
  /** The size of the file, or a negative status. */
  open(model: DoorModel, parts: number): number;
  /** Bytes of `slice` that were filled, 0 at the end, or a negative status. */
  read(slice: DoorMemory): number;
}

export interface DoorVoice extends DoorHandle {
  load(model: DoorModel, safetensors: DoorMemory): number;
  fromWav(model: DoorModel, wav: DoorMemory, maxSeconds: number): number;
  fromPcm(model: DoorModel, samples: DoorMemory, sampleRate: number): number;
  positions(): number;
  exportTo(out: DoorMemory): number;
}

export interface DoorOptions {
  seed: number;
  temperature: number;
  eosThreshold: number;
  noiseClamp: number;
  decodeSteps: number;
  framesAfterEos: number;
  maxTokens: number;
  rng: number;
  discardDraws: number;
}

export interface DoorEvent {
  chunk: number;
  step: number;
  eosLogit: number;
  eos: number;
  truncated: number;
}

export interface DoorChunk {
  tokens: number;
  framesAfterEos: number;
  maxFrames: number;
  textBegin: number;
  textEnd: number;
  overLimit: number;
}

export interface DoorSession extends DoorHandle {
  open(model: DoorModel, voice: DoorVoice, text: DoorMemory, options: DoorOptions): number;
  chunkCount(): number;
  chunk(index: number): DoorChunk;
  chunkText(index: number, which: number): string;
  chunkIds(index: number): Int32Array<ArrayBuffer>;
  seek(chunk: number): number;
  step(latent: DoorMemory): number;
  stepForced(previous: DoorMemory | null, noise: DoorMemory | null, latent: DoorMemory): number;
  /** Results of so many chunks, 0 when none is spoken, or a negative status. `begin`: a chunk, or NONE. */
  stepMany(most: number, begin: number, latents: DoorMemory): number;
  eventOf(result: number): DoorEvent;
  statusOf(result: number): number;
  event(): DoorEvent;
}

export interface DoorCodec extends DoorHandle {
  open(model: DoorModel): number;
  reset(): number;
  fade(on: boolean): number;
  decode(latents: DoorMemory, count: number, pcm: DoorMemory): number;
}

export interface DoorStretch extends DoorHandle {
  open(sampleRate: number, speed: number): number;
  /** The first `count` samples. */
  write(samples: DoorMemory, count: number): number;
  end(): number;
  /** Samples that were written, or a negative status. */
  read(samples: DoorMemory): number;
}

export interface Door {
  readonly Memory: new () => DoorMemory;
  readonly Pack: new () => DoorPack;
  readonly Model: new () => DoorModel;
  readonly Export: new () => DoorExport;
  readonly Voice: new () => DoorVoice;
  readonly Session: new () => DoorSession;
  readonly Codec: new () => DoorCodec;
  readonly Stretch: new () => DoorStretch;

  readonly PART_ALL: number;
  readonly PART_FLOW_LM: number;
  readonly PART_MIMI_DECODER: number;
  readonly PART_MIMI_ENCODER: number;
  readonly PRECISION_F32: number;
  readonly PRECISION_Q8: number;
  readonly PRECISION_Q4: number;
  readonly TOKENIZER_SENTENCEPIECE: number;
  readonly TOKENIZER_JSON: number;
  readonly FILE_BUNDLE: number;
  readonly FILE_FLOW_LM: number;
  readonly FILE_MIMI: number;
  readonly RNG_CHUNK: number;
  readonly RNG_TORCH: number;
  readonly NONE: number;
  readonly OK: number;
  readonly CHUNK_END: number;
  readonly DONE: number;

  message(): string;
  version(): string;
  statusName(status: number): string;
  allocatedBytes(): number;
  memoryBytes(): number;
  probe(on: boolean): number;
  probeTake(out: DoorMemory): number;
  /** The sample rate, or a negative status. */
  wavRead(file: DoorMemory, out: DoorMemory): number;
  resample(samples: DoorMemory, from: number, to: number, out: DoorMemory): number;
  endOnPause(samples: DoorMemory, out: DoorMemory): number;
  normals(seed: number, temperature: number, noiseClamp: number, widths: DoorMemory, out: DoorMemory): number;
  defaultOptions(model: DoorModel): DoorOptions;
}

export interface DoorSettings {
  instantiateWasm?: (
    imports: WasmImports,
    receive: (instance: WasmInstance, module: WasmModule) => void,
  ) => object;
  print?: (line: string) => void;
  printErr?: (line: string) => void;
}

export default function createPocketTts(settings?: DoorSettings): Promise<Door>;
