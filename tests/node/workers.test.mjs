// Instances in workers: the samples of one instance in the calling thread, whatever is stopped, disposed of or crashes.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { PocketTTS } from '../../dist/node.js';
import { speak } from '../hosts/speak.mjs';
import { fixture, loadFixture, pcm, refused, root, run, sha256, temporary, withFixture } from './support.mjs';

const LAYOUTS = { one: { worker: true }, halves: { instances: 2 }, shared: { parallel: 2 } };
const TEXT = 'One two three. Four five six! Seven, eight; nine and ten? Eleven. Twelve, thirteen: fourteen.';
const SHORT = 'One two three.';
const LONG = 'This sentence is here to take a while. '.repeat(20);
const CHUNKS = { maxTokens: 8, eosThreshold: 1e6 };

const read = (name) => JSON.parse(readFileSync(join(root, 'tests', 'hosts', name), 'utf8'));
const [document, expected] = [read('requests.json'), read('expected.json')];

for (const [name, layout] of Object.entries(LAYOUTS)) {
  test(`${name}: the samples of every other host`, async () => {
    for (const request of document.requests) {
      assert.deepEqual(await speak(document, request, layout), expected[request.name], request.name);
    }
  });
}

const hash = (samples) => sha256(pcm(samples));
const threads = () => readdirSync('/proc/self/task').length;

/** Reads a stream to its end; the number of frames. */
async function drain(stream, each = () => undefined) {
  let frames = 0;
  for await (const frame of stream) {
    frames++;
    each(frame);
  }
  return frames;
}

/** Waits until `probe` answers `wanted`: what workers hold is reported when they have let go of it. */
async function becomes(wanted, probe) {
  for (let i = 0; i < 200 && probe() !== wanted; i++) await setTimeout(10);
  assert.equal(probe(), wanted);
}

test('many chunks: the same samples, chunks and places in every layout; frames count on', async () => {
  const one = await loadFixture('lsd6', { worker: false });
  const alone = await one.generate(TEXT, CHUNKS);
  assert.ok(alone.chunks.length > 3);
  for (const layout of Object.values(LAYOUTS)) {
    const tts = await loadFixture('lsd6', layout);
    const stream = tts.stream(TEXT, CHUNKS);
    let frames = 0;
    for await (const { samples, frame, time, chunk, chunkFrame } of stream) {
      assert.equal(frame, frames);
      assert.equal(time, (frame * 1920) / 24000);
      assert.equal(stream.chunks[chunk].frames, chunkFrame + 1);
      assert.deepEqual(samples, alone.samples.subarray(1920 * frame, 1920 * (frame + 1)));
      frames++;
    }
    assert.equal(1920 * frames, alone.samples.length);
    assert.deepEqual(stream.chunks, alone.chunks);
    await tts.dispose();
  }
  await one.dispose();
});

test('info says what was chosen and why', async () => {
  const say = async (options) => {
    const tts = await loadFixture('lsd6', options);
    const { instances, parallel, worker, reason, weightBytes, precision, canClone } = tts.info;
    await tts.dispose();
    return { instances, parallel, worker, reason, weightBytes, precision, canClone };
  };
  const { reason, ...auto } = await say({});
  assert.match(reason, /^(one core|small model)$/);
  assert.deepEqual(auto, { ...auto, instances: 1, parallel: 1, worker: false });
  const { weightBytes } = auto;
  const asked = { reason: 'asked for', precision: 'q8', canClone: true, weightBytes };
  assert.deepEqual(await say({ worker: true, instances: 1 }), { ...asked, instances: 1, parallel: 1, worker: true });
  assert.deepEqual(await say({ instances: 2, parallel: 1 }), { ...asked, instances: 2, parallel: 1, worker: true });
  assert.deepEqual(await say({ worker: false }), { ...asked, instances: 1, parallel: 1, worker: false, reason: 'without workers' });
  const shared = await say({ parallel: 2 });
  assert.deepEqual(shared, { ...shared, instances: 1, parallel: 2, worker: true, reason: 'several chunks at once' });
  assert.ok(shared.weightBytes > weightBytes && shared.weightBytes < 2 * weightBytes, 'the decoder is there twice');
});

