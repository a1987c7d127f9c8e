// In the page: what is done again and again, or for long, while the test looks at the memory.
import { PocketTTS } from '../../dist/index.js';
import { render, until } from './player-tools.mjs';

const TEXT = 'We were away a year ago. Now we are all alone, in an old yellow room! Who will know?';

export async function start() {
  self.tts = await PocketTTS.load();
}

/** A call that is aborted in the middle, `count` times: the codes it ended with. `from`: for a download, options of load(). */
export async function abort(kind, count, from) {
  const codes = new Set();
  for (let i = 0; i < count; i++) {
    const stop = new AbortController();
    const options = { signal: stop.signal };
    const work = {
      async generate() {
        setTimeout(() => stop.abort(), i % 30);
        await self.tts.generate(TEXT.repeat(20), options);
      },
      async stream() {
        for await (const { frame } of self.tts.stream(TEXT, options)) if (frame === i % 5) stop.abort();
      },
      async pieces() {
        const endless = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) };
        setTimeout(() => stop.abort(), i % 5);
        await self.tts.generate(endless, options);
      },
      async play() {
        const player = self.tts.play(TEXT, { ...options, rate: i % 2 === 0 ? 1 : 1.5 });
        if (i % 3 === 0) await until(player, 'time');
        else if (i % 3 === 1) await player.ready;
        stop.abort();
        await player.finished;
      },
      async download() {
        // In the middle of the model, whose server stops there.
        const { fetch } = self;
        self.fetch = async (url, ...rest) => {
          const response = await fetch(url, ...rest);
          if (String(url).endsWith('/model.safetensors')) setTimeout(() => stop.abort(), i % 10);
          return response;
        };
        try {
          const tts = await PocketTTS.load({ ...from, ...options });
          await tts.dispose();
        } finally {
          self.fetch = fetch;
        }
      },
      async stop() {
        const player = self.tts.play(TEXT, options);
        if (i % 2 === 0) await player.ready;
        player.stop();
        await player.finished;
        throw Object.assign(new Error(), { code: 'stopped' });
      },
    };
    await work[kind]().then(
      () => codes.add('none'),
      (error) => codes.add(error.code),
    );
  }
  // What was stopped leaves the graph a little later.
  await new Promise((resolve) => setTimeout(resolve, 200));
  return { codes: [...codes], allocated: self.tts.info.allocatedBytes };
}

/** A download that nobody stops. */
export async function whole(from) {
  const tts = await PocketTTS.load(from);
  const { samples } = await tts.generate('Yes.');
  await tts.dispose();
  return samples.length > 0 ? 'spoken' : 'nothing';
}

/** A long text through a context that renders as fast as speech is made. */
export async function long(seconds) {
  const sentence = 'The quick brown fox jumps over the lazy dog, and the old yellow room was empty by the evening. ';
  async function* text() {
    for (;;) yield sentence;
  }
  const out = { held: [] };
  const { samples, events, player } = await render(self.tts, text(), {
    seconds,
    history: 10,
    during: (playing) => {
      playing.on('time', ({ currentTime }) => {
        const part = Math.floor((8 * currentTime) / seconds);
        if (out.held[part] === undefined) out.held[part] = self.tts.info.allocatedBytes;
        out.ahead = Math.max(out.ahead ?? 0, playing.madeTime - currentTime);
      });
    },
  });
  player.stop();
  let longest = 0;
  for (let i = 0, run = 0; i < samples.length; i++) {
    run = samples[i] === 0 ? run + 1 : 0;
    longest = Math.max(longest, run);
  }
  return {
    ...out,
    made: player.madeTime,
    heard: player.currentTime,
    underruns: events.filter(([name]) => name === 'underrun').length,
    sentences: events.filter(([name]) => name === 'sentence').length,
    silence: longest / 24000,
  };
}

/** A real context at three times the speed. */
export async function fast(seconds) {
  const context = new self.AudioContext({ sampleRate: 24000 });
  const player = self.tts.play(TEXT.repeat(Math.ceil((3 * seconds) / 5)), { context, rate: 3 });
  let underruns = 0;
  player.on('underrun', () => underruns++);
  const held = [];
  player.on('time', ({ currentTime }) => (held[Math.floor((8 * currentTime) / (3 * seconds))] ??= self.tts.info.allocatedBytes));
  const factor = await until(player, 'time', ({ currentTime }) => currentTime > 3 * seconds - 3).then(() => player.realTimeFactor);
  const { startDelay, currentTime: heard } = player;
  player.stop();
  await context.close();
  return { underruns, factor, startDelay, heard, held };
}
