// Speech at another speed, through the module: the bits of the native build, and the pitch of real speech.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import createDoor from '../../dist/pocket_tts.mjs';
import { PocketTTS } from '../../dist/node.js';

let door;
before(async () => {
  door = await createDoor();
});

/** All of `samples` at another speed, 1,920 at a time. */
function stretched(samples, speed) {
  const stretch = new door.Stretch();
  const memory = new door.Memory();
  assert.ok(memory.allocate(1920 * 4));
  assert.equal(stretch.open(24000, speed), door.OK, door.message());
  const all = [];
  const drain = () => {
    for (;;) {
      const count = stretch.read(memory);
      assert.ok(count >= 0, door.message());
      if (count === 0) return;
      all.push(...memory.floats().subarray(0, count));
    }
  };
  for (let at = 0; at < samples.length; at += 1920) {
    const part = samples.subarray(at, at + 1920);
    memory.floats().set(part);
    assert.equal(stretch.write(memory, part.length), door.OK, door.message());
    drain();
  }
  assert.equal(stretch.end(), door.OK);
  drain();
  stretch.delete();
  memory.delete();
  return Float32Array.from(all);
}

/** The samples of tests/engine/stretch_test.cpp. */
function rough(count) {
  let state = 1;
  return Float32Array.from({ length: count }, (_, i) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (((i % 163) - 81) * 128 + ((state >>> 24) - 128) * 8) / 32768;
  });
}

function fnv(samples) {
  let hash = 14695981039346656037n;
  for (const byte of new Uint8Array(samples.buffer)) hash = ((hash ^ BigInt(byte)) * 1099511628211n) & (2n ** 64n - 1n);
  return hash.toString(16).padStart(16, '0');
}

test('the bits of the native build', () => {
  assert.equal(fnv(stretched(rough(24000), Math.fround(0.3))), 'c5615abbe1bc79f5');
  assert.equal(fnv(stretched(rough(24000), 0.75)), 'c06f604774ab079f');
  assert.equal(fnv(stretched(rough(24000), 2.5)), 'b7d058c394e22055');
});

/** The fundamental of voiced moments by autocorrelation, in Hz: their median. */
function pitch(samples) {
  const found = [];
  for (let at = 0; at + 1440 <= samples.length; at += 480) {
    const part = samples.subarray(at, at + 1440);
    const power = (lag) => {
      let sum = 0;
      for (let i = 0; i < 960; i++) sum += part[i] * part[i + lag];
      return sum;
    };
    const whole = power(0);
    if (whole < 960 * 1e-3) continue;
    let best = 0;
    for (let lag = 60; lag <= 400; lag++) if (power(lag) > (best === 0 ? 0.6 * whole : power(best))) best = lag;
    if (best > 0) found.push(24000 / best);
  }
  assert.ok(found.length >= 20, `${found.length} voiced moments`);
  return found.sort((a, b) => a - b)[found.length >> 1];
}

test('the starter voice keeps its pitch at every speed', async () => {
  const tts = await PocketTTS.load();
  const { samples } = await tts.generate('We were away a year ago, and now we are all alone in an old yellow room.');
  await tts.dispose();
  const own = pitch(samples);
  for (const speed of [0.5, 0.75, 1.5, 2]) {
    const out = stretched(samples, speed);
    assert.equal(out.length, Math.floor(samples.length / speed + 0.5));
    const ratio = pitch(out) / own;
    assert.ok(Math.abs(ratio - 1) < 0.04, `at ${speed}: ${ratio} of ${own} Hz`);
  }
  // The measure sees what a change of the sample rate would do.
  const faster = samples.filter((_, i) => i % 3 !== 0);
  assert.ok(pitch(faster) / own > 1.3);
});

test('refusals have the package\'s messages', () => {
  const stretch = new door.Stretch();
  assert.ok(stretch.open(24000, 5) < 0);
  assert.match(door.message(), /^speed: expected 0.25 to 4, found 5/);
  const memory = new door.Memory();
  memory.allocate(4);
  assert.equal(stretch.open(24000, 2), door.OK);
  assert.ok(stretch.write(memory, 2) < 0);
  assert.match(door.message(), /^samples: expected at most 1, found 2/);
  stretch.delete();
  memory.delete();
});
