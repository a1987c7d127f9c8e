// Speaks the requests of tests/hosts in the page, one in a worker, tries an abort and a missing pack, and leaves what it
// found in the page: a strict content security policy keeps test drivers from evaluating conditions.
import { PocketTTS, PocketTTSError } from '../../dist/index.js';
import { speak } from './speak.mjs';

function inWorker(requests, request) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./worker.mjs', import.meta.url), { type: 'module' });
    worker.onmessage = ({ data }) => {
      worker.terminate();
      resolve(data);
    };
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage({ document: requests, request });
  });
}

/** The code of the error that `promise` ends with. */
async function codeOf(promise) {
  try {
    await promise;
    return 'none';
  } catch (error) {
    return error instanceof PocketTTSError ? error.code : String(error);
  }
}

async function abortedStream() {
  const tts = await PocketTTS.load();
  const stop = new AbortController();
  let frames = 0;
  const code = await codeOf(
    (async () => {
      for await (const frame of tts.stream('This will be stopped in the middle. '.repeat(20), {
        signal: stop.signal,
      })) {
        frames = frame.frame + 1;
        if (frames === 4) stop.abort();
      }
    })(),
  );
  await tts.dispose();
  return { code, frames };
}

async function main() {
  const requests = await (await fetch('/tests/hosts/requests.json')).json();
  const spoken = {};
  for (const request of requests.requests) spoken[request.name] = await speak(requests, request);
  return {
    spoken,
    worker: await inWorker(requests, requests.requests[0]),
    aborted: await abortedStream(),
    missing: await codeOf(PocketTTS.load({ pack: '/packs/nothing/' })),
    disposed: await (async () => {
      const tts = await PocketTTS.load();
      await tts.dispose();
      return codeOf(tts.generate('Yes.'));
    })(),
  };
}

const result = await main().catch((error) => ({ error: error.stack ?? String(error) }));
document.querySelector('pre').textContent = JSON.stringify(result);
document.title = 'done';
