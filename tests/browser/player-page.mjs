// Plays texts into contexts that record: experiments, which the test asks for by name, and what they measured.
import { PocketTTS } from '../../dist/index.js';
import { clicks, differences, firstSound, gaps, lastSound, medianPitch, naturalBend, pause, record, render, rms, until } from './player-tools.mjs';

const TEXT = 'We were away a year ago. Now we are all alone, in an old yellow room! Who will know?';
const PIECES = TEXT.split(/(?<=[.!?] )/);
async function* pieces() {
  yield* PIECES;
}

let tts;
const EXPERIMENTS = {
  /** Offline, rate 1, the speech's own sample rate: the samples that generate() gives, from the first to the last. */
  async exact() {
    const speech = await tts.generate(TEXT);
    const { samples, player, events } = await render(tts, TEXT, { seconds: speech.duration + 1 });
    await player.finished;
    const { state, currentTime, duration, madeTime, startDelay, realTimeFactor } = player;
    return {
      differences: differences(samples, speech.samples),
      after: lastSound(samples) < speech.samples.length,
      length: speech.samples.length,
      events,
      chunks: speech.chunks.map(({ text, begin, end }) => ({ text, begin, end })),
      player: { state, currentTime, duration, madeTime, startDelay, measured: realTimeFactor > 0 },
      speech: speech.duration,
    };
  },

  async sentences() {
    const speech = await tts.generate(pieces());
    const { samples, events, player } = await render(tts, pieces(), { seconds: speech.duration + 1 });
    await player.finished;
    return {
      differences: differences(samples, speech.samples),
      heard: events.filter(([name]) => name === 'sentence').map(([, { begin, end }]) => TEXT.slice(begin, end)),
      times: events.filter(([name]) => name === 'sentence').map(([, { time }]) => time),
      starts: speech.chunks.map((_, i) => speech.chunks.slice(0, i).reduce((sum, { frames }) => sum + frames * 0.08, 0)),
    };
  },

  async rates() {
    const speech = await tts.generate(TEXT);
    const natural = naturalBend(speech.samples);
    const out = {};
    for (const rate of [0.5, 2, 4]) {
      const { samples, events, player } = await render(tts, TEXT, { seconds: speech.duration / rate + 1, rate });
      await player.finished;
      const length = Math.floor(speech.samples.length / rate + 0.5);
      out[rate] = {
        length,
        last: lastSound(samples),
        loudness: rms(samples, 0, length) / rms(speech.samples, 0, speech.samples.length),
        bend: naturalBend(samples) / natural,
        underruns: events.filter(([name]) => name === 'underrun').length,
      };
    }
    return out;
  },

  /** Another sample rate: the same wave, seen at other places. */
  async resampled() {
    const speech = await tts.generate(TEXT);
    const { samples } = await render(tts, TEXT, { seconds: speech.duration + 1, sampleRate: 48000 });
    let error = 0;
    for (let i = 0; i < speech.samples.length; i++) error += (samples[2 * i] - speech.samples[i]) ** 2;
    return { relative: Math.sqrt(error / speech.samples.length) / rms(speech.samples, 0, speech.samples.length), last: lastSound(samples) / 2, length: speech.samples.length };
  },

  /**
   * A new speed, and the old one again, asked for at exact places of a rendering that is held there: where in the sound each begins, how
   * fast the text goes on in between, and at what pitch. At speed 1 the sound is the samples of the text, so the places are exact.
   */
  async paced() {
    const speech = await tts.generate(TEXT);
    const Node = self.AudioWorkletNode;
    let node;
    self.AudioWorkletNode = class extends Node {
      constructor(...args) {
        super(...args);
        node = this;
      }
    };
    // What the audio thread has posted is here, what was posted to it is there.
    const synced = () =>
      new Promise((resolve) => {
        const listen = ({ data }) => {
          if (data.id !== 'paced') return;
          node.port.removeEventListener('message', listen);
          resolve();
        };
        node.port.addEventListener('message', listen);
        node.port.postMessage({ kind: 'sync', id: 'paced' });
      });
    const opened = (rate) =>
      new Promise((resolve) => {
        node.port.postMessage = (message, transfer) => {
          self.MessagePort.prototype.postMessage.call(node.port, message, transfer);
          if (message.kind !== 'open' || message.speed !== rate) return;
          delete node.port.postMessage;
          // Its first samples go in the same turn.
          setTimeout(resolve);
        };
      });
    // What the player makes at a new speed at once lasts to the second, where it holds the rendering itself.
    const asked = [1.7, 2.7];
    const { samples, player } = await render(tts, TEXT, {
      seconds: speech.duration + 1,
      during: (playing, context) => {
        for (const [i, rate] of [2, 1].entries()) {
          void context.suspend(asked[i]).then(async () => {
            await synced();
            const track = opened(rate);
            playing.rate = rate;
            await track;
            await synced();
            await context.resume();
          });
        }
      },
    });
    self.AudioWorkletNode = Node;
    await player.finished;
    const begin = samples.findIndex((x, i) => x !== speech.samples[i]);
    const moved = lastSound(speech.samples) - lastSound(samples);
    let end = lastSound(samples);
    while (samples[end] === speech.samples[end + moved]) end--;
    end++;
    const text = [begin, end + moved];
    return {
      heard: [begin / 24000 - asked[0], end / 24000 - asked[1]],
      seconds: (end - begin) / 24000,
      pace: (text[1] - text[0]) / (end - begin),
      pitch: medianPitch(samples, begin, end) / medianPitch(speech.samples, ...text),
    };
  },

  /** Changes of rate while it is heard: no click, no gap, and the sound is at the right place of the text afterwards. */
  async retuned() {
    const speech = await tts.generate(TEXT);
    const context = new self.AudioContext({ sampleRate: 24000 });
    const recorder = await record(context);
    const player = tts.play(TEXT, { context, destination: recorder.node });
    const changes = [];
    let underruns = 0;
    player.on('underrun', () => underruns++);
    const plan = [
      [0.8, 2],
      [2.4, 0.5],
      [3.2, 1],
    ];
    player.on('time', ({ currentTime }) => {
      if (plan.length === 0 || currentTime < plan[0][0]) return;
      player.rate = plan.shift()[1];
      changes.push(currentTime);
    });
    await player.finished;
    const heard = await recorder.take();
    await context.close();
    const samples = heard.subarray(firstSound(heard));
    const tail = speech.samples.subarray(-12000);
    return {
      changes,
      last: lastSound(samples) / 24000,
      bend: naturalBend(samples) / naturalBend(speech.samples),
      gaps: gaps(samples, 24).length - gaps(speech.samples, 24).length,
      underruns,
      state: player.state,
      duration: speech.duration,
      // The end is at rate 1 again: the samples of the text itself.
      tail: differences(samples, tail.subarray(0, lastSound(tail) + 1), lastSound(samples) - lastSound(tail)),
    };
  },

  /** A real context: the same samples. */
  async live() {
    const speech = await tts.generate(TEXT);
    const context = new self.AudioContext({ sampleRate: 24000 });
    const recorder = await record(context);
    const player = tts.play(TEXT, { context, destination: recorder.node });
    const states = [];
    const times = [];
    player.on('state', ({ state }) => states.push(state));
    player.on('time', ({ currentTime }) => times.push(currentTime));
    let underruns = 0;
    player.on('underrun', () => underruns++);
    await player.finished;
    const heard = await recorder.take();
    await context.close();
    const at = firstSound(heard) - firstSound(speech.samples);
    return {
      differences: differences(heard, speech.samples, at),
      states,
      underruns,
      rising: times.every((time, i) => i === 0 || time >= times[i - 1]),
      times: times.length,
      last: player.currentTime,
      duration: speech.duration,
    };
  },

  /** A text that comes too late: the sound stops and goes on without a click, and nothing of it is lost. */
  async starved() {
    const speech = await tts.generate(pieces());
    const first = speech.chunks[0].frames * 1920;
    const context = new self.AudioContext({ sampleRate: 24000 });
    const recorder = await record(context);
    let go;
    const late = new Promise((resolve) => {
      go = resolve;
    });
    async function* slow() {
      yield `${PIECES[0]}N`;
      await late;
      yield PIECES[1].slice(1) + PIECES[2];
    }
    const player = tts.play(slow(), { context, destination: recorder.node });
    const states = [];
    player.on('state', ({ state }) => states.push(state));
    let underruns = 0;
    player.on('underrun', () => underruns++);
    const underrun = await until(player, 'underrun');
    const state = player.state;
    await pause(0.3);
    go();
    await player.finished;
    const heard = await recorder.take();
    await context.close();
    const at = firstSound(heard) - firstSound(speech.samples);
    const [begin, end] = gaps(heard, 2400).sort((a, b) => b[1] - b[0] - (a[1] - a[0]))[0] ?? [0, 0];
    // The end of the text says how far the rest has moved.
    const moved = lastSound(heard) - lastSound(speech.samples);
    // 10 ms on both sides of the gap are ramps.
    const near = 1920;
    return {
      underrun,
      underruns,
      state,
      states,
      gap: end - begin,
      lost: end - begin - (moved - at),
      before: differences(heard, speech.samples.subarray(0, first - near), at),
      after: differences(heard, speech.samples.subarray(first + near, lastSound(speech.samples) + 1), moved + first + near),
      edges: [Math.abs(heard[begin - 1]), Math.abs(heard[end])],
      bend: clicks(heard, [begin, end]) / naturalBend(speech.samples),
    };
  },

  async controls() {
    const context = new self.AudioContext({ sampleRate: 24000 });
    const recorder = await record(context);
    const player = tts.play(TEXT, { context, destination: recorder.node, volume: 0.5 });
    const states = [];
    const heardSentences = [];
    player.on('state', ({ state }) => states.push(state));
    player.on('sentence', ({ time }) => heardSentences.push(time));
    await until(player, 'time', ({ currentTime }) => currentTime > 0.4);
    player.pause();
    await pause(0.2);
    const paused = player.currentTime;
    await pause(0.3);
    const still = player.currentTime;
    await player.resume();
    await until(player, 'time', ({ currentTime }) => currentTime > paused + 0.3);
    player.seek(0.2);
    const back = await until(player, 'time', ({ currentTime }) => currentTime < paused + 0.3);
    player.volume = 1;
    player.seek(player.duration ?? 3);
    await player.finished;
    const heard = await recorder.take();
    const stopped = tts.play(TEXT, { context, destination: recorder.node });
    await until(stopped, 'time');
    stopped.stop();
    await stopped.finished;
    stopped.stop();
    stopped.pause();
    stopped.seek(0);
    await context.close();
    return { states, paused, still, back: back.currentTime, sentences: heardSentences, end: player.state, stopped: stopped.state, bend: naturalBend(heard), errors: [wrong(() => (player.rate = 5)), wrong(() => (player.volume = -1)), wrong(() => player.seek(-1)), wrong(() => tts.play(TEXT, { rate: 9 })), wrong(() => tts.play(TEXT, { speed: 1 }))] };
  },

  /**
   * Safari takes a context away (a call, another app) and gives it back suspended; `interrupted` is what its state says meanwhile. No
   * engine that runs here says so by itself: this context of the page's own does, and is really suspended meanwhile.
   */
  async interrupted() {
    class Interruptible extends self.AudioContext {
      get state() {
        return this.taken ? 'interrupted' : super.state;
      }

      async take() {
        this.taken = true;
        const told = new Promise((resolve) => this.addEventListener('statechange', resolve, { once: true }));
        await Promise.all([this.suspend(), told]);
      }

      give() {
        this.taken = false;
        this.dispatchEvent(new self.Event('statechange'));
      }
    }
    const context = new Interruptible({ sampleRate: 24000 });
    const player = tts.play(TEXT, { context });
    await until(player, 'time', ({ currentTime }) => currentTime > 0.3);
    await context.take();
    await pause(0.2);
    const stopped = player.currentTime;
    await pause(0.2);
    const still = player.currentTime;
    context.give();
    const { currentTime: back } = await until(player, 'time', ({ currentTime }) => currentTime > still + 0.3);
    // Nobody wants to hear what was paused, nor what the page itself has suspended.
    player.pause();
    await context.take();
    context.give();
    await pause(0.2);
    const paused = context.state;
    await player.resume();
    const resumed = context.state;
    const told = new Promise((resolve) => context.addEventListener('statechange', resolve, { once: true }));
    await Promise.all([context.suspend(), told]);
    await pause(0.2);
    const suspended = context.state;
    await player.resume();
    await until(player, 'time', ({ currentTime }) => currentTime > back + 0.3);
    player.stop();
    await player.finished;
    await context.close();
    return { stopped, still, back, paused, resumed, suspended, state: player.state };
  },

  /** Firefox must not be asked for the latency of its device (web/audio.ts). */
  async latency() {
    const { prototype } = self.AudioContext;
    const { get, ...rest } = Object.getOwnPropertyDescriptor(prototype, 'outputLatency');
    let asked = 0;
    Object.defineProperty(prototype, 'outputLatency', {
      ...rest,
      get() {
        asked++;
        return get.call(this);
      },
    });
    await tts.play('Yes.').finished;
    Object.defineProperty(prototype, 'outputLatency', { ...rest, get });
    return asked;
  },

  async aborted() {
    const speech = await tts.generate(TEXT);
    const out = [];
    for (const when of ['before', 'starting', 'playing']) {
      const context = new self.AudioContext({ sampleRate: 24000 });
      const stop = new AbortController();
      if (when === 'before') stop.abort();
      const player = tts.play(TEXT, { context, signal: stop.signal });
      if (when === 'playing') await until(player, 'time');
      stop.abort(new Error('enough'));
      const error = await player.finished.then(
        () => undefined,
        (e) => e,
      );
      out.push({ when, name: error?.name, code: error?.code, state: player.state });
      await context.close();
    }
    return { out, after: (await tts.generate(TEXT)).samples.length === speech.samples.length };
  },

  async failures() {
    const context = new self.AudioContext({ sampleRate: 24000 });
    const code = async (player) => {
      let event;
      player.on('error', ({ error }) => {
        event = error.code;
      });
      return [await player.finished.catch((error) => error.code), event, player.state];
    };
    const out = {
      worklet: await code(tts.play(TEXT, { context, workletUrl: '/nothing.js' })),
      script: await code(tts.play(TEXT, { context, workletUrl: '/tests/browser/recorder-worklet.js' })),
      text: await code(tts.play('   ', { context })),
      unknown: await code(tts.play(TEXT, { context, voice: 'nobody' })),
    };
    const other = await PocketTTS.load({ workletUrl: '/nothing-else.js' });
    const lacking = other.play(TEXT, { context });
    out.loaded = /nothing-else\.js: the player's worklet cannot be loaded/.test((await lacking.finished.catch((error) => error)).message);
    out.given = await other.play('Yes.', { context, workletUrl: new URL('../../dist/player-worklet.js', import.meta.url) }).finished;
    await other.dispose();
    const closed = tts.play(TEXT, { context });
    const closing = code(closed);
    await until(closed, 'time');
    await context.close();
    out.closed = await closing;
    out.before = wrong(() => tts.play(TEXT, { context }));
    return out;
  },

  /** What play() and on() do not take. */
  async refused() {
    const context = new self.AudioContext({ sampleRate: 24000 });
    const other = new self.AudioContext();
    const player = tts.play('Yes.', { context });
    const out = [
      () => tts.play('Hi.', { context: {} }),
      () => tts.play('Hi.', { context: new Proxy(context, {}) }),
      () => tts.play('Hi.', { context, destination: {} }),
      () => tts.play('Hi.', { context, destination: other.destination }),
      () => tts.play('Hi.', { destination: other.destination }),
      () => tts.play('Hi.', { context, destination: new self.OscillatorNode(context) }),
      () => player.on('nope', () => undefined),
      () => player.on('state', 5),
      () => player.on('state'),
    ].map(wrong);
    await player.finished;
    await Promise.all([context.close(), other.close()]);
    return { out, state: player.state };
  },

  /** Listeners that fail: errors of the page. */
  async listeners() {
    const seen = [];
    const listen = (event) => {
      event.preventDefault();
      seen.push(event.error.message);
    };
    self.addEventListener('error', listen);
    const player = tts.play('Yes.');
    player.on('state', ({ state }) => {
      if (state === 'playing') throw new Error('a throw of a listener');
    });
    player.on('sentence', async () => {
      throw new Error('a promise of a listener');
    });
    await player.finished;
    await pause(0.1);
    self.removeEventListener('error', listen);
    return { seen: seen.sort(), state: player.state };
  },

  /** The page's own context: one for all, at the rate of the speech; asleep when nobody plays. */
  async shared() {
    const real = self.AudioContext;
    const made = [];
    self.AudioContext = class extends real {
      constructor(options) {
        super(options);
        made.push(this);
      }
    };
    const players = [tts.play('One.'), tts.play('Two.')];
    await Promise.all(players.map(({ finished }) => finished));
    await tts.play('Three.').finished;
    self.AudioContext = real;
    const awake = made[0].state;
    for (let i = 0; i < 100 && made[0].state !== 'suspended'; i++) await pause(0.1);
    const asleep = made[0].state;
    const again = tts.play('Four.');
    await again.finished;
    return { made: made.length, sampleRate: made[0].sampleRate, awake, asleep, again: again.state };
  },
};

function wrong(call) {
  try {
    call();
    return 'nothing';
  } catch (error) {
    return `${error.code}: ${error.message}`;
  }
}

const unhandled = [];
self.addEventListener('unhandledrejection', ({ reason }) => unhandled.push(String(reason)));
tts = await PocketTTS.load();
self.experiment = (name) => EXPERIMENTS[name]();
/** Rejections that nobody has handled, when all is over. */
self.finish = async () => {
  await tts.dispose();
  await pause(0.1);
  return unhandled;
};
document.title = 'done';