test('options that exclude each other are refused', async () => {
  await refused(loadFixture('lsd6', { instances: 2, worker: false }), 'argument', /instances: 2 needs workers, found worker: false/);
  await refused(loadFixture('lsd6', { parallel: 2, worker: false }), 'argument', /parallel: 2 needs workers/);
  await refused(loadFixture('lsd6', { instances: 3 }), 'argument', /instances: expected "auto", 1 or 2, found 3/);
  await refused(loadFixture('lsd6', { parallel: 17 }), 'argument', /parallel: expected 0 to 16, found 17/);
  await refused(loadFixture('lsd6', { worker: 'yes' }), 'argument', /worker: expected true or false, found "yes"/);
});

test('what is wrong with a pack is said as it is without workers', async (t) => {
  const folder = temporary(t);
  cpSync(fixture('lsd6').folder, folder, { recursive: true });
  const config = join(folder, 'config.yaml');
  const voice = new Uint8Array(readFileSync(fixture('lsd6').voice));
  const weights = readFileSync(join(folder, 'model.safetensors'));
  const load = async (layout) => {
    const error = await PocketTTS.load({ config, voice, ...layout }).then(() => undefined, (e) => e);
    return { code: error?.code, message: error?.message };
  };
  const before = threads();
  for (const [path, bytes] of [
    ['model.safetensors', weights.subarray(0, weights.length - 4)],
    ['model.safetensors', Buffer.from('nonsense')],
    ['model.safetensors', Buffer.alloc(0)],
    ['tokenizer.model', Buffer.from('nonsense')],
  ]) {
    const good = readFileSync(join(folder, path));
    writeFileSync(join(folder, path), bytes);
    const here = await load({ worker: false });
    assert.ok(['weights', 'tokenizer'].includes(here.code), here.message);
    for (const layout of Object.values(LAYOUTS)) assert.deepEqual(await load(layout), here);
    writeFileSync(join(folder, path), good);
  }
  await becomes(before, threads);
});

test('voices: from a file, from a recording, exported, closed', async () => {
  const { voice, file } = fixture('lsd6');
  const recording = new Uint8Array(readFileSync(file('voice.wav')));
  const one = await loadFixture('lsd6', { worker: false });
  const wanted = await one.cloneVoice(recording);
  const exported = Buffer.from(await one.exportVoice(wanted));
  const spoken = hash((await one.generate(TEXT, { ...CHUNKS, voice: wanted })).samples);
  for (const layout of Object.values(LAYOUTS)) {
    const tts = await loadFixture('lsd6', layout);
    const made = await tts.cloneVoice(recording);
    assert.equal(made.positions, wanted.positions);
    assert.deepEqual(Buffer.from(await tts.exportVoice(made)), exported);
    assert.equal(hash((await tts.generate(TEXT, { ...CHUNKS, voice: made })).samples), spoken);
    made.dispose();
    await refused(tts.generate('Yes.', { voice: made }), 'disposed');
    await refused(tts.loadVoice(new Uint8Array(9)), 'voice');
    await refused(tts.cloneVoice(recording.subarray(0, 50)), 'audio');
    const again = await tts.loadVoice(new Uint8Array(readFileSync(voice)));
    assert.ok((await tts.generate('Yes.', { voice: again })).samples.length > 0);
    await tts.dispose();
    await refused(tts.exportVoice(), 'disposed');
  }
  await one.dispose();
});

test('errors of the engine end a stream and nothing else', async () => {
  for (const layout of Object.values(LAYOUTS)) {
    const tts = await loadFixture('lsd6', layout);
    await refused(tts.generate(''), 'text-empty');
    await refused(tts.generate(new Uint8Array([0xff])), 'text-encoding');
    assert.ok((await tts.generate('Yes.')).samples.length > 0);
    await tts.dispose();
  }
});

