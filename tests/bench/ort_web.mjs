// onnxruntime-web: the host of the exported graphs (export_onnx.py) in JavaScript. The same as onnx_host.py.

const GROW = 64; // positions by which the cache grows: the graph attends over all of them

export class Speaker {
  /** `read(name)`: a file of the pack's onnx folder as an ArrayBuffer. */
  static async open(ort, read, variant) {
    const speaker = new Speaker();
    speaker.ort = ort;
    speaker.meta = JSON.parse(new TextDecoder().decode(await read('meta.json')));
    speaker.voice = new Float32Array(await read('voice.bin'));
    speaker.sessions = {};
    for (const [part, file] of Object.entries(speaker.meta.variants[variant])) {
      speaker.sessions[part] = await ort.InferenceSession.create(new Uint8Array(await read(`${file}.onnx`)), {
        executionProviders: ['wasm'],
        graphOptimizationLevel: 'all',
      });
    }
    const conv = speaker.meta.variants[variant].mimi.includes('conv');
    speaker.stateShapes = conv ? speaker.meta.mimi_conv_states : speaker.meta.mimi.states;
    return speaker;
  }

  floats(data, dims) {
    return new this.ort.Tensor('float32', data, dims);
  }

  longs(values, dims = [values.length]) {
    return new this.ort.Tensor('int64', BigInt64Array.from(values, BigInt), dims);
  }

  // ---- FlowLM

  /** A cache for `room` positions with the voice in it. */
  begin(room) {
    const { flow_lm: lm, voice_rows: rows, never } = this.meta;
    this.length = rows;
    this.room = Math.ceil(room / GROW) * GROW;
    this.keys = [];
    this.values = [];
    let at = 0;
    for (let i = 0; i < lm.layers; i++) {
      const n = lm.kv * lm.width * rows;
      const keys = new Float32Array(lm.kv * lm.width * this.room);
      const values = new Float32Array(lm.kv * lm.width * this.room);
      for (let line = 0; line < lm.kv * lm.width; line++) {
        keys.set(this.voice.subarray(at + line * rows, at + (line + 1) * rows), line * this.room);
      }
      for (let head = 0; head < lm.kv; head++) {
        const size = rows * lm.width;
        values.set(this.voice.subarray(at + n + head * size, at + n + (head + 1) * size), head * this.room * lm.width);
      }
      at += 2 * n;
      this.keys.push(keys);
      this.values.push(values);
    }
    this.mask = new Float32Array(this.room).fill(never);
    this.mask.fill(0, 0, rows);
  }

  /** ids [M], latents [S, ldim] -> hidden [1, d]; the cache grows by M + S. */
  async lmStep(ids, latents) {
    const { flow_lm: lm, ldim, never } = this.meta;
    const n = ids.length + latents.length / ldim;
    const causal = new Float32Array(lm.group * n * n);
    for (let q = 0; q < lm.group * n; q++) causal.fill(never, q * n + (q % n) + 1, (q + 1) * n);
    const feeds = {
      ids: this.longs(ids),
      latents: this.floats(latents, [latents.length / ldim, ldim]),
      position: this.longs([this.length]),
      cache: this.longs([this.room]),
      mask: this.floats(this.mask, [1, this.room]),
      new_mask: this.floats(causal, [lm.group * n, n]),
    };
    for (let i = 0; i < lm.layers; i++) {
      feeds[`past_k${i}`] = this.floats(this.keys[i], [lm.kv, lm.width, this.room]);
      feeds[`past_v${i}`] = this.floats(this.values[i], [lm.kv, this.room, lm.width]);
    }
    const out = await this.sessions.flow_lm.run(feeds);
    for (let i = 0; i < lm.layers; i++) {
      place(this.keys[i], out[`new_k${i}`].data, lm.kv * lm.width, n, this.room, this.length, 1);
      place(this.values[i], out[`new_v${i}`].data, lm.kv, n, this.room, this.length, lm.width);
    }
    this.mask.fill(0, this.length, this.length + n);
    this.length += n;
    return out.hidden.data;
  }

  /** One step of the sampler. */
  async sample(hidden, noise) {
    const { velocity } = await this.sessions.flow_net.run({
      hidden: this.floats(hidden, [1, hidden.length]),
      noise: this.floats(noise, [1, noise.length]),
    });
    return this.meta.flow_type === 'drifting' ? velocity.data : velocity.data.map((v, i) => noise[i] + v);
  }

  // ---- Mimi

  codecReset() {
    const { mimi: m } = this.meta;
    this.frame = 0;
    const zeros = (shape) => new Float32Array(shape.reduce((a, b) => a * b, 1));
    this.states = this.stateShapes.map(zeros);
    this.up = zeros(m.up);
    this.codecKeys = Array.from({ length: m.layers }, () => zeros([m.heads, m.width, m.ring]));
    this.codecValues = Array.from({ length: m.layers }, () => zeros([m.heads, m.ring, m.width]));
  }

