// The pure parts of the player: what was made, when to start, resampling; and its worklet, block by block.
import assert from 'node:assert/strict';
import { build } from 'esbuild';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import vm from 'node:vm';
import { root } from './support.mjs';

/** A private module of the package, compiled. */
async function load(name) {
  const { outputFiles } = await build({
    entryPoints: [join(root, 'web', name)],
    bundle: true,
    format: 'esm',
    write: false,
  });
  return import(`data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`);
}
const { Takes } = await load('takes.ts');
const { LEAST, Production, needed, remaining, wait } = await load('schedule.ts');
const { Resampler } = await load('resample.ts');

const counted = (from, count) => Float32Array.from({ length: count }, (_, i) => from + i);

// ---- takes ----------------------------------------------------------------------------------------------------------

test('takes are read by their place, and forgotten in whole blocks', () => {
  const takes = new Takes();
  for (let at = 0; at < 1000; at += 100) takes.push(counted(at, 100));
  assert.deepEqual([takes.begin, takes.end], [0, 1000]);
  const read = [];
  for (let at = 37; at < 1000; at = 37 + read.length) read.push(...takes.read(at, 64));
  assert.deepEqual(read, [...counted(37, 963)]);
  assert.equal(takes.read(1000, 10).length, 0);
  takes.forget(350);
  assert.deepEqual([takes.begin, takes.end], [300, 1000]);
  assert.deepEqual([...takes.read(355, 3)], [355, 356, 357]);
  takes.forget(5000);
  assert.deepEqual([takes.begin, takes.end], [1000, 1000]);
});

// ---- schedule -------------------------------------------------------------------------------------------------------

/** Plays a text of `total` seconds that is made at `rate`, and says how long it waited and whether it ran dry. */
function simulate(rate, speed, total) {
  const step = 0.01;
  let made = 0;
  let heard = 0;
  let started;
  for (let time = 0; heard < total - 1e-9; time += step) {
    made = Math.min(total, made + rate * step);
    const moment = { ahead: made - heard, remaining: total - made, rate, speed, complete: made >= total };
    if (started === undefined && wait(moment) === 0) started = time;
    if (started === undefined) continue;
    const next = Math.min(total, heard + speed * step);
    if (next > made + 1e-9) return { started, dry: heard };
    heard = next;
  }
  return { started };
}

test('it starts when it need not stop again, and not much later', () => {
  for (const speed of [0.5, 1, 2, 3]) {
    for (const rate of [0.2, 0.5, 0.9, 1.0, 1.1, 1.5, 3, 10]) {
      for (const total of [1, 10, 120]) {
        const { started, dry } = simulate(rate, speed, total);
        assert.equal(dry, undefined, `${rate} at ${speed} for ${total} s ran dry`);
        // Nobody could start earlier than total / rate - total / speed.
        const least = Math.max(0, total / rate - total / speed);
        const slack = LEAST * Math.max(1, speed) / rate + 0.15 * total / rate + 0.05;
        assert.ok(started <= least + slack, `${rate} at ${speed} for ${total} s: ${started}, ${least} at least`);
      }
    }
  }
});

test('what it says it will wait is what it waits', () => {
  const said = wait({ ahead: 0.5, remaining: 9.5, rate: 0.5, speed: 1, complete: false });
  const { started } = simulate(0.5, 1, 10);
  assert.ok(Math.abs(said + 1 - started) < 0.05, `${said} + 1 s, ${started}`);
  assert.equal(needed({ ahead: 0, remaining: 100, rate: 5, speed: 1, complete: false }), LEAST);
  assert.equal(wait({ ahead: 0, remaining: 10, rate: undefined, speed: 1, complete: false }), Infinity);
  assert.equal(wait({ ahead: 0, remaining: 10, rate: undefined, speed: 1, complete: true }), 0);
});

test('the rate leaves out the first frame; the rest of a text is guessed from what was complete', () => {
  const production = new Production();
  production.add(0.08, 5);
  production.add(0.08, 0.04);
  assert.equal(production.rate, undefined);
  production.add(0.08, 0.04);
  assert.ok(Math.abs(production.rate - 2) < 1e-9);
  const chunks = [
    { tokens: 10, made: 2, complete: true },
    { tokens: 20, made: 1, complete: false },
    { tokens: 5, made: 0, complete: false },
  ];
  assert.ok(Math.abs(remaining(chunks) - (20 * 0.2 - 1 + 5 * 0.2)) < 1e-9);
  assert.ok(remaining(chunks.slice(1)) > 0);
});

