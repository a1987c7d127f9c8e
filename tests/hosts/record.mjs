// Fills in requests.json (the fields of the fixtures' configurations) and records expected.json and the files of
// conversions.json through Node:
//
//   node tests/hosts/record.mjs
//
// Run it when a change of the engine is meant to change the sound, and say so in the commit.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { root } from '../node/support.mjs';
import { convert } from './convert.mjs';
import { speak } from './speak.mjs';

const path = (name) => join(root, 'tests', 'hosts', name);
const document = JSON.parse(readFileSync(path('requests.json'), 'utf8'));

/** A fixture as JSON, so that a host needs no YAML. */
function model(name) {
  if (name === 'starter') return { pack: 'models/starter' };
  const folder = `tests/golden/fixtures/${name}`;
  const config = parse(readFileSync(join(root, folder, 'config.yaml'), 'utf8'), { version: '1.1' });
  const tokenizer = config.flow_lm.lookup_table.tokenizer_path;
  return {
    config,
    weights: `${folder}/${config.weights_path}`,
    tokenizer: `${folder}/${tokenizer}`,
    tokenizerKind: tokenizer.endsWith('.json') ? 'json' : 'sentencepiece',
    voice: `${folder}/voice.safetensors`,
  };
}

const names = [...new Set(document.requests.map((request) => request.model))];
document.models = Object.fromEntries(names.map((name) => [name, model(name)]));
writeFileSync(path('requests.json'), `${JSON.stringify(document, null, 2)}\n`);

const expected = {};
for (const request of document.requests) {
  expected[request.name] = await speak(document, request);
  console.log(request.name, expected[request.name]);
}
writeFileSync(path('expected.json'), `${JSON.stringify(expected, null, 2)}\n`);

const conversions = JSON.parse(readFileSync(path('conversions.json'), 'utf8'));
const folder = mkdtempSync(join(tmpdir(), 'pocket-tts-'));
for (const conversion of conversions) {
  conversion.files = convert(conversion, join(folder, conversion.name));
  console.log(conversion.name, conversion.files);
}
rmSync(folder, { recursive: true });
writeFileSync(path('conversions.json'), `${JSON.stringify(conversions, null, 2)}\n`);
