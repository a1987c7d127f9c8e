import { PocketTTS } from 'pocket-tts-wasm';

const form = /** @type {HTMLFormElement} */ (document.querySelector('form'));
const status = /** @type {HTMLElement} */ (document.querySelector('[role=status]'));
const audio = /** @type {HTMLAudioElement} */ (document.querySelector('audio'));
/** @type {Promise<PocketTTS> | undefined} */
let loading;

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  status.textContent = 'Working';
  try {
    // The first time, the voice is fetched and the engine is started.
    const tts = await (loading ??= PocketTTS.load());
    const text = String(new FormData(form).get('text'));
    if (event.submitter?.getAttribute('name') === 'play') {
      await tts.play(text).finished;
      status.textContent = 'Done: played';
      return;
    }
    const speech = await tts.generate(text);
    audio.src = URL.createObjectURL(new Blob([speech.toWav()], { type: 'audio/wav' }));
    status.textContent = `Done: ${speech.duration.toFixed(2)} s, ${tts.info.worker ? 'in a worker' : 'without a worker'}`;
  } catch (error) {
    status.textContent = `Failed: ${String(error)}`;
  }
});
