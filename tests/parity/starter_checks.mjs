// The starter voice: what the reference package says with the files of models/starter (tests/reference/check_starter.py).
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readBytes, readJson } from './fixture.mjs';
import { decodeChunks, speak } from './speech.mjs';
import { concatenate, readTensors } from './tensors.mjs';
import { TOLERANCE } from './tolerances.mjs';

const REFRESH = 'make the golden again: models/starter/README.md, "A new pack"';

/** `pack` is the folder of the starter voice. */
export async function checkStarter(engine, report, root, pack) {
  report.group('starter');
  const folder = join(root, 'starter');
  if (!existsSync(join(folder, 'golden.json'))) {
    report.skip('starter', 'not recorded here');
    return;
  }
  try {
    await compare(engine, report, readJson(join(folder, 'golden.json')), readTensors(join(folder, 'golden.safetensors')), pack);
  } catch (error) {
    report.broken('starter', error);
  }
}

async function compare(engine, report, golden, tensors, pack) {
  const manifest = readJson(join(pack, 'pack.json'));
  const file = (test) => readBytes(join(pack, manifest.files.find(test).path));
  const now = Object.fromEntries(manifest.files.map(({ path }) => [path, hash(join(pack, path))]));
  const changed = Object.keys({ ...golden.pack, ...now }).filter((path) => golden.pack[path] !== now[path]);
  if (changed.length > 0) throw new Error(`the golden was recorded with another ${changed.join(', ')}: ${REFRESH}`);
  report.equal('starter.pack', now, golden.pack);
  const tokenizer = ({ role }) => role === 'tokenizer';
  const { model } = await engine.openModel({
    config: manifest.config,
    tokenizer: file(tokenizer),
    tokenizerKind: manifest.files.find(tokenizer).kind,
    files: [{ kind: 'bundle', path: join(pack, manifest.files.find(({ role }) => role === 'weights').path) }],
  });
  const { voice } = await engine.loadVoice(model, file(({ role, name }) => role === 'voice' && name === manifest.default_voice));
  const { chunks } = await speak(engine, model, voice, golden.text, {});
  report.near('starter.latents', concatenate(chunks.flat()), tensors.get('latents').data, TOLERANCE.speechAtZero.latents);
  const samples = concatenate(await decodeChunks(engine, model, chunks));
  report.near('starter.audio', samples, tensors.get('audio').data, TOLERANCE.speechAtZero.audio);
  for (const object of [voice, model]) await engine.close(object);
}

const hash = (path) => createHash('sha256').update(readBytes(path)).digest('hex');
