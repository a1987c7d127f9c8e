// The package in browsers (and wherever else fetch and WebAssembly are). Importing touches no global.
import { checkOptions } from './arguments.js';
import { assets } from './assets.js';
import { browserHostWith } from './host-browser.js';
import { LOAD_CHECKS, loadCore, PocketTTSBase } from './tts.js';
import type { LoadOptions } from './tts.js';

export { PocketTTSError } from './errors.js';
export type { ErrorCode } from './errors.js';
export type { LoadProgress, PackFile, PackManifest, Precision } from './pack.js';
export type { Text } from './pieces.js';
export type { Player, PlayerEvents, PlayerState, PlayOptions } from './player.js';
export { Voice } from './tts.js';
export type {
  Bytes,
  CloneVoiceOptions,
  GenerateOptions,
  Info,
  LoadOptions,
  LoadVoiceOptions,
  Recording,
  Speech,
  SpeechStream,
  VoiceInfo,
  Warning,
} from './tts.js';
export type { Chunk, Frame, RandomStreams, SpeechOptions } from './utterance.js';

const browserHost = browserHostWith(assets);

/** Text to speech. `const tts = await PocketTTS.load(); const speech = await tts.generate('Hello.');` */
export class PocketTTS extends PocketTTSBase {
  /** Loads a pack; without one, the starter voice of the package. */
  static async load(options: LoadOptions = {}): Promise<PocketTTS> {
    checkOptions(options, LOAD_CHECKS);
    const { pack, wasmUrl, workerUrl } = options;
    // Compiled once for all who use the package's own files.
    const host = wasmUrl === undefined && workerUrl === undefined ? browserHost : browserHostWith(assets, options);
    const source = pack === undefined || pack === 'starter' ? host.starter() : host.source(pack);
    return new PocketTTS(await loadCore(host, { source }, options));
  }
}
