// What ./inline carries in itself: the engine (deflated, base64) and the worker's script. One file then speaks from another
// site, whose worker.js a page may not start. The starter voice stays a file: it is fetched only when it is used.
import type { Assets } from './host-browser.js';
import { starter } from './starter.js';

/** Put in by build.mjs. */
declare const INLINE_WASM: string;
declare const INLINE_WORKER: string;

async function inflate(base64: string): Promise<ArrayBuffer> {
  const deflated = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([deflated]).stream().pipeThrough(new DecompressionStream('deflate'))).arrayBuffer();
}

let script: string | undefined;

export const assets: Assets = {
  wasm: () => inflate(INLINE_WASM),
  worker: () => {
    script ??= URL.createObjectURL(new Blob([INLINE_WORKER], { type: 'text/javascript' }));
    return new Worker(script, { name: 'pocket-tts' });
  },
  starter,
};
