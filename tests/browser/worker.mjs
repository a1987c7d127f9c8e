// The package in a module worker.
import { speak } from './speak.mjs';

self.onmessage = async ({ data: { document, request } }) => {
  self.postMessage(await speak(document, request).catch((error) => ({ error: String(error) })));
};
