// A worker of the package in browsers: started by host-browser.ts, answers to it alone.
import { Server } from './serve.js';
import type { Transfer } from './platform.js';
import type { Command, StoreOrder } from './protocol.js';
import { serveStore } from './store-worker.js';

interface Scope {
  postMessage(message: unknown, transfer: Transfer[]): void;
  onmessage: ((event: MessageEvent) => void) | null;
}
const scope = globalThis as unknown as Scope;

// Messages come in the order in which they were sent, this one included: after it, those that were waiting are in.
const ping = new MessageChannel();
let resume: (() => void) | undefined;
ping.port1.onmessage = () => resume?.();

const server = new Server({
  post: (message, transfer) => {
    scope.postMessage(message, transfer);
  },
  pause: () =>
    new Promise((resolve) => {
      resume = resolve;
      ping.port2.postMessage(undefined);
    }),
});
scope.onmessage = ({ data }) => {
  const command = data as Command | StoreOrder;
  if (command.kind === 'store') serveStore(command.port);
  else void server.handle(command);
};
