import { PocketTTS } from './node_modules/pocket-tts-wasm/dist/index.js';

// A service worker has no workers of its own: the engine runs in it.
let loading;

chrome.runtime.onMessage.addListener(({ text }, _sender, answer) => {
  (async () => {
    const tts = await (loading ??= PocketTTS.load());
    const speech = await tts.generate(text);
    return { samples: Array.from(speech.samples), worker: tts.info.worker };
  })().then(answer, (error) => answer({ error: String(error) }));
  return true; // The answer comes later.
});
