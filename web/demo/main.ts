// The demo: a text is spoken as it is made, and what that took is shown.
import { PocketTTS, PocketTTSError } from 'pocket-tts-wasm';
import type { Player } from 'pocket-tts-wasm';
import { byId, say } from '../pages/dom.js';
import { draw, Outline, peakOf } from './wave.js';

const BARS = 160;
const textInput = byId('text', HTMLTextAreaElement);
const voiceSelect = byId('voice', HTMLSelectElement);
const rateInput = byId('rate', HTMLInputElement);
const speakButton = byId('speak', HTMLButtonElement);
const stopButton = byId('stop', HTMLButtonElement);
const status = byId('status', HTMLElement);
const canvas = byId('wave', HTMLCanvasElement);

let context: AudioContext | undefined;
let analyser: AnalyserNode | undefined;
let player: Player | undefined;
let outline = new Outline(BARS);

/** The way to the loudspeakers, with an eye on it. Made in a gesture, once. */
function output(): { context: AudioContext; destination: AnalyserNode } {
  context ??= new AudioContext();
  if (analyser === undefined) {
    analyser = new AnalyserNode(context, { fftSize: 2048 });
    analyser.connect(context.destination);
  }
  return { context, destination: analyser };
}

function figures(now: Player, firstSound: number | undefined): void {
  const { realTimeFactor, currentTime } = now;
  byId('first', HTMLElement).textContent = firstSound === undefined ? '–' : `${Math.round(firstSound)} ms`;
  byId('factor', HTMLElement).textContent = realTimeFactor === undefined ? '–' : `${realTimeFactor.toFixed(1)}×`;
  byId('heard', HTMLElement).textContent = `${currentTime.toFixed(1)} s`;
}

function speak(tts: PocketTTS): void {
  const text = textInput.value;
  if (text.trim() === '') {
    say(status, 'There is no text yet.');
    textInput.focus();
    return;
  }
  player?.stop();
  const asked = performance.now();
  const { context: audio, destination } = output();
  const now = tts.play(text, { voice: voiceSelect.value, rate: rateInput.valueAsNumber, context: audio, destination });
  player = now;
  outline = new Outline(BARS);
  stopButton.disabled = false;
  say(status, 'Speaking …');

  let firstSound: number | undefined;
  const heard = new Float32Array(destination.fftSize);
  const tick = (): void => {
    if (player !== now) return;
    if (now.state === 'playing') {
      destination.getFloatTimeDomainData(heard);
      outline.push(peakOf(heard));
      draw(canvas, outline.bars, BARS);
    }
    figures(now, firstSound);
    requestAnimationFrame(tick);
  };
  now.on('state', ({ state }) => {
    if (state === 'playing') firstSound ??= performance.now() - asked;
  });
  requestAnimationFrame(tick);

  const end = (word: string): void => {
    if (player !== now) return;
    figures(now, firstSound);
    player = undefined;
    stopButton.disabled = true;
    say(status, word);
  };
  now.finished.then(
    () => {
      end(now.state === 'ended' ? 'Done.' : 'Stopped.');
    },
    (error: unknown) => {
      end(error instanceof PocketTTSError ? `${error.message} (${error.code})` : String(error));
    },
  );
}

function showRate(): void {
  const shown = `${rateInput.value}×`;
  byId('rate-shown', HTMLOutputElement).textContent = shown;
  rateInput.setAttribute('aria-valuetext', shown);
}

async function main(): Promise<void> {
  const tts = await PocketTTS.load({
    onProgress: ({ loaded, total }) => {
      if (total !== undefined && total > 0) say(status, `Loading the voice … ${Math.round((100 * loaded) / total)} %`);
    },
  });
  const { pack, precision, weightBytes, instances, version } = tts.info;
  byId('info', HTMLElement).textContent =
    `${pack.name}, ${precision}: ${(weightBytes / 1e6).toFixed(1)} MB of weights, ${instances} ` +
    `${instances === 1 ? 'instance' : 'instances'} of the engine ${version}.`;
  voiceSelect.replaceChildren(...tts.voices.map(({ name }) => new Option(name, name)));
  speakButton.disabled = false;
  say(status, 'Ready.');

  byId('form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    speak(tts);
  });
  textInput.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) speak(tts);
  });
  stopButton.addEventListener('click', () => {
    player?.stop();
  });
  rateInput.addEventListener('input', () => {
    showRate();
    if (player !== undefined) player.rate = rateInput.valueAsNumber;
  });
  addEventListener('resize', () => {
    draw(canvas, outline.bars, BARS);
  });
}

showRate();
main().catch((error: unknown) => {
  say(status, error instanceof PocketTTSError ? `${error.message} (${error.code})` : String(error));
});