test('on the command line', async () => {
  const say = async (...args) => {
    const { code, stdout, stderr } = await run(['generate', '--text', TEXT, '--output-path', '-', ...args, ...withFixture('lsd6')]);
    assert.equal(code, 0, stderr);
    return { sound: sha256(stdout), about: /loaded in [\d.]+ s, (.*)/.exec(stderr)[1], stderr };
  };
  const one = await say('--max-tokens', '8', '--instances', '1');
  assert.equal(one.about, '1 instance (asked for)');
  const two = await say('--max-tokens', '8', '--instances', '2');
  assert.deepEqual([two.sound, two.about], [one.sound, '2 instances (asked for)']);
  const chunks = await say('--max-tokens', '8', '--parallel', '2');
  assert.deepEqual([chunks.sound, chunks.about], [one.sound, '2 workers (several chunks at once)']);
  const torch = await say('--max-tokens', '8', '--rng', 'torch', '--parallel', '2');
  assert.match(torch.stderr, /^INFO: Chunks are spoken one after the other: /m);
  const bad = await run(['generate', '--instances', '3']);
  assert.equal(bad.code, 2);
  assert.match(bad.stderr, /'--instances': '3' is not one of 'auto', '1', '2'/);
  const many = await run(['generate', '--parallel', '17', ...withFixture('lsd6')]);
  assert.equal(many.code, 1);
  assert.match(many.stderr, /^ERROR: --parallel: expected 0 to 16, found 17\n$/);
});

test('one random stream over all chunks is spoken by one instance, with a warning', async () => {
  const tts = await loadFixture('lsd6', LAYOUTS.shared);
  const warnings = [];
  await tts.generate(TEXT, { rng: 'torch', maxTokens: 8, onWarning: ({ code }) => warnings.push(code) });
  assert.deepEqual(warnings.filter((code) => code === 'serial'), ['serial']);
  await tts.dispose();
});

test('aborts at any point: at once, nothing stays, the next request is whole', async () => {
  let state = 7;
  const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  for (const layout of Object.values(LAYOUTS)) {
    const tts = await loadFixture('lsd6', layout);
    const whole = hash((await tts.generate('Yes.')).samples);
    const idle = tts.info.allocatedBytes;
    for (let round = 0; round < 25; round++) {
      const stop = new AbortController();
      const reason = new Error('enough');
      const after = Math.floor(random() * 40);
      const delay = random() * 30;
      const abort = () => {
        stop.abort(reason);
      };
      const stream = tts.stream(LONG, { signal: stop.signal, ...CHUNKS });
      const late = round % 2 === 1;
      let frames = 0;
      const count = ({ frame }) => {
        frames = frame + 1;
        if (late && frames > after) abort();
      };
      if (!late) void setTimeout(delay).then(abort);
      const error = await refused(drain(stream, count), 'aborted');
      assert.equal(error.cause, reason);
      if (late) assert.equal(frames, after + 1);
    }
    // And by leaving: a loop, and a stream that was never read.
    for await (const { frame } of tts.stream(LONG, CHUNKS)) if (frame === 3) break;
    tts.stream(LONG);
    assert.equal(hash((await tts.generate('Yes.')).samples), whole);
    await becomes(idle, () => tts.info.allocatedBytes);
    await tts.dispose();
  }
});

test('loading can be aborted in the middle, and leaves no worker behind', async () => {
  const before = threads();
  for (const layout of Object.values(LAYOUTS)) {
    // The first report comes with the first file, the last one when everything is there.
    for (const wanted of [() => true, ({ loaded, total }) => loaded === total]) {
      const stop = new AbortController();
      const onProgress = (progress) => {
        if (wanted(progress)) stop.abort();
      };
      await refused(PocketTTS.load({ signal: stop.signal, onProgress, ...layout }), 'aborted');
    }
  }
  await becomes(before, threads);
});

test('streams advance beside each other; one that is not read stops after a little and holds up nobody', async () => {
  for (const layout of Object.values(LAYOUTS)) {
    const tts = await loadFixture('lsd6', layout);
    const alone = hash((await tts.generate(TEXT, CHUNKS)).samples);
    const forgotten = tts.stream(LONG, CHUNKS);
    await forgotten.next();
    const long = tts.stream(LONG.repeat(5), CHUNKS);
    let read = 0;
    const reading = drain(long, () => read++).catch((error) => error.code);
    const spoken = await Promise.all([1, 2, 3].map(() => tts.generate(TEXT, CHUNKS)));
    assert.ok(read > 0, 'a longer text goes on meanwhile');
    assert.ok(long.chunks.some(({ frames }) => frames === 0), 'and has not been waited for');
    assert.deepEqual(new Set(spoken.map(({ samples }) => hash(samples))), new Set([alone]));
    await tts.dispose();
    assert.equal(await reading, 'disposed');
    await refused(forgotten.next(), 'disposed');
    await refused(tts.generate('Yes.'), 'disposed');
  }
});

