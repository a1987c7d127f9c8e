// A pack of the full size (100 M parameters, BF16, random weights) loads in slices and speaks, within a stated memory.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { planOf, randomVoice, randomWeights } from '../support/official.mjs';
import { root, temporary } from './support.mjs';

const NAME = 'english_2026-10';
const golden = (path) => join(root, 'tests', 'golden', path);

/** Writes the pack: configuration (JSON is YAML), weights, tokenizer, a voice of eight positions. */
function writePack(folder) {
  const { config, plan } = planOf(NAME);
  const fd = openSync(join(folder, 'model.safetensors'), 'w');
  for (const bytes of randomWeights(plan)) writeSync(fd, bytes);
  closeSync(fd);
  writeFileSync(join(folder, 'voice.safetensors'), randomVoice(config.flow_lm.transformer));

  config.weights_path = 'model.safetensors';
  delete config.weights_path_without_voice_cloning;
  config.flow_lm.lookup_table.tokenizer = 'sentencepiece';
  config.flow_lm.lookup_table.tokenizer_path = golden('tokenizers/english.model');
  writeFileSync(join(folder, 'config.yaml'), JSON.stringify(config));
}

test('100 M parameters in BF16: memory below 1.2 x the working weights + 80 MB, + 20 MB a worker', { timeout: 300000 }, (t) => {
  const folder = temporary(t);
  writePack(folder);
  for (const [precision, instances] of [
    ['f32', 1],
    ['q8', 1],
    ['q8', 2],
  ]) {
    const child = fileURLToPath(new URL('full-size-child.mjs', import.meta.url));
    const { frames, weights, peak, seconds } = JSON.parse(
      execFileSync(process.execPath, [child, folder, precision, String(instances)], { encoding: 'utf8' }),
    );
    const limit = 1.2 * weights + 80e6 + (instances === 1 ? 0 : 2 * 20e6);
    const mb = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;
    t.diagnostic(
      `${precision}, instances ${instances}: file ${mb(statSync(join(folder, 'model.safetensors')).size)}, ` +
        `working weights ${mb(weights)}, peak of the process ${mb(peak)} (limit ${mb(limit)}), loaded in ${seconds.toFixed(1)} s`,
    );
    assert.equal(frames, 8);
    assert.ok(peak < limit);
  }
});
