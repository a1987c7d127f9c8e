// models/make_pack.mjs: what it makes loads and speaks the same; what cannot be made is one line and no folder.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PocketTTS } from '../../dist/node.js';
import { damaged, fixture, loadFixture, root, starter, temporary } from './support.mjs';

const script = join(root, 'models', 'make_pack.mjs');
const make = (...args) => execFileSync(process.execPath, [script, ...args], { encoding: 'utf8' });

test('a configuration of the reference becomes a pack that speaks the same', async (t) => {
  const target = join(temporary(t), 'mine');
  for (const name of ['lsd6', 'flow_matching']) {
    const lines = make(fixture(name).folder, join(target, name), '--license', 'MIT', '--precision', 'f32');
    assert.match(lines, /^model\.safetensors: \d+ bytes, sha256 [0-9a-f]{64}$/m);
    const [pack, config] = [await PocketTTS.load({ pack: join(target, name) }), await loadFixture(name, { precision: 'f32' })];
    assert.deepEqual((await pack.generate('Hi.')).samples, (await config.generate('Hi.')).samples);
    assert.deepEqual([pack.info.pack.name, pack.info.precision, pack.voices], [name, 'f32', [{ name: 'default', license: 'MIT' }]]);
    await pack.dispose();
    await config.dispose();
  }
});

test('the working precision: what is asked for, else the pack\'s own word, else q8', async (t) => {
  const target = join(temporary(t), 'mine');
  for (const [own, asked, found] of [
    [undefined, undefined, 'q8'],
    [undefined, 'f32', 'f32'],
    ['f32', undefined, 'f32'],
    ['f32', 'q8', 'q8'],
    ['q4', undefined, 'q4'],
  ]) {
    make(fixture('lsd6').folder, target, ...(own === undefined ? [] : ['--precision', own]));
    assert.equal(JSON.parse(readFileSync(join(target, 'pack.json'), 'utf8')).precision, own);
    const tts = await PocketTTS.load({ pack: target, precision: asked, instances: 1 });
    assert.equal(tts.info.precision, found);
    await tts.dispose();
  }
});

test('what the flags do not say is kept, and the starter pack makes itself', (t) => {
  const source = temporary(t);
  const pack = JSON.parse(readFileSync(join(starter, 'pack.json'), 'utf8'));
  for (const path of ['model.safetensors', 'tokenizer.model']) copyFileSync(join(starter, path), join(source, path));
  copyFileSync(join(starter, 'voices', 'slt.safetensors'), join(source, 'voice.safetensors'));
  writeFileSync(join(source, 'config.yaml'), JSON.stringify(pack.config));
  const target = temporary(t);
  writeFileSync(join(target, 'pack.json'), JSON.stringify({ ...pack, files: pack.files }));
  make(source, target);
  assert.deepEqual(JSON.parse(readFileSync(join(target, 'pack.json'), 'utf8')), pack);
});

// PyYAML writes and reads them without quotes; YAML 1.1 by the letter has them as booleans.
test('a single y or n of a configuration is text', async (t) => {
  const yaml = readFileSync(fixture('lsd6').config, 'utf8');
  const config = damaged(t, 'lsd6', { 'config.yaml': yaml.replace('replace_characters:', '$&\n  ñ: n\n  Ý: Y') });
  const target = join(temporary(t), 'pack');
  make(config, target);
  const { ñ, Ý } = JSON.parse(readFileSync(join(target, 'pack.json'), 'utf8')).config.replace_characters;
  assert.deepEqual({ ñ, Ý }, { ñ: 'n', Ý: 'Y' });
  await (await PocketTTS.load({ config })).dispose();
});

test('what cannot be made is one line, and nothing is written', (t) => {
  const folder = temporary(t);
  const target = join(folder, 'target');
  const good = fixture('lsd6').folder;
  const yaml = readFileSync(fixture('lsd6').config, 'utf8');
  const without = (change) => damaged(t, 'lsd6', { 'config.yaml': change(yaml) });
  for (const [args, message] of [
    [['/nowhere'], /^ERROR: \/nowhere: no such file\n$/],
    [[folder], /^ERROR: .*config\.yaml: no such file\n$/],
    [[without(() => '{')], /expected YAML/],
    [[without(() => 'just a sentence')], /flow_lm: expected a mapping/],
    [[without((text) => text.replace('model.safetensors', 'gone.safetensors'))], /weights_path: .*gone\.safetensors: no such file/],
    [[without((text) => text.replace('model.safetensors', 'hf://a/b.safetensors'))], /weights_path: hf:.*download it/],
    [[without((text) => text.replace('tokenizer.model', './'))], /tokenizer_path: .*expected a plain file/],
    [[good, '--precision', 'q5'], /--precision q5: expected f32, q8 or q4/],
    [[good, '--default-voice', 'bob'], /--default-voice bob: expected one of the voices \(default\)/],
    [[good, '--voice', 'bob=gone.safetensors'], /--voice bob: .*gone\.safetensors: no such file/],
    [[good, '--voice', `../bob=${fixture('lsd6').voice}`], /--voice \.\.\/bob: expected a name without/],
  ]) {
    const [source, ...flags] = args;
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, source, target, ...flags], { encoding: 'utf8' });
    assert.equal(status, 1, args.join(' '));
    assert.equal(stdout, '');
    assert.match(stderr, /^ERROR: [^\n]+\n$/);
    assert.match(stderr, message);
    assert.equal(existsSync(target), false, args.join(' '));
  }
  assert.equal(spawnSync(process.execPath, [script, good]).status, 2);
});