test('30 rounds of load() and dispose() in a running stream: no thread stays', async () => {
  const before = threads();
  for (let round = 0; round < 30; round++) {
    const tts = await loadFixture('lsd6', Object.values(LAYOUTS)[round % 3]);
    const stream = tts.stream(LONG, CHUNKS);
    await stream.next();
    const waiting = stream.next().catch(({ code }) => assert.equal(code, 'disposed'));
    await tts.dispose();
    await waiting;
  }
  await becomes(before, threads);
});

/** Runs a program against the package in `folder`. */
async function program(folder, source) {
  const script = join(folder, 'main.mjs');
  writeFileSync(script, source);
  const { stdout } = await promisify(execFile)(process.execPath, [script], { timeout: 30000 });
  return stdout.trim();
}

test('the process ends by itself: with workers at rest, and after they have spoken', async (t) => {
  const url = pathToFileURL(join(root, 'dist', 'node.js')).href;
  for (const layout of Object.values(LAYOUTS)) {
    const load = `import { PocketTTS } from '${url}'; const tts = await PocketTTS.load(${JSON.stringify(layout)});`;
    const folder = temporary(t);
    assert.equal(await program(folder, `${load} console.log('loaded');`), 'loaded');
    const text = `const { samples } = await tts.generate('Hello.'); console.log(samples.length > 0);`;
    assert.equal(await program(folder, `${load} ${text}`), 'true');
    const left = `const s = tts.stream('Hello there.'); await s.next(); console.log('left');`;
    assert.equal(await program(folder, `${load} ${left}`), 'left');
  }
});

/** A copy of the package whose engine misbehaves as soon as there is a file of a certain name in its folder. */
async function misbehaving(t, edit = () => undefined) {
  const folder = temporary(t);
  cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true });
  mkdirSync(join(folder, 'models'));
  symlinkSync(join(root, 'models', 'starter'), join(folder, 'models', 'starter'));
  renameSync(join(folder, 'dist', 'pocket_tts.mjs'), join(folder, 'dist', 'real.mjs'));
  writeFileSync(
    join(folder, 'dist', 'pocket_tts.mjs'),
    `
    import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
    const slow = new URL('../slow-decode', import.meta.url);
    const slower = new URL('../slower-than-sound', import.meta.url);
    const later = new URL('../fail-after-steps', import.meta.url);
    import create from './real.mjs';
    const due = (name) => {
      const path = new URL('../' + name, import.meta.url);
      if (!existsSync(path)) return false;
      rmSync(path, { force: true });
      return true;
    };
    export default async function (settings) {
      const door = await create(settings);
      const wrap = (type, method, name = method) => {
        const real = type.prototype[method];
        type.prototype[method] = function (...args) {
          if (due('trap-' + name)) throw new WebAssembly.RuntimeError('unreachable');
          if (due('exit-' + name)) process.exit(3);
          if (due('throw-' + name)) setImmediate(() => { throw new Error('out of the blue'); });
          if (method === 'step' && existsSync(later)) {
            const left = Number(readFileSync(later, 'utf8'));
            writeFileSync(later, String(left - 1));
            if (left === 0) args[0] = new door.Memory();
          }
          if (due('fail-' + name)) args[method === 'decode' ? 1 : 0] = 1e6;
          if (method === 'decode' && existsSync(slow)) {
            appendFileSync(slow, args[1] + ' ');
            Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, existsSync(slower) ? 90 * args[1] : 10);
          }
          return real.apply(this, args);
        };
      };
      wrap(door.Session, 'step');
      wrap(door.Session, 'stepMany', 'step');
      wrap(door.Codec, 'decode');
      wrap(door.Voice, 'load');
      return door;
    }`,
  );
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  edit(join(folder, 'dist'));
  const module = await import(pathToFileURL(join(folder, 'dist', 'node.js')).href);
  return { PocketTTS: module.PocketTTS, folder, order: (name) => writeFileSync(join(folder, name), '') };
}

