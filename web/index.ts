// The package in browsers (and wherever else fetch and WebAssembly are). Importing touches no global.
import { checkOptions } from './arguments.js';
import { assets } from './assets.js';
import { cacheInfo, clearCache, isCached } from './cache-info.js';
import type { CachedOptions, CacheInfo, CacheOptions, ClearOptions } from './cache-info.js';
import { browserHostWith } from './host-browser.js';
import { locatePack } from './packs.js';
import { LOAD_CHECKS, loadCore, PocketTTSBase } from './tts.js';
import type { LoadOptions } from './tts.js';

export { PocketTTSError } from './errors.js';
export type { ErrorCode } from './errors.js';
export type { CachedOptions, CacheFile, CacheInfo, CacheOptions, ClearOptions } from './cache-info.js';
export type { CacheOption, LoadWarning } from './cache.js';
export type { PackFile, PackManifest, Precision } from './pack.js';
export type { PackOptions } from './packs.js';
export type { Text } from './pieces.js';
export type { Player, PlayerEvents, PlayerState, PlayOptions } from './player.js';
export type { LoadProgress } from './progress.js';
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
    const { wasmUrl, workerUrl } = options;
    // Compiled once for all who use the package's own files.
    const host = wasmUrl === undefined && workerUrl === undefined ? browserHost : browserHostWith(assets, options);
    return new PocketTTS(await loadCore(host, (own) => locatePack(host, options.pack, own), options));
  }

  /** Whether a pack can be loaded without the network: the starter voice always. */
  static async isCached(options: CachedOptions = {}): Promise<boolean> {
    return isCached(browserHost, options);
  }

  /** What is kept of downloads, and where. */
  static async cacheInfo(options: CacheOptions = {}): Promise<CacheInfo> {
    return cacheInfo(browserHost, options);
  }

  /** Removes what is kept, of one pack or all, and tells how many bytes that were. */
  static async clearCache(options: ClearOptions = {}): Promise<number> {
    return clearCache(browserHost, options);
  }
}
