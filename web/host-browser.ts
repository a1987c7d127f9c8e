// Browsers: everything by fetch. No global is touched before a call, so that importing is safe on a server.
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { PocketTTSError } from './errors.js';
import { once, packUrl, urlSource } from './host.js';
import type { Host } from './host.js';
import type { FromWorker } from './protocol.js';

/** A turn of the event loop. Timers are clamped to 4 ms after a few; messages are not. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      channel.port1.close();
      resolve();
    };
    channel.port2.postMessage(undefined);
  });
}

export const browserHost: Host = {
  wasm: once(async () => {
    const url = new URL('./pocket_tts.wasm', import.meta.url);
    const response = await fetch(url).catch((error: unknown) => {
      throw new PocketTTSError('network', `${url.href}: the request failed`, { cause: error });
    });
    if (!response.ok) throw new PocketTTSError('network', `${url.href}: HTTP status ${response.status}`);
    // Streaming compilation wants the right media type, which not every server gives.
    return response.headers.get('content-type')?.startsWith('application/wasm')
      ? WebAssembly.compileStreaming(response)
      : WebAssembly.compile(await response.arrayBuffer());
  }),
  starter: () => urlSource(new URL('../models/starter/', import.meta.url)),
  source: (pack) => urlSource(packUrl(pack, typeof document === 'undefined' ? import.meta.url : document.baseURI)),
  sha256() {
    const hash = sha256.create();
    return {
      update: (bytes) => {
        hash.update(bytes);
      },
      hex: () => bytesToHex(hash.digest()),
    };
  },
  pause: turn,
  workers: {
    cores: () => navigator.hardwareConcurrency,
    usable: () => typeof Worker !== 'undefined',
    preferred: () => typeof document !== 'undefined',
    start({ receive, fail }) {
      // Written in one piece: so bundlers know it for a worker.
      const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'pocket-tts' });
      worker.onmessage = ({ data }) => {
        receive(data as FromWorker);
      };
      worker.onmessageerror = fail;
      worker.onerror = (event) => {
        event.preventDefault();
        // Only what its script throws has a message.
        const said: unknown = event.message;
        fail(new Error(typeof said === 'string' && said !== '' ? said : 'its script cannot be loaded'));
      };
      return {
        post: (message, transfer) => {
          worker.postMessage(message, transfer);
        },
        ref: () => undefined,
        unref: () => undefined,
        terminate: () => {
          worker.terminate();
          return Promise.resolve();
        },
      };
    },
  },
};
