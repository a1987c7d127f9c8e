// What the browser build needs beside its scripts, as files of the package. Each URL is written in one piece, and each
// worker: so bundlers find them, copy them and put the final place here. assets-inline.ts is the same for ./inline.
import type { Assets } from './host-browser.js';
import { starter } from './starter.js';

export const assets: Assets = {
  wasm: () => new URL('./pocket_tts.wasm', import.meta.url),
  worker: () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'pocket-tts' }),
  starter,
};