// ---- resampling -----------------------------------------------------------------------------------------------------

function resampled(samples, from, to, size = 1920) {
  const resampler = new Resampler(from, to);
  const out = [];
  for (let at = 0; at < samples.length; at += size) out.push(...resampler.push(samples.subarray(at, at + size)));
  return Float32Array.from([...out, ...resampler.end()]);
}
const tone = (hertz, rate, count) => Float32Array.from({ length: count }, (_, i) => Math.sin((2 * Math.PI * hertz * i) / rate));

/** What is left of `samples` without the tone, and the tone's amplitude, in the middle. */
function analysed(samples, hertz, rate) {
  const [begin, end] = [samples.length >> 2, 3 * (samples.length >> 2)];
  let [s, c] = [0, 0];
  // Whole periods of 50 Hz, so that nothing leaks.
  const count = Math.floor((end - begin) / (rate / 50)) * (rate / 50);
  for (let i = begin; i < begin + count; i++) {
    s += samples[i] * Math.sin((2 * Math.PI * hertz * i) / rate);
    c += samples[i] * Math.cos((2 * Math.PI * hertz * i) / rate);
  }
  [s, c] = [(2 * s) / count, (2 * c) / count];
  let rest = 0;
  for (let i = begin; i < begin + count; i++) {
    const model = s * Math.sin((2 * Math.PI * hertz * i) / rate) + c * Math.cos((2 * Math.PI * hertz * i) / rate);
    rest += (samples[i] - model) ** 2;
  }
  return { amplitude: Math.hypot(s, c), phase: Math.atan2(c, s), rest: Math.sqrt((2 * rest) / count) };
}
const dB = (x) => 20 * Math.log10(x);

test('tones pass as they are, in place, without images (80 dB)', () => {
  for (const to of [48000, 44100, 96000, 22050, 16000, 32000]) {
    for (const hertz of [100, 1000, 5000, Math.min(10400, 50 * Math.floor((0.44 * to) / 50))]) {
      const out = resampled(tone(hertz, 24000, 24000), 24000, to);
      assert.equal(out.length, to);
      const { amplitude, phase, rest } = analysed(out, hertz, to);
      assert.ok(Math.abs(dB(amplitude)) < 0.1, `${hertz} Hz to ${to}: ${dB(amplitude)} dB`);
      assert.ok(Math.abs(phase) < 0.01, `${hertz} Hz to ${to}: phase ${phase}`);
      assert.ok(dB(rest) < -80, `${hertz} Hz to ${to}: the rest is at ${dB(rest)} dB`);
    }
  }
});

test('what the lower rate cannot hold is stopped (80 dB)', () => {
  for (const to of [16000, 8000, 22050]) {
    for (const hertz of [0.5 * to * 1.02, 0.5 * to * 1.05, 11900].filter((f) => f > 0.5 * to && f < 12000)) {
      const out = resampled(tone(hertz, 24000, 24000), 24000, to);
      const level = Math.max(...out.subarray(out.length >> 2, 3 * (out.length >> 2)).map(Math.abs));
      assert.ok(dB(level) < -60, `${hertz} Hz to ${to}: ${dB(level)} dB`);
      if (hertz >= 0.5 * to * 1.05) assert.ok(dB(level) < -80, `${hertz} Hz to ${to}: ${dB(level)} dB`);
    }
  }
});

test('blocks of any size give the same samples; a constant stays one', () => {
  const samples = Float32Array.from({ length: 5000 }, (_, i) => Math.sin(i * i * 0.0007));
  for (const to of [48000, 44100, 16000]) {
    const whole = resampled(samples, 24000, to, 5000);
    for (const size of [1, 7, 1920]) assert.deepEqual(resampled(samples, 24000, to, size), whole);
    const flat = resampled(new Float32Array(5000).fill(0.5), 24000, to);
    for (const x of flat.subarray(1000, -1000)) assert.ok(Math.abs(x - 0.5) < 1e-4);
    assert.equal(resampled(new Float32Array(0), 24000, to).length, 0);
  }
});

