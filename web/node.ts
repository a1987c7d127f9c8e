// The package in Node: packs from folders as well as URLs, and the reference's configuration files.
import { checkOptions, isString } from './arguments.js';
import { cacheInfo, clearCache, isCached } from './cache-info.js';
import type { CachedOptions, CacheInfo, CacheOptions, ClearOptions } from './cache-info.js';
import type { PackLocation } from './backend.js';
import type { Checks } from './arguments.js';
import { loadConfig } from './config-node.js';
import { nodeHost, nodeHostWith } from './host-node.js';
import { locatePack } from './packs.js';
import { LOAD_CHECKS, loadCore, PocketTTSBase } from './tts.js';
import type { LoadOptions as CommonLoadOptions } from './tts.js';
import { PocketTTSError } from './errors.js';

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
  LoadVoiceOptions,
  Recording,
  Speech,
  SpeechStream,
  VoiceInfo,
  Warning,
} from './tts.js';
export type { Chunk, Frame, RandomStreams, SpeechOptions } from './utterance.js';

export interface LoadOptions extends CommonLoadOptions {
  /** A configuration file of the reference (.yaml), instead of a pack: a path, a URL, or hf://OWNER/NAME/PATH@REVISION. */
  readonly config?: string | undefined;
}

const NODE_LOAD_CHECKS: Checks<LoadOptions> = { ...LOAD_CHECKS, config: isString };

/** Text to speech. `const tts = await PocketTTS.load(); const speech = await tts.generate('Hello.');` */
export class PocketTTS extends PocketTTSBase {
  /** Loads a pack or a configuration; without either, the starter voice of the package. */
  static async load(options: LoadOptions = {}): Promise<PocketTTS> {
    checkOptions(options, NODE_LOAD_CHECKS);
    const { pack, config } = options;
    if (pack !== undefined && config !== undefined) {
      throw new PocketTTSError('argument', 'Cannot load both a pack and a config, please choose one or the other');
    }
    const locate = (own: CommonLoadOptions): PackLocation | Promise<PackLocation> =>
      config === undefined ? locatePack(nodeHost, pack, own) : loadConfig(config, own);
    return new PocketTTS(await loadCore(nodeHostWith(options), locate, options));
  }

  /** Whether a pack can be loaded without the network: the starter voice and folders always. */
  static async isCached(options: CachedOptions = {}): Promise<boolean> {
    return isCached(nodeHost, options);
  }

  /** What is kept of downloads, and where. */
  static async cacheInfo(options: CacheOptions = {}): Promise<CacheInfo> {
    return cacheInfo(nodeHost, options);
  }

  /** Removes what is kept, of one pack or all, and tells how many bytes that were. */
  static async clearCache(options: ClearOptions = {}): Promise<number> {
    return clearCache(nodeHost, options);
  }
}