test('blocks of latents grow only while they queue up; the first frame waits for none', async (t) => {
  const { PocketTTS: Slow, order, folder } = await misbehaving(t);
  const { config, voice } = fixture('lsd6');
  const tts = await Slow.load({ config, voice: new Uint8Array(readFileSync(voice)), instances: 2 });
  const whole = hash((await tts.generate(TEXT, CHUNKS)).samples);
  order('slow-decode');
  assert.equal(hash((await tts.generate(TEXT, CHUNKS)).samples), whole);
  const blocks = readFileSync(join(folder, 'slow-decode'), 'utf8').trim().split(' ').map(Number);
  // 1, then at most 2, then 4 and never more; the end of a chunk cuts a block short.
  assert.equal(Math.max(...blocks), 4);
  blocks.forEach((block, i) => assert.ok(block <= 2 ** i, blocks.join(' ')));
  // A reader that is slower than both: no more is made than may lie ahead of it.
  order('slow-decode');
  let frames = 0;
  for await (const { frame } of tts.stream(TEXT, CHUNKS)) {
    await setTimeout(25);
    frames = frame + 1;
    if (frames === 30) break;
  }
  const slowly = readFileSync(join(folder, 'slow-decode'), 'utf8').trim().split(' ').map(Number);
  const made = slowly.reduce((sum, block) => sum + block, 0);
  assert.ok(made >= frames && made <= frames + 16, `${made} frames made for ${frames} read`);
  await tts.dispose();
});

test('one instance: blocks of latents grow while there is sound ahead; on a machine slower than sound there are none', async (t) => {
  const { PocketTTS: Slow, order, folder } = await misbehaving(t);
  const { config, voice } = fixture('lsd6');
  const source = { config, voice: new Uint8Array(readFileSync(voice)), instances: 1 };
  const blocks = () => readFileSync(join(folder, 'slow-decode'), 'utf8').trim().split(' ').map(Number);
  for (const worker of [true, false]) {
    const tts = await Slow.load({ ...source, worker });
    const whole = hash((await tts.generate(TEXT, CHUNKS)).samples);
    order('slow-decode');
    assert.equal(hash((await tts.generate(TEXT, CHUNKS)).samples), whole);
    assert.equal(Math.max(...blocks()), 4);
    blocks().forEach((block, i) => assert.ok(block <= 2 ** i, blocks().join(' ')));
    order('slower-than-sound');
    order('slow-decode');
    let frames = 0;
    for await (const { frame } of tts.stream(TEXT, CHUNKS)) if ((frames = frame + 1) === 6) break;
    assert.equal(frames, 6);
    assert.deepEqual([...new Set(blocks())], [1]);
    rmSync(join(folder, 'slower-than-sound'));
    rmSync(join(folder, 'slow-decode'));
    // An error comes behind what was held before it.
    writeFileSync(join(folder, 'fail-after-steps'), '10');
    let heard = 0;
    const failing = async () => {
      for await (const { frame } of tts.stream(TEXT, CHUNKS)) heard = frame + 1;
    };
    await assert.rejects(failing());
    assert.equal(heard, 10);
    rmSync(join(folder, 'fail-after-steps'));
    assert.equal(hash((await tts.generate(TEXT, CHUNKS)).samples), whole);
    await tts.dispose();
  }
});

