// In the page: what a player plays, recorded, and looked at sample by sample.

/** Records everything that goes into `node`. */
export async function record(context) {
  await context.audioWorklet.addModule('/tests/browser/recorder-worklet.js');
  const node = new self.AudioWorkletNode(context, 'recorder', { channelCount: 1, channelCountMode: 'explicit' });
  // Its output is silent; a node that leads nowhere is not asked.
  node.connect(context.destination);
  const blocks = [];
  let ended;
  node.port.onmessage = ({ data }) => {
    blocks.push(data.samples);
    if (data.last) ended();
  };
  return {
    node,
    /** The recording so far. */
    async take() {
      const last = new Promise((resolve) => {
        ended = resolve;
      });
      node.port.postMessage('');
      await last;
      const all = new Float32Array(blocks.reduce((sum, { length }) => sum + length, 0));
      let at = 0;
      for (const block of blocks) {
        all.set(block, at);
        at += block.length;
      }
      return all;
    },
  };
}

/** Renders what a player plays. `during`: called once with the player and the context before the rendering. */
export async function render(tts, text, { seconds, rate = 1, sampleRate = 24000, during, ...options }) {
  const context = new self.OfflineAudioContext(1, Math.ceil(seconds * sampleRate), sampleRate);
  const player = tts.play(text, { context, rate, ...options });
  const events = [];
  for (const name of ['sentence', 'underrun', 'state', 'ended', 'error']) player.on(name, (detail) => events.push([name, detail]));
  await player.ready;
  during?.(player, context);
  const buffer = await context.startRendering();
  return { samples: buffer.getChannelData(0), player, events };
}

export const firstSound = (samples) => samples.findIndex((x) => x !== 0);
export const lastSound = (samples) => samples.findLastIndex((x) => x !== 0);

/** Samples of `heard` from `at` on that differ from `made`. */
export function differences(heard, made, at = 0) {
  let count = 0;
  for (let i = 0; i < made.length; i++) if (heard[at + i] !== made[i]) count++;
  return count;
}

/** Silences of at least `least` samples inside of a recording: [begin, end). */
export function gaps(samples, least) {
  const found = [];
  const last = lastSound(samples);
  for (let i = firstSound(samples), from = -1; i <= last; i++) {
    if (samples[i] === 0) {
      if (from < 0) from = i;
    } else {
      if (from >= 0 && i - from >= least) found.push([from, i]);
      from = -1;
    }
  }
  return found;
}

/**
 * The largest click: how far a sample is from the line through its neighbours, beyond what the waveform does by itself in the
 * 20 ms around it. Speech bends too, so the threshold is relative.
 */
export function clicks(samples, places, reach = 480) {
  const bend = (i) => Math.abs(samples[i] - (samples[i - 1] + samples[i + 1]) / 2);
  let worst = 0;
  for (const place of places) {
    for (let i = Math.max(1, place - reach); i < Math.min(samples.length - 1, place + reach); i++) worst = Math.max(worst, bend(i));
  }
  return worst;
}

/** The largest bend anywhere. */
export function naturalBend(samples) {
  return clicks(samples, [samples.length >> 1], samples.length);
}

export function rms(samples, from, to) {
  let sum = 0;
  for (let i = from; i < to; i++) sum += samples[i] * samples[i];
  return Math.sqrt(sum / (to - from));
}

/** The pitch of voiced speech in hertz: the median over frames of the lag at which each is most like itself. */
export function medianPitch(samples, from, to) {
  const lags = [];
  for (let at = from; at + 1200 <= to; at += 240) {
    let best = [0, 0];
    for (let lag = 60; lag <= 400; lag++) {
      let [product, one, other] = [0, 1e-9, 1e-9];
      for (let i = at; i < at + 800; i++) {
        product += samples[i] * samples[i + lag];
        one += samples[i] ** 2;
        other += samples[i + lag] ** 2;
      }
      const alike = product / Math.sqrt(one * other);
      if (alike > best[0]) best = [alike, lag];
    }
    if (best[0] > 0.7) lags.push(best[1]);
  }
  return 24000 / lags.sort((a, b) => a - b)[lags.length >> 1];
}

export function until(player, name, test = () => true) {
  return new Promise((resolve) => {
    const off = player.on(name, (detail) => {
      if (!test(detail)) return;
      off();
      resolve(detail);
    });
  });
}

export const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