// ---- the worklet ----------------------------------------------------------------------------------------------------

const RATE = 24000;
const RAMP = 240;

/** The worklet's processor, driven by hand: play(blocks) gives what it plays, `reports` what it told. */
function processor() {
  let Processor;
  const scope = {
    sampleRate: RATE,
    currentTime: 0,
    Int32Array,
    Float32Array,
    Atomics,
    Math,
    AudioWorkletProcessor: class {
      port = { postMessage: (message) => reports.push({ ...message }) };
    },
    registerProcessor: (_, made) => {
      Processor = made;
    },
  };
  const reports = [];
  vm.runInNewContext(readFileSync(join(root, 'web', 'player-worklet.js'), 'utf8'), scope);
  const made = new Processor();
  return {
    reports,
    post: (...messages) => messages.forEach((data) => made.port.onmessage({ data })),
    alive: true,
    play(blocks) {
      const all = [];
      for (let i = 0; i < blocks; i++) {
        const out = new Float32Array(128);
        this.alive = made.process([], [[out]]);
        scope.currentTime += 128 / RATE;
        all.push(...out);
      }
      return all;
    },
  };
}
const opened = (epoch, rest = {}) => ({ kind: 'open', epoch, capacity: 4000, from: 0, speed: 1, now: true, fade: false, ...rest });
const data = (epoch, samples) => ({ kind: 'data', epoch, samples });
const flat = (count, value = 0.5) => new Float32Array(count).fill(value);
const steps = (samples) => Math.max(...samples.slice(1).map((x, i) => Math.abs(x - samples[i])));
/** A ramp of 10 ms. */
const STEP = 1 / RAMP + 1e-6;

test('worklet: the first track comes out as it is, waits for "go", and tells its end', () => {
  const it = processor();
  assert.ok(it.play(3).every((x) => x === 0));
  const samples = counted(1, 1000);
  it.post(opened(1), data(1, samples.subarray(0, 600)), data(1, samples.subarray(600)), { kind: 'end', epoch: 1 });
  assert.ok(it.play(3).every((x) => x === 0));
  it.post({ kind: 'go' });
  const heard = it.play(9);
  assert.deepEqual(heard.slice(0, 1000), [...samples]);
  assert.ok(heard.slice(1000).every((x) => x === 0));
  const last = it.reports.at(-1);
  assert.deepEqual([last.epoch, last.read, last.ended, last.starved], [1, 1000, true, 0]);
  it.post({ kind: 'close' });
  it.play(1);
  assert.equal(it.alive, false);
});

test('worklet: the ring goes round, by messages and by shared memory', () => {
  for (const shares of [false, true]) {
    const it = processor();
    const capacity = 1000;
    const shared = shares ? { samples: new SharedArrayBuffer(4 * capacity), state: new SharedArrayBuffer(12) } : undefined;
    it.post(opened(1, { capacity, shared }));
    const state = shares ? new Int32Array(shared.state) : undefined;
    let written = 0;
    const write = (count) => {
      const samples = counted(written + 1, count);
      if (shares) {
        const ring = new Float32Array(shared.samples);
        samples.forEach((x, i) => (ring[(written + i) % capacity] = x));
        state[0] = written + count;
      } else it.post(data(1, samples));
      written += count;
    };
    write(capacity);
    it.post({ kind: 'go' });
    const heard = [];
    for (let round = 0; round < 20; round++) {
      heard.push(...it.play(3));
      if (shares) assert.equal(state[1], heard.length, 'the room is given back');
      write(384);
    }
    assert.deepEqual(heard, [...counted(1, heard.length)]);
  }
});

