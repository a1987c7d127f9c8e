// Speaks the requests of tests/hosts from the page in every layout, one from a worker, tries aborts and a missing pack, and
// leaves what it found in the page: a strict content security policy keeps test drivers from evaluating conditions.
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

const LAYOUTS = {
  page: { worker: false },
  default: {},
  halves: { instances: 2 },
  shared: { parallel: 2 },
};

async function abortedStream(layout) {
  const tts = await PocketTTS.load(layout);
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
  const after = await tts.generate('Yes.');
  const { instances, parallel, worker, reason } = tts.info;
  await tts.dispose();
  return { code, frames, after: after.samples.length > 0, info: { instances, parallel, worker, reason } };
}

/** Streams beside each other, and one that nobody reads on: the samples of one that is alone. */
async function beside(layout) {
  const tts = await PocketTTS.load(layout);
  const alone = await tts.generate('Hello there.');
  const forgotten = tts.stream('Nobody reads this one to its end.');
  await forgotten.next();
  const spoken = await Promise.all(['Hello there.', 'Hello there.'].map((text) => tts.generate(text)));
  await tts.dispose();
  const same = ({ samples }) => samples.length === alone.samples.length && samples.every((x, i) => x === alone.samples[i]);
  return { same: spoken.every(same), forgotten: await codeOf(forgotten.next()) };
}

/** A package whose worker cannot be fetched. */
async function lacking() {
  const { PocketTTS: Lacking } = await import('/lacking/dist/index.js');
  const tts = await Lacking.load();
  const { samples } = await tts.generate('Yes.');
  const { worker, reason } = tts.info;
  await tts.dispose();
  const explicit = await Promise.all([{ instances: 2 }, { worker: true }].map((layout) => Lacking.load(layout).catch((e) => e.code)));
  return { spoken: samples.length > 0, worker, reason, explicit };
}

/** A package whose decoder crashes in long texts. */
async function trapping(layout) {
  const { PocketTTS: Trapping } = await import('/trapping/dist/index.js');
  const tts = await Trapping.load(layout);
  const message = await tts.generate('This will be stopped in the middle. '.repeat(20), { eosThreshold: 1e6 }).catch((e) => `${e.code}: ${e.message}`);
  const after = await tts.generate('Yes.', { maxTokens: 10 });
  await tts.dispose();
  return { message, after: after.samples.length > 0 };
}

async function main() {
  const requests = await (await fetch('/tests/hosts/requests.json')).json();
  const spoken = {};
  const aborted = {};
  const together = {};
  const crashed = {};
  for (const [name, layout] of Object.entries(LAYOUTS)) {
    spoken[name] = {};
    for (const request of requests.requests) spoken[name][request.name] = await speak(requests, request, layout);
    aborted[name] = await abortedStream(layout);
    together[name] = await beside(layout);
    crashed[name] = await trapping(layout);
  }
  return {
    spoken,
    worker: await inWorker(requests, requests.requests[0]),
    aborted,
    together,
    crashed,
    lacking: await lacking(),
    cores: self.navigator.hardwareConcurrency,
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
