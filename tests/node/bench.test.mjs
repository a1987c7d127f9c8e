// The benchmark's harness, small: the starter voice in Node, one round; its JSON and its page.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { PocketTTS } from '../../dist/node.js';
import { root } from './support.mjs';

const text = 'The old harbour wakes.';
let folder;
let report;
let page;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bench-'));
  const pack = join(folder, 'packs', 'starter');
  cpSync(join(root, 'models', 'starter'), pack, { recursive: true, filter: (path) => !path.includes('training') });
  // The length limit of a chunk, which is what is spoken: see models/MODEL.md.
  const tts = await PocketTTS.load();
  const { chunks } = await tts.generate(text);
  await tts.dispose();
  const frames = Math.ceil((chunks[0].tokens / 3 + 2) * 12.5);
  writeFileSync(join(pack, 'bench.json'), JSON.stringify({ text, first_text: text, tokens: chunks[0].tokens, frames }));
  const json = join(folder, 'out.json');
  page = execFileSync(
    process.execPath,
    [join(root, 'tests', 'bench', 'bench.mjs'), '--build', folder, '--only', 'node', '--pack', 'starter', '--rounds', '1',
      '--speaks', '1', '--firsts', '1', '--parts', '5', '--json', json],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
  );
  report = JSON.parse(readFileSync(json, 'utf8'));
});
after(() => rmSync(folder, { recursive: true }));

test('a row for every precision, with what the issue asks for', () => {
  const alone = report.rows.filter((row) => row.instances === 1);
  assert.ok(alone.some((row) => row.precision === 'f32') && alone.some((row) => row.precision === 'q8'));
  for (const row of alone) {
    assert.equal(row.host, 'node');
    assert.equal(row.engine, 'pocket-tts-wasm');
    for (const name of ['rtf', 'first_audio_ms', 'step_ms', 'codec_ms', 'load_cold_ms', 'peak_bytes', 'download_bytes'])
      assert.ok(row[name] > 0, `${name}: ${row[name]}`);
    assert.match(row.pcm_sha256, /^[0-9a-f]{64}$/);
    assert.match(row.commit, /^[0-9a-f]{12}/);
    assert.match(row.machine, /cores/);
  }
});

test('the page has the same rows, and goals that were not measured say so', () => {
  for (const row of report.rows) assert.ok(page.includes(`| ${row.rtf.toFixed(2)} |`), `${row.rtf} is not in the page`);
  assert.match(page, /not measured/);
  assert.doesNotMatch(page, /\| pass \||undefined|NaN/);
});
