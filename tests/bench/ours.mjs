// Our package in Node and in browsers: runs one job (bench.mjs has the protocol). What the host does differently comes in
// as `host`: { PocketTTS, createDoor, read(path) -> bytes, now(), first(), measured() }.

const NEVER = 1e9; // a threshold that no end logit reaches

/** Speech that was broken off still works on its last block in another thread; what comes next is not to wait for it. */
const REST_MS = 50;
const rest = () => new Promise((resolve) => setTimeout(resolve, REST_MS));

/** The speech as every host writes it, 16 bits a sample. */
class Pcm16 {
  #samples;
  #at = 0;

  constructor(samples) {
    this.#samples = new Int16Array(samples);
  }

  add(samples) {
    for (const x of samples) this.#samples[this.#at++] = Math.trunc(Math.fround(Math.min(1, Math.max(-1, x)) * 32767));
  }

  async hash() {
    const digest = await crypto.subtle.digest('SHA-256', this.#samples.subarray(0, this.#at));
    return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
  }
}

/** Runs the job; the result is what bench.mjs reads. */
export async function measureOurs(job, host) {
  const { bench, precision, instances } = job;
  const tts = await load(job, host);
  const options = { eosThreshold: NEVER, ...(job.maxTokens === undefined ? {} : { maxTokens: job.maxTokens }) };

  // The first sound after loading, and the warm-up.
  let frames = 0;
  for (const end = host.now() + job.warmMs; frames < job.warm || host.now() < end; ) {
    for await (const frame of tts.stream(bench.text, options)) {
      if (frames === 0 && frame.frame === 0) await host.first();
      if (++frames >= job.warm && host.now() >= end) break;
    }
  }
  if (job.grow !== undefined) {
    const growth = await measureGrowth(job, tts, host);
    await tts.dispose();
    return { growth };
  }
  const first = [];
  await rest();
  for (let i = 0; i < job.firsts; i++) {
    const begin = host.now();
    for await (const frame of tts.stream(bench.first_text, { eosThreshold: NEVER })) {
      first.push(host.now() - begin);
      if (frame.frame === 0) break;
    }
    await rest();
  }
  const rtf = [];
  for (let i = 0; i < job.speaks; i++) {
    const begin = host.now();
    const count = await speak(tts, bench, options, () => undefined);
    rtf.push((count * 80) / (host.now() - begin));
  }
  const { memoryBytes } = tts.info;
  const peak = await host.measured();
  // The samples are compared apart: neither the time nor the memory of that is the engine's.
  let hash;
  if (job.chunks === undefined && job.speaks > 0) {
    const pcm = new Pcm16(bench.frames * tts.info.samplesPerFrame);
    await speak(tts, bench, options, (samples) => pcm.add(samples));
    hash = await pcm.hash();
  }
  await tts.dispose();
  const parts = job.parts > 0 ? await measureParts(job, host) : { step_ms: null, codec_ms: null };
  return { first_audio_ms: first, rtf, pcm_sha256: hash, memory_bytes: memoryBytes, ...peak, ...parts, precision, instances };
}

/** Speaks the text; the number of its frames. */
async function speak(tts, bench, options, take) {
  let count = 0;
  for await (const frame of tts.stream(bench.text, options)) {
    take(frame.samples);
    count++;
  }
  if (count !== bench.frames) throw new Error(`expected ${bench.frames} frames, found ${count}`);
  return count;
}

/** The package with the instances and the chunks at once that the job wants. */
async function load(job, host) {
  const { precision, instances, batch } = job;
  const tts = await host.PocketTTS.load({ pack: host.pack(job.pack), precision, instances, parallel: batch });
  const { info } = tts;
  if (info.instances === instances && info.parallel === batch && info.precision === precision) return tts;
  throw new Error(`expected ${instances} instances, ${batch} at once, ${precision}, found ${JSON.stringify(info)}`);
}

/** Texts of job.grow seconds of sound, the spoken text again and again, every time a chunk of its own: the speed of the
 *  first and the last minute (or half), and the memory after them. */
async function measureGrowth(job, tts, host) {
  const { bench, maxTokens } = job;
  const growth = [];
  for (const seconds of job.grow) {
    const chunks = Math.max(1, Math.round(seconds / 0.08 / bench.frames));
    const total = chunks * bench.frames;
    const part = Math.min(750, total >> 1);
    const result = { sound: total * 0.08 };
    const begin = host.now();
    let lastBegin = begin;
    let frames = 0;
    const memory = async () => {
      // A turn of the event loop first, so that what is done with can go.
      await new Promise((resolve) => setTimeout(resolve, 0));
      return { memory: tts.info.memoryBytes, heap: host.heapBytes?.() ?? null };
    };
    for await (const frame of tts.stream(`${bench.text} `.repeat(chunks), { eosThreshold: NEVER, maxTokens })) {
      frames = frame.frame + 1;
      if (frames === part) {
        result.first = (part * 80) / (host.now() - begin);
        ({ memory: result.memory_begin, heap: result.heap_begin } = await memory());
      }
      if (frames === total - part) lastBegin = host.now();
    }
    if (frames !== total) throw new Error(`expected ${total} frames, found ${frames}`);
    result.last = (part * 80) / (host.now() - lastBegin);
    result.rtf = (total * 80) / (host.now() - begin);
    ({ memory: result.memory_end, heap: result.heap_end } = await memory());
    growth.push(result);
  }
  return growth;
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

/** Milliseconds of a FlowLM step (flow net included) and of a codec frame, at the engine's own door. */
async function measureParts(job, host) {
  const door = await host.createDoor();
  const check = (status) => {
    if (status < 0) throw new Error(door.message());
    return status;
  };
  const put = (bytes) => {
    const memory = new door.Memory();
    if (!memory.allocate(bytes.length)) throw new Error(`${bytes.length} bytes were refused`);
    memory.bytes().set(bytes);
    return memory;
  };
  const manifest = JSON.parse(new TextDecoder().decode(await host.read(`${job.pack}/pack.json`)));
  const file = (role) => manifest.files.find((entry) => entry.role === role);
  const pack = new door.Pack();
  const parts = door.PART_FLOW_LM | door.PART_MIMI_DECODER;
  check(pack.open(put(new TextEncoder().encode(JSON.stringify(manifest.config))), parts, door[`PRECISION_${job.precision.toUpperCase()}`]));
  check(pack.tokenizer(door.TOKENIZER_SENTENCEPIECE, put(await host.read(`${job.pack}/${file('tokenizer').path}`))));
  const kinds = { weights: door.FILE_BUNDLE, 'weights-flow-lm': door.FILE_FLOW_LM, 'weights-mimi': door.FILE_MIMI };
  const slice = put(new Uint8Array(1 << 20));
  for (const entry of manifest.files.filter(({ role }) => role in kinds)) {
    const bytes = await host.read(`${job.pack}/${entry.path}`);
    check(pack.file(kinds[entry.role], bytes.length));
    for (let at = 0; at < bytes.length; at += 1 << 20) {
      const part = bytes.subarray(at, at + (1 << 20));
      slice.bytes().set(part);
      check(pack.feed(slice, part.length));
    }
  }
  const model = new door.Model();
  check(pack.finish(model));
  const voice = new door.Voice();
  const named = manifest.files.find(({ role, name }) => role === 'voice' && name === manifest.default_voice);
  check(voice.load(model, put(await host.read(`${job.pack}/${named.path}`))));
  const session = new door.Session();
  const settings = { ...door.defaultOptions(model), eosThreshold: NEVER };
  check(session.open(model, voice, put(new TextEncoder().encode(job.bench.text)), settings));
  const codec = new door.Codec();
  check(codec.open(model));
  const latent = put(new Uint8Array(model.info().latentWidth * 4));
  const pcm = put(new Uint8Array(model.info().samplesPerFrame * 4));
  const step = [];
  const decode = [];
  for (let i = 0; i <= job.parts; i++) {
    const begin = host.now();
    check(session.step(latent));
    const middle = host.now();
    check(codec.decode(latent, 1, pcm));
    if (i === 0) continue; // runs the text through the transformer, too
    step.push(middle - begin);
    decode.push(host.now() - middle);
  }
  return { step_ms: median(step), codec_ms: median(decode) };
}
