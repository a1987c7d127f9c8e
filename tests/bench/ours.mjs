// Our package in Node and in browsers: runs one job (bench.mjs has the protocol). What the host does differently comes in
// as `host`: { PocketTTS, createDoor, read(path) -> bytes, now(), first(), measured() }.

const NEVER = 1e9; // a threshold that no end logit reaches

/** 16-bit samples, as every host writes them. */
export function pcm16(samples) {
  const out = new Int16Array(samples.length);
  samples.forEach((x, i) => {
    out[i] = Math.trunc(Math.fround(Math.min(1, Math.max(-1, x)) * 32767));
  });
  return out;
}

export async function hashOf(chunks) {
  let at = 0;
  const all = new Float32Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  const digest = await crypto.subtle.digest('SHA-256', pcm16(all));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Runs the job; the result is what bench.mjs reads, or { unsupported } when the package cannot do what it asks. */
export async function measureOurs(job, host) {
  const { bench, precision, instances } = job;
  const loaded = await load(job, host);
  if (loaded.unsupported !== undefined) return loaded;
  const { tts } = loaded;
  const options = { eosThreshold: NEVER };

  // The first sound after loading, and the warm-up.
  let frames = 0;
  for await (const frame of tts.stream(bench.text, options)) {
    if (frame.frame === 0) await host.first();
    if (++frames === job.warm) break;
  }
  const first = [];
  for (let i = 0; i < job.firsts; i++) {
    const begin = host.now();
    for await (const frame of tts.stream(bench.first_text, options)) {
      first.push(host.now() - begin);
      if (frame.frame === 0) break;
    }
  }
  const rtf = [];
  let hash;
  for (let i = 0; i < job.speaks; i++) {
    const chunks = [];
    const begin = host.now();
    for await (const frame of tts.stream(bench.text, options)) chunks.push(frame.samples);
    const seconds = (host.now() - begin) / 1000;
    if (chunks.length !== bench.frames) throw new Error(`expected ${bench.frames} frames, found ${chunks.length}`);
    rtf.push((chunks.length * 0.08) / seconds);
    hash ??= await hashOf(chunks);
  }
  const { memoryBytes } = tts.info;
  const peak = await host.measured();
  await tts.dispose();
  const parts = job.parts > 0 ? await measureParts(job, host) : { step_ms: null, codec_ms: null };
  return { first_audio_ms: first, rtf, pcm_sha256: hash, memory_bytes: memoryBytes, ...peak, ...parts, precision, instances };
}

/** The package with the instances that the job wants. One that knows no such option has one. */
async function load(job, host) {
  const options = { pack: host.pack(job.pack), precision: job.precision };
  let tts;
  try {
    tts = await host.PocketTTS.load({ ...options, instances: job.instances });
  } catch (error) {
    if (!/instances/.test(error.message ?? '')) throw error;
    if (job.instances !== 1) return { unsupported: `instances: ${error.message}` };
    tts = await host.PocketTTS.load(options);
  }
  const found = tts.info.instances;
  if (found === job.instances) return { tts };
  await tts.dispose();
  return { unsupported: `this version runs ${found} instance, not ${job.instances}` };
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