test('worklet: an underrun ramps down with what was kept, and up again: no step, nothing lost', () => {
  const it = processor();
  it.post(opened(1), data(1, flat(1000)), { kind: 'go' });
  const first = it.play(20);
  assert.ok(steps(first) <= 0.5 * STEP, `${steps(first)}`);
  assert.equal(first.findLastIndex((x) => x === 0.5), 1000 - RAMP - 1, 'full sound until the ramp');
  assert.ok(it.reports.some(({ starved }) => starved === 1));
  it.post(data(1, flat(1000)));
  assert.ok(it.play(5).every((x) => x === 0), 'waits for "go"');
  it.post({ kind: 'go' });
  const second = it.play(20);
  assert.ok(steps(second) <= 0.5 * STEP);
  assert.equal(it.reports.at(-1).starved, 2);
  assert.equal(it.reports.at(-1).read, 2000);
});

test('worklet: pause and resume ramp, and lose nothing but the ramps', () => {
  const it = processor();
  it.post(opened(1), data(1, flat(4000)), { kind: 'go' });
  const heard = it.play(4);
  it.post({ kind: 'play', on: false });
  heard.push(...it.play(6));
  const { read } = it.reports.at(-1);
  assert.equal(heard.at(-1), 0);
  it.play(20);
  it.post({ kind: 'play', on: true });
  heard.push(...it.play(6));
  assert.ok(steps(heard) <= 0.5 * STEP);
  assert.equal(heard.at(-1), 0.5);
  assert.ok(read <= 4 * 128 + RAMP + 1, `${read}`);
});

test('worklet: a new speed takes over at its place in the text with a crossfade', () => {
  const it = processor();
  // The samples are their own time: second x has the value x.
  const timeline = (from, speed, count) => Float32Array.from({ length: count }, (_, i) => from + (i * speed) / RATE);
  it.post(opened(1), data(1, timeline(0, 1, 4000)), { kind: 'go' });
  const heard = it.play(5);
  const from = 1000 / RATE;
  it.post(opened(2, { from, speed: 2, now: false, fade: true }));
  heard.push(...it.play(1));
  it.post(data(2, timeline(from, 2, 2000)));
  heard.push(...it.play(15));
  for (let i = 0; i < heard.length; i++) {
    const expected = i < 1000 ? i / RATE : from + (2 * (i - 1000)) / RATE;
    // While both are heard, they are at two places of the text.
    const tolerance = i >= 1000 && i < 1000 + RAMP ? RAMP / RATE : 1e-6;
    assert.ok(Math.abs(heard[i] - expected) <= tolerance, `at ${i}: ${heard[i]}, expected ${expected}`);
  }
  assert.equal(it.reports.at(-1).epoch, 2);
});

test('worklet: a new speed that comes late goes on at the right place', () => {
  const it = processor();
  const timeline = (from, speed, count) => Float32Array.from({ length: count }, (_, i) => from + (i * speed) / RATE);
  it.post(opened(1), data(1, timeline(0, 1, 4000)), { kind: 'go' });
  it.play(10);
  it.post(opened(2, { from: 500 / RATE, speed: 2, now: false, fade: true }), data(2, timeline(500 / RATE, 2, 3000)));
  const heard = it.play(6).slice(RAMP);
  const begin = 1280 + 2 * RAMP;
  heard.forEach((x, i) => assert.ok(Math.abs(x * RATE - (begin + 2 * i)) < 2, `at ${i}: ${x * RATE}, ${begin + 2 * i}`));
});

test('worklet: a seek is silent until "go", with ramps on both sides', () => {
  const it = processor();
  it.post(opened(1), data(1, flat(4000)), { kind: 'go' });
  const heard = it.play(4);
  it.post(opened(2, { from: 1, fade: true }), data(2, flat(4000, -0.5)));
  heard.push(...it.play(6));
  assert.equal(heard.at(-1), 0);
  it.post({ kind: 'go' });
  heard.push(...it.play(6));
  assert.ok(steps(heard) <= 0.5 * STEP, `${steps(heard)}`);
  assert.equal(heard.at(-1), -0.5);
});

test('worklet: closing while it sounds ramps down and then ends it', () => {
  const it = processor();
  it.post(opened(1), data(1, flat(4000)), { kind: 'go' });
  const heard = it.play(4);
  it.post({ kind: 'close' });
  heard.push(...it.play(4));
  assert.ok(steps(heard) <= 0.5 * STEP);
  assert.equal(heard.at(-1), 0);
  assert.equal(it.alive, false);
});
