// One fixture: every tensor of its golden.safetensors and every fact of its golden.json.
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isUnsupported } from './engine.mjs';
import { readBytes } from './fixture.mjs';
import { decodeChunks, recorded, series, speak } from './speech.mjs';
import { concatenate, parseTensors, readTensors, row } from './tensors.mjs';
import { TOLERANCE } from './tolerances.mjs';

const FRAMES_RECORDED = 2; // mimi.dbg.f0 and .f1

/** Golden tensors by name, remembering which ones were looked at. */
class Goldens {
  #tensors;
  #used = new Set();

  constructor(tensors) {
    this.#tensors = tensors;
  }

  has(name) {
    return this.#tensors.has(name);
  }

  get(name) {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) throw new Error(`golden.safetensors has no ${name}`);
    this.#used.add(name);
    return tensor;
  }

  data(name) {
    return this.get(name).data;
  }

  names() {
    return [...this.#tensors.keys()];
  }

  unused() {
    return this.names().filter((name) => !this.#used.has(name));
  }
}

/** The checks of one fixture share its model, its voice and its goldens. */
class FixtureChecks {
  constructor(engine, report, fixture, audioFolder) {
    this.engine = engine;
    this.report = report;
    this.fixture = fixture;
    this.audioFolder = audioFolder;
    this.info = fixture.info;
    this.goldens = new Goldens(fixture.goldens);
    this.text = this.info.e2e?.t03?.text ?? Object.keys(this.info.plan)[0];
  }

  async open() {
    const opened = await this.fixture.open(this.engine);
    this.model = opened.model;
    this.latentWidth = opened.latentWidth;
    this.frame = opened.samplesPerFrame;
    this.layers = opened.layers;
    this.voice = (await this.engine.loadVoice(this.model, this.fixture.bytes('voice.safetensors'))).voice;
    this.report.equal('model.latent_width', opened.latentWidth, this.info.ldim);
  }

  async close() {
    await this.engine.close(this.voice);
    await this.engine.close(this.model);
  }

  near(name, actual, tolerance, golden = name) {
    this.report.near(name, actual, this.goldens.data(golden), tolerance);
  }

  // A group whose golden is there is run; what it throws is one failed check.
  async group(name, present, body) {
    if (!present) {
      this.report.skip(name, 'not recorded in this fixture');
      return;
    }
    try {
      await body.call(this);
    } catch (error) {
      if (isUnsupported(error)) this.report.skip(name, `this door has no ${error.message}`);
      else this.report.broken(name, error);
    }
  }

  // ---- text ----------------------------------------------------------------------------------------------------------

  async tokens() {
    const rows = [];
    for (const [text, ids] of Object.entries(this.info.tokens)) {
      rows.push([text, await this.engine.tokenize(this.model, text), ids]);
    }
    this.report.allEqual('json.tokens', rows);
  }

  async prepared() {
    const { prepared } = await this.engine.prepare(this.model, this.text);
    this.report.equal('json.prepared', prepared, this.info.prepared);
  }

  async plan() {
    const rows = [];
    for (const [text, expected] of Object.entries(this.info.plan)) {
      const chunks = await this.engine.plan(this.model, this.voice, text, 50);
      rows.push([text, chunks.map(planRow), expected]);
    }
    this.report.allEqual('json.plan', rows);
  }

  // ---- voices --------------------------------------------------------------------------------------------------------

  async voiceFile() {
    const expected = readTensors(join(this.fixture.folder, 'voice.safetensors'));
    const actual = parseTensors(await this.engine.exportVoice(this.voice));
    this.report.equal('voice.export.names', [...actual.keys()].sort(), [...expected.keys()].sort());
    const numbers = (tensor) => [...(tensor?.data ?? [])].map(Number);
    const rows = [...expected].map(([name, tensor]) => [name, numbers(actual.get(name)), numbers(tensor)]);
    this.report.allEqual('voice.export', rows);
  }

  async voicePrompt() {
    const wav = this.fixture.bytes('voice.wav');
    const { samples } = await this.engine.readWav(wav);
    this.report.equal('json.voice.samples_in', samples.length, this.info.voice.samples_in);
    const paused = await this.engine.pause(samples);
    this.near('voice.wave_paused', paused, TOLERANCE.samples);
    this.report.equal('json.voice.samples_after_end_on_pause', paused.length, this.info.voice.samples_after_end_on_pause);

    const [made, recordings] = await recorded(this.engine, () => this.engine.voiceFromWav(this.model, wav));
    const own = (name) => recordings.get(name)?.data;
    this.near('voice.enc.seanet', own('enc.seanet'), TOLERANCE.encoder);
    this.near('voice.enc.transformer', own('enc.transformer'), TOLERANCE.encoder);
    this.near('voice.latents', own('voice.latents'), TOLERANCE.encoder);
    this.near('voice.cond', own('voice.cond'), TOLERANCE.encoder);
    this.report.equal('json.voice.positions', made.positions, this.info.voice.positions);
    this.report.equal('json.voice.latent_frames', recordings.get('voice.latents')?.shape[0], this.info.voice.latent_frames);
    const exported = parseTensors(await this.engine.exportVoice(made.voice));
    const cache = (layer) => exported.get(`transformer.layers.${layer}.self_attn/cache`)?.data;
    this.near('voice.kv.first', cache(0), TOLERANCE.state);
    this.near('voice.kv.last', cache(this.layers - 1), TOLERANCE.state);
    await this.engine.close(made.voice);
  }

  async recording() {
    const real = this.info.real;
    const path = join(this.audioFolder, real.file);
    if (!existsSync(path)) {
      this.report.skip('real.*', `${real.file} is not in ${this.audioFolder}; name its folder with --audio`);
      return;
    }
    const wav = readBytes(path);
    const { sampleRate, samples } = await this.engine.readWav(wav);
    this.report.equal('json.real.rate', sampleRate, real.rate);
    this.report.equal('json.real.samples_in', samples.length, real.samples_in);
    const resampled = await this.engine.resample(samples, sampleRate, 24000);
    this.report.equal('json.real.samples_24k', resampled.length, real.samples_24k);
    if (this.goldens.has('real.wave24k')) this.near('real.wave24k', resampled, TOLERANCE.resample);
    const paused = await this.engine.pause(resampled);
    this.report.equal('json.real.samples_after_end_on_pause', paused.length, real.samples_after_end_on_pause);
    const [made, recordings] = await recorded(this.engine, () => this.engine.voiceFromWav(this.model, wav));
    this.near('real.latents', recordings.get('voice.latents')?.data, TOLERANCE.encoder);
    this.near('real.cond', recordings.get('voice.cond')?.data, TOLERANCE.encoder);
    await this.engine.close(made.voice);
  }

  // ---- the transformer and the flow ----------------------------------------------------------------------------------

  /** One run over the recorded noise: latents, what was recorded and the logits the steps reported. */
  async autoregress(decodeSteps, teacher) {
    const noise = this.goldens.get('ar.noise');
    const options = { temperature: this.info.temperature, decodeSteps, rng: 'torch' };
    const session = await this.engine.openSession(this.model, this.voice, this.text, options);
    const latents = [];
    const logits = [];
    const [, recordings] = await recorded(this.engine, async () => {
      for (let i = 0; i < noise.shape[0]; i++) {
        const previous = i > 0 && teacher !== undefined ? row(teacher, i - 1) : null;
        const { latent, event } = await this.engine.force(session, previous, row(noise, i));
        latents.push(latent);
        logits.push(event.eosLogit);
      }
    });
    await this.engine.close(session);
    const hidden = series(recordings, 'hidden').map((tensor) => tensor.data);
    return { latents: concatenate(latents), logits: Float32Array.from(logits), hidden: concatenate(hidden), recordings };
  }

  async teacherForced() {
    const run = await this.autoregress(this.info.sampler_decode_steps, this.goldens.get('ar.teacher'));
    const own = (name) => run.recordings.get(name)?.data;
    const chunks = await this.engine.plan(this.model, this.voice, this.text, 50);
    this.report.equal('json.prefill.ids', chunks[0]?.ids, this.info.prefill.ids);
    this.near('text.emb', own('text.emb'), TOLERANCE.encoder);
    this.near('prefill.hidden', own('prefill.hidden'), TOLERANCE.state);
    this.near('prefill.eos_logit', own('prefill.eos_logit'), TOLERANCE.state);
    this.near('prefill.kv.first', own('prefill.kv.first'), TOLERANCE.state);
    this.near('prefill.kv.last', own('prefill.kv.last'), TOLERANCE.state);
    this.report.equal('json.prefill.end', run.recordings.get('prefill.kv.first')?.shape[1], this.info.prefill.end);
    this.near('ar.tf.hidden', run.hidden, TOLERANCE.state);
    this.near('ar.tf.eos_logit', run.logits, TOLERANCE.state);
    this.near('ar.tf.latent', run.latents, TOLERANCE.oneStep);
    const layers = Array.from({ length: this.layers }, (_, i) => series(run.recordings, `layer.${i}`)[0]?.data ?? new Float32Array());
    this.near('ar.tf.layers_step0', concatenate(layers), TOLERANCE.state);
  }

  async freeRunning() {
    const run = await this.autoregress(this.info.sampler_decode_steps);
    this.near('ar.free.latent', run.latents, TOLERANCE.freeRun);
    this.near('ar.free.hidden', run.hidden, TOLERANCE.freeRun);
    this.near('ar.free.eos_logit', run.logits, TOLERANCE.freeRun);
    for (const name of this.goldens.names()) {
      const steps = /^ar\.free_n(\d+)\.latent$/.exec(name);
      if (steps !== null) this.near(name, (await this.autoregress(Number(steps[1]))).latents, TOLERANCE.freeRun);
    }
  }

  async flow() {
    const condition = row(this.goldens.get('ar.tf.hidden'), 0);
    const x = row(this.goldens.get('ar.noise'), 0);
    const { times } = this.info.flow;
    const [velocity, recordings] = await recorded(this.engine, () => this.engine.flowVelocity(this.model, times, condition, x));
    this.near('flow.v', velocity, TOLERANCE.oneStep);
    for (let j = 0; j < times.length; j++) {
      this.near(`flow.time_embed.${j}`, recordings.get(`flow.time_embed.${j}`)?.data, TOLERANCE.oneStep);
    }
  }

  // ---- the decoder ---------------------------------------------------------------------------------------------------

  async mimi() {
    const latents = this.goldens.get('mimi.latents');
    const frames = latents.shape[0];
    const codec = await this.engine.openCodec(this.model);
    await this.engine.fade(codec, false);
    const parts = [];
    for (let i = 0; i < frames; i++) {
      const decode = () => this.engine.decode(codec, row(latents, i), 1);
      if (i >= FRAMES_RECORDED || !this.goldens.has('mimi.dbg.f0.quantizer')) {
        parts.push(await decode());
        continue;
      }
      const [part, recordings] = await recorded(this.engine, decode);
      parts.push(part);
      const prefix = `mimi.dbg.f${i}.`;
      for (const name of this.goldens.names().filter((key) => key.startsWith(prefix))) {
        this.near(name, recordings.get(`mimi.dbg.${name.slice(prefix.length)}`)?.data, TOLERANCE.decoder);
      }
    }
    this.near('mimi.audio one by one', concatenate(parts), TOLERANCE.audio, 'mimi.audio');
    this.report.equal('json.mimi.frames', parts.length, this.info.mimi.frames);
    await this.engine.resetCodec(codec);
    this.near('mimi.audio all at once', await this.engine.decode(codec, latents.data, frames), TOLERANCE.audio, 'mimi.audio');
    await this.engine.close(codec);
  }

  // ---- end to end ----------------------------------------------------------------------------------------------------

  options(run) {
    const options = {
      seed: this.info.e2e_seed,
      temperature: run.temp,
      decodeSteps: this.info.sampler_decode_steps,
      maxTokens: run.max_tokens ?? 50,
      rng: 'torch',
      discardDraws: run.voice_from_wav ? 1 : 0, // the voice's prefill draws once
    };
    if (run.eos_threshold !== undefined) options.eosThreshold = run.eos_threshold;
    if (run.frames_after_eos !== undefined) options.framesAfterEos = run.frames_after_eos;
    return options;
  }

  async endToEnd(name, run) {
    const made = run.voice_from_wav ? (await this.engine.voiceFromWav(this.model, this.fixture.bytes('voice.wav'))).voice : null;
    const voice = made ?? this.voice;
    const [speech, recordings] = await recorded(this.engine, () => speak(this.engine, this.model, voice, run.text, this.options(run)));
    const key = `e2e.${name}`;
    const tolerance = run.temp === 0 ? TOLERANCE.speechAtZero : TOLERANCE.speech;
    const frames = speech.chunks.flat().length;
    this.report.equal(`${key}.calls`, (made === null ? '' : 'V') + speech.calls, run.calls);
    this.report.equal(`${key}.frames`, [frames, frames * this.frame], [run.frames, run.samples]);

    const draws = this.goldens.get(`${key}.draws`);
    const drawn = series(recordings, 'draws');
    this.report.equal(`${key}.draws count`, drawn.length, run.calls.length);
    const kept = concatenate(drawn.slice(0, draws.shape[0]).map((tensor) => tensor.data));
    this.report.near(`${key}.draws`, kept, draws.data, this.latentWidth >= 16 ? TOLERANCE.normalBlocks : TOLERANCE.normalSingles);

    // The reference also records the last step of each chunk; its latent exists nowhere else.
    const latents = this.goldens.get(`${key}.latents`);
    const compared = speech.steps.map((_, i) => i).filter((i) => i < latents.shape[0] && speech.steps[i].latent !== undefined);
    this.report.near(`${key}.latents`, concatenate(compared.map((i) => speech.steps[i].latent)),
      concatenate(compared.map((i) => row(latents, i))), tolerance.latents);

    const expected = this.goldens.data(`${key}.eos_logit`);
    const seen = series(recordings, 'eos_logit');
    const logits = seen.length === expected.length ? seen.map((tensor) => tensor.data[0]) : speech.steps.map((step) => step.eosLogit);
    const withLogit = logits.map((_, i) => i).filter((i) => logits[i] !== undefined);
    this.report.near(`${key}.eos_logit`, withLogit.map((i) => logits[i]),
      logits.length === expected.length ? withLogit.map((i) => expected[i]) : expected, tolerance.latents);

    if (this.goldens.has(`${key}.audio`)) {
      const golden = this.goldens.data(`${key}.audio`);
      const audio = concatenate(await decodeChunks(this.engine, this.model, speech.chunks));
      this.report.near(`${key}.audio`, audio.subarray(0, golden.length), golden, tolerance.audio);
    }
    if (made !== null) await this.engine.close(made);
  }

  async legacyVoice() {
    const { voice } = await this.engine.loadVoice(this.model, this.fixture.bytes('voice_legacy.safetensors'));
    const golden = this.goldens.data(this.info.legacy_voice.same_as);
    const run = this.info.e2e[this.info.legacy_voice.same_as.split('.')[1]];
    const speech = await speak(this.engine, this.model, voice, run.text, this.options(run));
    const audio = concatenate(await decodeChunks(this.engine, this.model, speech.chunks));
    this.report.near('voice_legacy audio', audio, golden, TOLERANCE.speech.audio);
    await this.engine.close(voice);
  }

  // ---- all of it -----------------------------------------------------------------------------------------------------

  async run() {
    const has = (name) => this.goldens.has(name);
    await this.group('json.tokens', this.info.tokens !== undefined, this.tokens);
    await this.group('json.prepared', this.info.prepared !== undefined, this.prepared);
    await this.group('json.plan', this.info.plan !== undefined, this.plan);
    await this.group('voice.export', true, this.voiceFile);
    await this.group('voice.*', has('voice.latents'), this.voicePrompt);
    await this.group('real.*', has('real.latents'), this.recording);
    await this.group('ar.tf.*', has('ar.tf.latent'), this.teacherForced);
    await this.group('ar.free*', has('ar.free.latent'), this.freeRunning);
    await this.group('flow.*', has('flow.v'), this.flow);
    await this.group('mimi.*', has('mimi.audio'), this.mimi);
    for (const [name, run] of Object.entries(this.info.e2e ?? {})) {
      await this.group(`e2e.${name}`, true, () => this.endToEnd(name, run));
    }
    await this.group('voice_legacy', this.info.legacy_voice !== undefined, this.legacyVoice);
    for (const name of this.goldens.unused()) this.report.skip(name, 'recorded, but nothing compared it');
  }
}

/** A chunk of a plan with the names of golden.json. */
export const planRow = (chunk) => ({
  chunk: chunk.chunk,
  prompt: chunk.prompt,
  ids: chunk.ids,
  frames_after_eos: chunk.framesAfterEos,
  max_gen_len: chunk.maxFrames,
});

export async function checkFixture(engine, report, fixture, audioFolder) {
  report.group(basename(fixture.folder));
  const checks = new FixtureChecks(engine, report, fixture, audioFolder);
  try {
    await checks.open();
  } catch (error) {
    report.broken('model', error);
    return;
  }
  await checks.run();
  await checks.close();
}
