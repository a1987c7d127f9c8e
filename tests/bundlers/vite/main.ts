import { PocketTTS } from 'pocket-tts-wasm';

const form = document.querySelector('form') as HTMLFormElement;
const status = document.querySelector('[role=status]') as HTMLElement;
const audio = document.querySelector('audio') as HTMLAudioElement;
let loading: Promise<PocketTTS> | undefined;

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