  async decode(latent) {
    const { mimi: m, never } = this.meta;
    const position = this.frame * m.steps;
    const mask = new Float32Array(m.steps * m.ring).fill(never);
    for (let slot = 0; slot < m.ring; slot++) {
      // The slot holds the latest position before this frame that is `slot` modulo the ring.
      const back = (((position - 1 - slot) % m.ring) + m.ring) % m.ring;
      const held = position - 1 - back;
      if (held < 0) continue;
      for (let q = 0; q < m.steps && position + q - held < m.context; q++) mask[q * m.ring + slot] = 0;
    }
    const feeds = {
      latent: this.floats(latent, [1, latent.length]),
      position: this.longs([position]),
      mask: this.floats(mask, [m.steps, m.ring]),
      up_before: this.floats(this.up, m.up),
    };
    for (let i = 0; i < m.layers; i++) {
      feeds[`past_k${i}`] = this.floats(this.codecKeys[i], [m.heads, m.width, m.ring]);
      feeds[`past_v${i}`] = this.floats(this.codecValues[i], [m.heads, m.ring, m.width]);
    }
    this.states.forEach((state, i) => {
      feeds[`state${i}`] = this.floats(state, this.stateShapes[i]);
    });
    const out = await this.sessions.mimi.run(feeds);
    const at = position % m.ring;
    for (let i = 0; i < m.layers; i++) {
      place(this.codecKeys[i], out[`new_k${i}`].data, m.heads * m.width, m.steps, m.ring, at, 1);
      place(this.codecValues[i], out[`new_v${i}`].data, m.heads, m.steps, m.ring, at, m.width);
    }
    this.states = this.states.map((_, i) => out[`next${i}`].data);
    this.up = out.up_next.data;
    this.frame++;
    return out.pcm.data;
  }

  // ---- both

  /** Largest deviations from the reference over its teacher-forced frames, relative to its largest values. */
  async deviation(expect) {
    const { ids, frames, ldim, hidden: width, bos, voice_rows } = this.meta;
    const take = (count) => {
      const part = expect.subarray(0, count);
      expect = expect.subarray(count);
      return part;
    };
    const [noise, latents, hiddens, pcm] = [frames * ldim, frames * ldim, frames * width, frames * 1920].map(take);
    this.begin(voice_rows + ids.length + frames);
    await this.lmStep(ids, new Float32Array(0));
    this.codecReset();
    const worst = { hidden: 0, samples: 0 };
    const largest = { hidden: 0, samples: 0 };
    const compare = (name, ours, theirs) =>
      ours.forEach((x, i) => {
        const d = Math.abs(x - theirs[i]);
        worst[name] = d <= worst[name] ? worst[name] : Number.isNaN(d) ? Infinity : d;
        largest[name] = Math.max(largest[name], Math.abs(theirs[i]));
      });
    for (let i = 0; i < frames; i++) {
      const hidden = await this.lmStep([], i === 0 ? Float32Array.from(bos) : latents.slice((i - 1) * ldim, i * ldim));
      await this.sample(hidden, noise.slice(i * ldim, (i + 1) * ldim));
      compare('hidden', hidden, hiddens.subarray(i * width));
      compare('samples', await this.decode(latents.slice(i * ldim, (i + 1) * ldim)), pcm.subarray(i * 1920));
    }
    return { hidden: worst.hidden / largest.hidden, samples: worst.samples / largest.samples };
  }

  /** Frames one by one. */
  async *speak(ids, frames, times) {
    const { bos, ldim, temperature, voice_rows } = this.meta;
    const normal = normals();
    this.begin(voice_rows + ids.length + frames);
    await this.lmStep(ids, new Float32Array(0));
    this.codecReset();
    let latent = Float32Array.from(bos);
    for (let i = 0; i < frames; i++) {
      const begin = performance.now();
      const hidden = await this.lmStep([], latent);
      latent = await this.sample(hidden, Float32Array.from({ length: ldim }, () => normal() * Math.sqrt(temperature)));
      const middle = performance.now();
      const pcm = await this.decode(latent);
      times?.push([middle - begin, performance.now() - middle]);
      yield pcm;
    }
  }
}

/** Copies `lines` lines of n items (of `size` floats) into lines of `room` items, at item `at`. */
function place(into, from, lines, n, room, at, size) {
  for (let line = 0; line < lines; line++) {
    into.set(from.subarray(line * n * size, (line + 1) * n * size), (line * room + at) * size);
  }
}

/** Normal numbers: a generator of 32 bits, then Box and Muller. */
function normals() {
  let state = 42;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

/** Runs the job (bench.mjs has the protocol). */
export async function measureOrt(job, host) {
  const { bench } = job;
  const speaker = await Speaker.open(host.ort, host.read, job.variant);
  let frames = 0;
  for (const end = performance.now() + job.warmMs; frames < job.warm || performance.now() < end; ) {
    for await (const frame of speaker.speak(bench.ids, bench.frames)) {
      if (frames === 0 && frame.length === 1920) await host.first();
      if (++frames >= job.warm && performance.now() >= end) break;
    }
  }
  const deviation = await speaker.deviation(new Float32Array(await host.read('expect.bin')));
  const [hidden, samples] = speaker.meta.limits[job.variant.startsWith('int8') ? 'int8' : 'f32'];
  if (!(deviation.hidden <= hidden && deviation.samples <= samples)) {
    throw new Error(`the graphs are not the reference: ${JSON.stringify({ deviation, limits: { hidden, samples } })}`);
  }
  const first = [];
  for (let i = 0; i < job.firsts; i++) {
    const begin = performance.now();
    await speaker.speak(bench.first_ids, 1).next();
    first.push(performance.now() - begin);
  }
  const rtf = [];
  const times = [];
  for (let i = 0; i < job.speaks; i++) {
    const begin = performance.now();
    let count = 0;
    for await (const frame of speaker.speak(bench.ids, bench.frames, times)) count += frame.length;
    rtf.push(count / 24000 / ((performance.now() - begin) / 1000));
  }
  return {
    first_audio_ms: first,
    rtf,
    deviation,
    ...(await host.measured()),
    step_ms: median(times.map(([step]) => step)),
    codec_ms: median(times.map(([, codec]) => codec)),
  };
}
