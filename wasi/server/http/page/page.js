// Posts the form and plays the WAV that comes back while it arrives.

const HEADER = 44;
const LEAD = 0.1; // seconds between the first samples and their sound
const BLOCK = 4800; // samples that are handed to the speakers at once

const element = (id) => document.getElementById(id);
const form = element('form');
const speak = element('speak');
const stop = element('stop');
const save = element('save');
const state = element('state');

let running; // AbortController of what is being spoken

/** Plays 16-bit samples one after the other. */
class Player {
  #context;
  #next = 0;
  #rate;

  constructor(context, rate) {
    this.#context = context;
    this.#rate = rate;
  }

  play(samples) {
    if (samples.length === 0) return;
    const buffer = this.#context.createBuffer(1, samples.length, this.#rate);
    const channel = buffer.getChannelData(0);
    for (let n = 0; n < samples.length; n++) channel[n] = samples[n] / 32768;
    const source = this.#context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.#context.destination);
    this.#next = Math.max(this.#next, this.#context.currentTime + (this.#next === 0 ? LEAD : 0.02));
    source.start(this.#next);
    this.#next += samples.length / this.#rate;
  }

  /** Seconds of sound that are still to be heard. */
  get left() {
    return Math.max(0, this.#next - this.#context.currentTime);
  }
}

/** The samples of a WAV as it arrives: calls `begin` with the rate, then `take` with blocks of samples. */
async function read(body, begin, take) {
  const reader = body.getReader();
  let held = new Uint8Array(0);
  let rate = 0;
  const give = (all) => {
    if (rate === 0) {
      if (held.length < HEADER) return;
      rate = new DataView(held.buffer, held.byteOffset).getUint32(24, true);
      begin(rate);
      held = held.slice(HEADER);
    }
    const whole = held.length & ~1;
    if (whole === 0 || (!all && whole < 2 * BLOCK)) return;
    const view = new DataView(held.buffer, held.byteOffset, whole);
    const samples = new Int16Array(whole / 2);
    for (let n = 0; n < samples.length; n++) samples[n] = view.getInt16(2 * n, true);
    held = held.slice(whole);
    take(samples);
  };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const joined = new Uint8Array(held.length + value.length);
    joined.set(held);
    joined.set(value, held.length);
    held = joined;
    give(false);
  }
  give(true);
}

/** The file that is offered for saving: with the true sizes. */
function file(blocks, rate) {
  const bytes = blocks.reduce((sum, block) => sum + block.byteLength, 0);
  const header = new DataView(new ArrayBuffer(HEADER));
  const text = (at, value) => [...value].forEach((letter, n) => header.setUint8(at + n, letter.charCodeAt(0)));
  text(0, 'RIFF');
  header.setUint32(4, HEADER - 8 + bytes, true);
  text(8, 'WAVEfmt ');
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true);
  header.setUint16(22, 1, true);
  header.setUint32(24, rate, true);
  header.setUint32(28, 2 * rate, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  text(36, 'data');
  header.setUint32(40, bytes, true);
  return new Blob([header, ...blocks], { type: 'audio/wav' });
}

async function say(controller) {
  const { signal } = controller;
  const headers = {};
  const key = element('key');
  if (key) headers.Authorization = `Bearer ${key.value}`;
  const base = location.pathname.replace(/\/[^/]*$/, '');
  const context = new AudioContext({ sampleRate: 24000 }); // within the click: it may sound
  try {
    const answer = await fetch(`${base}/tts`, { method: 'POST', body: new FormData(form), headers, signal });
    if (!answer.ok) {
      const { detail } = await answer.json().catch(() => ({ detail: answer.statusText }));
      throw new Error(typeof detail === 'string' ? detail : 'The text is missing.');
    }
    const blocks = [];
    let player;
    let rate = 24000;
    let samples = 0;
    await read(
      answer.body,
      (found) => {
        rate = found;
        player = new Player(context, rate);
      },
      (block) => {
        player.play(block);
        blocks.push(block);
        samples += block.length;
        state.textContent = `Speaking: ${(samples / rate).toFixed(1)} s`;
        document.documentElement.dataset.seconds = String(samples / rate);
      },
    );
    if (save.href) URL.revokeObjectURL(save.href);
    save.href = URL.createObjectURL(file(blocks, rate));
    save.hidden = false;
    while (player && player.left > 0 && !signal.aborted) await new Promise((done) => setTimeout(done, 50));
    state.textContent = signal.aborted ? 'Stopped.' : `${(samples / rate).toFixed(1)} s of speech.`;
  } finally {
    await context.close();
  }
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  running?.abort();
  const controller = new AbortController();
  running = controller;
  speak.disabled = true;
  stop.disabled = false;
  save.hidden = true;
  state.textContent = 'Waiting for the first sound.';
  try {
    await say(controller);
  } catch (error) {
    state.textContent = controller.signal.aborted ? 'Stopped.' : `Not spoken: ${error.message}`;
  } finally {
    if (running === controller) {
      speak.disabled = false;
      stop.disabled = true;
    }
  }
});
stop.addEventListener('click', () => running?.abort());
