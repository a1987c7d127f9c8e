// The package in browsers (and wherever else fetch and WebAssembly are). Importing touches no global.
import { browserHost } from './host-browser.js';
import { checkOptions, loadCore, PocketTTSBase } from './tts.js';
import type { LoadOptions } from './tts.js';

export { PocketTTSError } from './errors.js';
export type { ErrorCode } from './errors.js';
export type { LoadProgress, PackFile, PackManifest, Precision } from './pack.js';
export { Voice } from './tts.js';
export type { Bytes, GenerateOptions, Info, LoadOptions, Speech, SpeechStream, VoiceInfo, Warning } from './tts.js';
export type { Chunk, Frame, RandomStreams, SpeechOptions } from './utterance.js';

/** Text to speech. `const tts = await PocketTTS.load(); const speech = await tts.generate('Hello.');` */
export class PocketTTS extends PocketTTSBase {
  /** Loads a pack; without one, the starter voice of the package. */
  static async load(options: LoadOptions = {}): Promise<PocketTTS> {
    checkOptions(options);
    const source =
      options.pack === undefined || options.pack === 'starter'
        ? browserHost.starter()
        : browserHost.source(options.pack);
    return new PocketTTS(await loadCore(browserHost, { source }, options));
  }
}
