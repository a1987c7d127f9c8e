// What belongs to no model: texts, the JSON tokenizer, random numbers, audio files.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DoorError, isUnsupported } from './engine.mjs';
import { readBytes, readJson } from './fixture.mjs';
import { planRow } from './model_checks.mjs';
import { readTensors } from './tensors.mjs';
import { TOLERANCE } from './tolerances.mjs';

/** Runs `body`; a verb that the door lacks is a skip, anything else that it throws a failure. */
async function attempt(report, name, body) {
  try {
    await body();
  } catch (error) {
    if (isUnsupported(error)) report.skip(name, `this door has no ${error.message}`);
    else report.broken(name, error);
  }
}

// ---- texts -----------------------------------------------------------------------------------------------------------

const EMPTY_TEXT = 'ValueError: Text prompt cannot be empty';

/** The answer of `body`, or the name of its refusal. */
async function answerOf(body) {
  try {
    return await body();
  } catch (error) {
    if (!(error instanceof DoorError) || isUnsupported(error)) throw error;
    return error.code;
  }
}

/** A model with a profile's options and tokenizer; its weights do not matter. */
async function openProfile(engine, base, options, tokenizer) {
  const changes = {
    pad_with_spaces_for_short_inputs: options.pad_with_spaces_for_short_inputs,
    remove_semicolons: options.remove_semicolons,
    append_terminal_punctuation: options.append_terminal_punctuation,
    capitalize_first_letter: options.capitalize_first_letter,
    replace_characters: options.replace_characters,
    model_recommended_frames_after_eos: options.model_recommended_frames_after_eos,
  };
  const { model } = await base.open(engine, { changes, tokenizer });
  const { voice } = await engine.loadVoice(model, base.bytes('voice.safetensors'));
  return { model, voice };
}

async function checkProfile(engine, report, { model, voice }, name, golden) {
  const limits = golden.max_tokens;
  const expectedOf = (entry, value) => (entry.error === undefined ? value :
    entry.error === EMPTY_TEXT ? 'PTTS_ERROR_TEXT_EMPTY' : entry.error);
  await attempt(report, `${name}.prepared`, async () => {
    const rows = [];
    for (const { text, results } of golden.cases) {
      const { prepared, guess } = results[name];
      const expected = prepared === undefined ? expectedOf(results[name]) : { prepared, guess };
      rows.push([text, await answerOf(() => engine.prepare(model, text)), expected]);
    }
    report.allEqual(`${name}.prepared`, rows);
  });
  await attempt(report, `${name}.plan`, async () => {
    const rows = [];
    for (const { text, results } of golden.cases) {
      const plan = async () => (await engine.plan(model, voice, text, limits[0])).map(planRow);
      rows.push([text, await answerOf(plan), expectedOf(results[name], results[name].plan)]);
    }
    report.allEqual(`${name}.plan`, rows);
  });
  for (const limit of limits.slice(1)) {
    await attempt(report, `${name}.chunks_${limit}`, async () => {
      const rows = [];
      for (const { text, results } of golden.cases) {
        const entry = results[name];
        const expected = entry[`chunks_${limit}`] ?? entry.plan?.map((chunk) => chunk.chunk);
        const plan = async () => (await engine.plan(model, voice, text, limit)).map((chunk) => chunk.chunk);
        rows.push([text, await answerOf(plan), expectedOf(entry, expected)]);
      }
      report.allEqual(`${name}.chunks_${limit}`, rows);
    });
  }
}

/** `bases`: fixtures to borrow a model from, by vocabulary size. */
export async function checkTexts(engine, report, folder, tokenizerFolder, bases) {
  report.group('text');
  const path = join(folder, 'text_golden.json');
  if (!existsSync(path)) {
    report.skip('text_golden.json', 'not in this folder');
    return;
  }
  const golden = readJson(path);
  const tokenizersDone = new Set();
  for (const [name, options] of Object.entries(golden.profiles)) {
    const own = join(folder, options.tokenizer);
    const tokenizer = existsSync(own) ? own : join(tokenizerFolder, options.tokenizer);
    await attempt(report, name, async () => {
      const opened = await openProfile(engine, options.tokenizer === 'small.model' ? bases.small : bases.large, options, tokenizer);
      const stem = options.tokenizer.replace(/\.model$/, '');
      if (!tokenizersDone.has(stem)) {
        tokenizersDone.add(stem);
        const rows = [];
        for (const { text, ids } of golden.cases) rows.push([text, await engine.tokenize(opened.model, text), ids[stem]]);
        report.allEqual(`ids.${stem}`, rows);
      }
      await checkProfile(engine, report, opened, name, golden);
      await engine.close(opened.voice);
      await engine.close(opened.model);
    });
  }
}

export async function checkJsonTokenizer(engine, report, folder, base) {
  report.group('json tokenizer');
  const path = join(folder, 'json_tokenizer_golden.json');
  if (!existsSync(path)) {
    report.skip('json_tokenizer_golden.json', 'not in this folder');
    return;
  }
  const { cases } = readJson(path);
  const layouts = { sentencepiece: 'small.model', metaspace: 'small.tokenizer.json', normalizer: 'small.tokenizer_normalizer.json' };
  for (const [layout, file] of Object.entries(layouts)) {
    await attempt(report, layout, async () => {
      const { model } = await base.open(engine, { tokenizer: join(folder, file) });
      const ids = [];
      for (const row of cases) ids.push([row.text, await engine.tokenize(model, row.text), row[layout] ?? row.sentencepiece]);
      report.allEqual(`${layout}.ids`, ids);
      await attempt(report, `${layout}.decoded`, async () => {
        const texts = [];
        for (const row of cases) {
          const expected = row[`${layout}_decoded`] ?? row.decoded;
          texts.push([row.text, await engine.detokenize(model, row[layout] ?? row.sentencepiece), expected]);
        }
        report.allEqual(`${layout}.decoded`, texts);
      });
      await engine.close(model);
    });
  }
}

