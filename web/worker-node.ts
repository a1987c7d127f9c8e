// A worker of the package in Node: started by host-node.ts, answers to it alone.
import { setImmediate } from 'node:timers/promises';
import { parentPort } from 'node:worker_threads';
import type { Transferable as NodeTransferable } from 'node:worker_threads';
import { Server } from './serve.js';
import type { Command } from './protocol.js';

if (parentPort === null) throw new Error('worker-node.js runs as a worker of pocket-tts-wasm only');
const caller = parentPort;
const server = new Server({
  post: (message, transfer) => {
    caller.postMessage(message, transfer as NodeTransferable[]);
  },
  pause: () => setImmediate(),
});
caller.on('message', (command: Command) => {
  void server.handle(command);
});