test('several chunks at once: as many as may lie unread, and not one more', async (t) => {
  const { PocketTTS: Slow, order, folder } = await misbehaving(t);
  const { config, voice } = fixture('lsd6');
  const tts = await Slow.load({ config, voice: new Uint8Array(readFileSync(voice)), parallel: 3 });
  const one = await loadFixture('lsd6', { worker: false });
  t.after(() => tts.dispose());
  const text = `${TEXT} `.repeat(6);
  const whole = await one.generate(text, CHUNKS);
  await one.dispose();
  order('slow-decode');
  const made = () => readFileSync(join(folder, 'slow-decode'), 'utf8').trim().split(' ');
  const stream = tts.stream(text, CHUNKS);
  const blocks = [await stream.next()].map(({ value }) => value.samples);
  const frames = () => made().reduce((sum, block) => sum + Number(block), 0);
  const ahead = whole.chunks.slice(0, 12).reduce((sum, chunk) => sum + chunk.frames, 0);
  while (frames() < ahead) await setTimeout(20);
  await setTimeout(300);
  assert.equal(frames(), ahead, 'twelve chunks and no more');
  for await (const { samples } of stream) blocks.push(samples);
  assert.deepEqual(Buffer.concat(blocks.map((b) => Buffer.from(b.buffer, b.byteOffset, b.byteLength))), Buffer.from(whole.samples.buffer));
});

test('several chunks at once: an error comes in its place, and ends the text', async (t) => {
  const { PocketTTS: Failing, order } = await misbehaving(t);
  const { config, voice } = fixture('lsd6');
  const tts = await Failing.load({ config, voice: new Uint8Array(readFileSync(voice)), parallel: 2 });
  t.after(() => tts.dispose());
  const whole = await tts.generate(LONG, CHUNKS);
  for (const name of ['fail-step', 'fail-decode']) {
    const stream = tts.stream(LONG, CHUNKS);
    const heard = [(await stream.next()).value];
    order(name);
    await assert.rejects(
      async () => {
        for await (const frame of stream) heard.push(frame);
      },
      ({ code }) => code === 'argument',
    );
    heard.forEach(({ samples, frame }, i) => {
      assert.equal(frame, i);
      assert.deepEqual(samples, whole.samples.subarray(1920 * i, 1920 * (i + 1)), name);
    });
    assert.equal(hash((await tts.generate(LONG, CHUNKS)).samples), hash(whole.samples));
  }
});

test('a crash of either side ends the streams with its reason, and the next request works', async (t) => {
  const { PocketTTS: Crashing, order } = await misbehaving(t);
  const { config, voice } = fixture('lsd6');
  const file = new Uint8Array(readFileSync(voice));
  const before = threads();
  for (const layout of Object.values(LAYOUTS)) {
    const tts = await Crashing.load({ config, voice: file, ...layout });
    const whole = hash((await tts.generate(SHORT)).samples);
    for (const [name, message] of [
      ['trap-step', /The engine crashed \(unreachable\)/],
      ['trap-decode', /The engine crashed \(unreachable\)/],
      ['exit-step', /The worker of the engine died: it ended with exit code 3/],
      ['exit-decode', /The worker of the engine died: it ended with exit code 3/],
      ['throw-decode', /The worker of the engine died: out of the blue/],
    ]) {
      const other = await tts.loadVoice(file);
      const beside = tts.stream(LONG, CHUNKS);
      await beside.next();
      order(name);
      await refused(tts.generate(LONG, CHUNKS), 'crashed', message);
      await refused(drain(beside), 'crashed', message);
      assert.equal(hash((await tts.generate(SHORT)).samples), whole, name);
      await refused(tts.generate('Yes.', { voice: other }), 'voice', /another engine/);
    }
    order('trap-load');
    await refused(tts.loadVoice(file), 'crashed');
    const both = await Promise.all([tts.generate(SHORT), tts.generate(SHORT)]);
    assert.deepEqual(both.map(({ samples }) => hash(samples)), [whole, whole]);
    await tts.dispose();
  }
  await becomes(before, threads);
});

test('without its worker file: one instance in the calling thread when the choice was ours, else an error', async (t) => {
  const { PocketTTS: Lacking } = await misbehaving(t, (dist) => rmSync(join(dist, 'worker-node.js')));
  await refused(Lacking.load({ instances: 2 }), 'unsupported', /Workers do not start here: .*worker-node\.js/);
  await refused(Lacking.load({ worker: true }), 'unsupported', /Workers do not start here/);
  const tts = await Lacking.load();
  assert.ok((await tts.generate('Hello.')).samples.length > 0);
  await tts.dispose();
});