// ---- random numbers --------------------------------------------------------------------------------------------------

const drawTolerance = (width) => (width >= 16 ? TOLERANCE.normalBlocks : TOLERANCE.normalSingles);

async function checkDraws(engine, report, name, run, widths) {
  const clamp = run.clamp ?? 0;
  const values = await engine.normals(run.seed, run.temp, clamp, widths);
  let at = 0;
  run.values.forEach((expected, i) => {
    report.near(`${name} [${widths[i]}]`, values.subarray(at, at + widths[i]), expected, drawTolerance(widths[i]));
    at += widths[i];
  });
}

/**
 * The generator's uniforms have no call of their own, but a normal so wide that a clamp of 1 sees only its flat top is drawn as
 * uniforms in [-1, 1], accepted at once. The arithmetic is exact both ways.
 */
async function checkUniforms(engine, report, name, run) {
  const values = await engine.normals(run.seed, 1e12, 1, [run.values.length]);
  report.near(name, values.map((x) => (x + 1) / 2), run.values, 0);
}

export async function checkRandomNumbers(engine, report, root) {
  report.group('rng');
  const path = join(root, 'rng_golden.json');
  if (!existsSync(path)) {
    report.skip('rng_golden.json', 'not in this folder');
    return;
  }
  const golden = readJson(path);
  const widths = golden.shapes.map((shape) => shape.reduce((a, b) => a * b, 1));
  for (const run of golden.runs) {
    const name = [`seed ${run.seed}`, run.kind, run.temp, run.clamp].filter((part) => part != null).join(' ');
    await attempt(report, name, () => (run.kind === 'uniform_float32' ? checkUniforms(engine, report, name, run)
      : checkDraws(engine, report, name, run, widths)));
  }
  if (/Error/.test(golden.temp0_with_clamp ?? '')) {
    await attempt(report, 'temp0_with_clamp', async () => {
      const answer = await answerOf(() => engine.normals(0, 0, 1, [32]));
      report.equal('temp0_with_clamp', answer, 'PTTS_ERROR_ARGUMENT');
    });
  }
}

// ---- audio -----------------------------------------------------------------------------------------------------------

async function checkAudioFile(engine, report, folder, name, facts, goldens) {
  if (typeof facts === 'string') {
    report.skip(name, `the reference refuses it: ${facts}`);
    return;
  }
  let samples = goldens.get(`${name}.read`).data;
  if (name.endsWith('.wav')) {
    const read = await engine.readWav(readBytes(join(folder, name)));
    report.near(`${name}.read`, read.samples, samples, TOLERANCE.samples);
    report.equal(`${name} rate`, [read.sampleRate, read.samples.length], [facts.rate, facts.samples]);
    samples = read.samples;
  } else {
    // Only WAV is read inside: hosts decode the rest.
    const answer = await answerOf(() => engine.readWav(readBytes(join(folder, name))));
    report.equal(`${name} refused`, answer, 'PTTS_ERROR_AUDIO');
  }
  const converted = await engine.resample(samples, facts.rate, 24000);
  report.near(`${name}.24k`, converted, goldens.get(`${name}.24k`).data, TOLERANCE.resample);
  report.equal(`${name} samples_24k`, converted.length, facts.samples_24k);
}

/** The filter's taps, seen through impulses: each place of the impulse shows another 147th part of them. */
async function checkTaps(engine, report, name, expected) {
  const [up, down] = name.slice('taps.'.length).split('_').map(Number);
  const centre = (expected.length - 1) / 2;
  const margin = Math.ceil(centre / up) + 1;
  const taps = new Float32Array(expected.length);
  for (let k = margin; k < margin + down; k++) {
    const impulse = new Float32Array(2 * margin + down);
    impulse[k] = 1;
    const out = await engine.resample(impulse, down * 300, up * 300);
    out.forEach((value, m) => {
      const tap = centre + m * down - k * up;
      if (tap >= 0 && tap < taps.length) taps[tap] = value;
    });
  }
  report.near(name, taps, expected, TOLERANCE.resample);
}

export async function checkAudio(engine, report, root) {
  report.group('audio');
  const folder = join(root, 'audio');
  if (!existsSync(join(folder, 'audio_golden.json'))) {
    report.skip('audio_golden.json', 'not in this folder');
    return;
  }
  const facts = readJson(join(folder, 'audio_golden.json'));
  const goldens = readTensors(join(folder, 'audio_golden.safetensors'));
  for (const [name, value] of Object.entries(facts)) {
    if (/\.(wav|flac)$/.test(name)) {
      await attempt(report, name, () => checkAudioFile(engine, report, folder, name, value, goldens));
    } else if (name.startsWith('pause.')) {
      await attempt(report, name, async () => {
        const out = await engine.pause(goldens.get(`${name}.in`).data);
        report.near(`${name}.out`, out, goldens.get(`${name}.out`).data, TOLERANCE.samples);
        report.equal(`${name} samples_out`, out.length, value.samples_out);
      });
    }
  }
  for (const [name, { data }] of goldens) {
    if (name.startsWith('taps.')) await attempt(report, name, () => checkTaps(engine, report, name, data));
  }
}
