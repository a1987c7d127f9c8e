// `packs convert`: the same bytes as the Go program writes (tests/hosts/conversions.json), the same speech as its source in
// that precision, and nothing left behind by what fails.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { PocketTTS } from '../../dist/node.js';
import { convert, hashes } from '../hosts/convert.mjs';
import { cli, fixture, loadFixture, refused, root, run, sha256, starter, temporary } from './support.mjs';

const conversions = JSON.parse(readFileSync(join(root, 'tests', 'hosts', 'conversions.json'), 'utf8'));
const voiceOf = (name) => new Uint8Array(readFileSync(fixture(name).voice));
const speech = async (tts) => {
  const { samples } = await tts.generate('Hello there, this is a test.');
  await tts.dispose();
  return samples;
};

for (const conversion of conversions) {
  test(`${conversion.name}: the recorded bytes, and what pack.json says of them`, async (t) => {
    const folder = temporary(t);
    const target = join(folder, conversion.name);
    assert.deepEqual(convert(conversion, target), conversion.files);
    assert.deepEqual(readdirSync(folder), [conversion.name]);
    const { files, precision } = JSON.parse(readFileSync(join(target, 'pack.json'), 'utf8'));
    assert.equal(precision, conversion.precision);
    const listed = Object.fromEntries(files.map((file) => [file.path, file.sha256]));
    assert.deepEqual({ ...listed, 'pack.json': conversion.files['pack.json'] }, conversion.files);
    for (const { path, bytes } of files) assert.equal(readFileSync(join(target, path)).length, bytes);
  });
}

for (const name of ['lsd6', 'flow_matching', 'drifting', 'lsd_2026_01']) {
  for (const precision of ['q8', 'q4']) {
    test(`${name} in ${precision}: a converted pack speaks like its source, and converts into itself`, async (t) => {
      const folder = temporary(t);
      const [once, twice] = [join(folder, 'once', 'pack'), join(folder, 'twice', 'pack')];
      for (const [source, target] of [[fixture(name).config, once], [once, twice]]) {
        mkdirSync(join(target, '..'));
        // The second time by the pack's own precision.
        const { code, stderr, stdout } = await run(['packs', 'convert', ...(source === once ? [] : ['--precision', precision]), source, target]);
        assert.equal(code, 0, stderr);
        assert.equal(stdout.length, 0);
        assert.match(stderr, new RegExp(`^INFO: model\\.safetensors: \\d+ bytes, sha256 [0-9a-f]{64}$[^]*^INFO: Pack \\(${precision}\\) written in `, 'm'));
      }
      assert.deepEqual(hashes(twice), hashes(once));
      const voice = voiceOf(name);
      const want = await speech(await loadFixture(name, { precision }));
      assert.deepEqual(await speech(await PocketTTS.load({ pack: once, voice })), want);
      assert.deepEqual(await speech(await PocketTTS.load({ pack: once, voice, instances: 2 })), want);
      const other = precision === 'q8' ? 'q4' : 'q8';
      await refused(PocketTTS.load({ pack: once, precision: other }), 'weights', new RegExp(`precision ${other}`));
      await refused(PocketTTS.load({ pack: once, precision: 'f32' }), 'weights', /precision f32/);
    });
  }
}

test('voices are made from audio with the encoder of a converted pack, and without it not', async (t) => {
  const folder = temporary(t);
  const [whole, without] = [join(folder, 'whole'), join(folder, 'without')];
  const { config } = fixture('lsd6');
  for (const args of [[whole], [without, '--without-encoder']]) {
    assert.equal((await run(['packs', 'convert', '-q', config, ...args])).code, 0);
  }
  const recording = new Uint8Array(readFileSync(fixture('lsd6').file('voice.wav')));
  const cloned = async (options) => {
    const tts = await PocketTTS.load(options);
    const bytes = await tts.exportVoice(await tts.cloneVoice(recording));
    await tts.dispose();
    return sha256(bytes);
  };
  const want = await cloned({ config, precision: 'q8' });
  assert.equal(await cloned({ pack: whole }), want);
  assert.equal(await cloned({ pack: whole, instances: 2 }), want);
  // In whichever order they are listed.
  const manifest = JSON.parse(readFileSync(join(whole, 'pack.json'), 'utf8'));
  manifest.files.reverse();
  writeFileSync(join(whole, 'pack.json'), JSON.stringify(manifest));
  assert.equal(await cloned({ pack: whole }), want);
  await refused(cloned({ pack: without }), 'cloning', /converted without its encoder/);
  // The encoder is not read where it is not used.
  manifest.cloning = { available: false };
  writeFileSync(join(whole, 'pack.json'), JSON.stringify(manifest));
  writeFileSync(join(whole, 'encoder.safetensors'), 'not one');
  assert.ok((await speech(await PocketTTS.load({ pack: whole, voice: voiceOf('lsd6') }))).length > 0);
});

test('what the pack says is carried over, files that it does not list are not, its licence is', async (t) => {
  const folder = temporary(t);
  const source = join(folder, 'source');
  cpSync(starter, source, { recursive: true });
  const manifest = JSON.parse(readFileSync(join(source, 'pack.json'), 'utf8'));
  const twin = { ...manifest.files.find(({ role }) => role === 'voice'), name: 'twin', license: 'MIT' };
  manifest.files.push(twin);
  manifest.name = 'Größe "quoted" \u2028 \u0001 \ud83d\ude00';
  manifest.config = { mimi: manifest.config.mimi, ...manifest.config };
  writeFileSync(join(source, 'pack.json'), JSON.stringify(manifest));
  writeFileSync(join(source, 'unlisted'), 'x');
  const target = join(folder, 'target');
  assert.equal((await run(['packs', 'convert', source, target, '-q'])).code, 0);
  const converted = JSON.parse(readFileSync(join(target, 'pack.json'), 'utf8'));
  const { config, files } = converted;
  assert.deepEqual({ ...converted, config: 0, files: 0 }, { ...manifest, precision: 'q8', config: 0, files: 0 });
  assert.equal(config.weights_path, 'model.safetensors');
  assert.deepEqual(files.at(-2), twin);
  assert.deepEqual([files.at(-1).path, files.at(-1).role], ['LICENSE', 'other']);
  assert.equal(existsSync(join(target, 'unlisted')), false);
  const listed = files.find(({ role }) => role === 'weights');
  assert.equal(listed.license, manifest.files.find(({ role }) => role === 'weights').license);
});

test('a target is replaced only with --force, and only if it is a pack', async (t) => {
  const folder = temporary(t);
  const { config } = fixture('lsd6');
  const target = join(folder, 'target');
  const into = (...args) => run(['packs', 'convert', '-q', config, ...args]);
  assert.equal((await into(target)).code, 0);
  const before = hashes(target);
  const again = await into(target, '--precision', 'q4');
  assert.deepEqual([again.code, again.stderr], [1, `ERROR: ${target}: is there already; --force replaces a pack\n`]);
  assert.deepEqual(hashes(target), before);
  assert.equal((await into(target, '--precision', 'q4', '--force')).code, 0);
  assert.notDeepEqual(hashes(target), before);
  const work = join(folder, 'work');
  mkdirSync(work);
  writeFileSync(join(work, 'thesis.txt'), 'years');
  symlinkSync(target, join(folder, 'link'));
  for (const [args, message] of [
    [[config, work, '--force'], `ERROR: ${work}: is not a pack; nothing else is replaced\n`],
    [[config, join(work, 'thesis.txt'), '--force'], `ERROR: ${join(work, 'thesis.txt')}: is not a pack; nothing else is replaced\n`],
    [[target, join(folder, 'link'), '--force'], `ERROR: ${join(folder, 'link')}: the source is in it, and cannot be replaced\n`],
  ]) {
    const { code, stderr } = await run(['packs', 'convert', '-q', ...args]);
    assert.deepEqual([code, stderr], [1, message]);
  }
  assert.deepEqual(readdirSync(work), ['thesis.txt']);
  assert.deepEqual(readdirSync(folder).sort(), ['link', 'target', 'work']);
});

test('what fails is one line, and nothing is left behind', async (t) => {
  const folder = temporary(t);
  const { config } = fixture('lsd6');
  const target = join(folder, 'target');
  const bad = temporary(t);
  cpSync(starter, bad, { recursive: true });
  const voice = join(bad, 'voices', 'slt.safetensors');
  const bytes = readFileSync(voice);
  bytes[bytes.length - 1] ^= 1;
  writeFileSync(voice, bytes);
  const clash = temporary(t);
  cpSync(starter, clash, { recursive: true });
  const manifest = JSON.parse(readFileSync(join(clash, 'pack.json'), 'utf8'));
  manifest.files.push({ path: 'Encoder.safetensors', role: 'other' });
  writeFileSync(join(clash, 'pack.json'), JSON.stringify(manifest));
  for (const [args, message] of [
    [['/nowhere', target], /\/nowhere.*no such file/],
    [['/nowhere.yaml', target], /\/nowhere\.yaml: no such file/],
    [['hf://a/b', target], /expected a folder or a URL/],
    [[folder, target], /pack\.json: no such file/],
    [[config, join(folder, 'none', 'target')], /none: no such file/],
    [[config, join(config, 'target')], /expected a folder/],
    [[config, 'https://example.invalid/pack'], /expected a folder of this machine/],
    [[bad, target], /slt\.safetensors: expected sha256/],
    [[clash, target], /Encoder\.safetensors: the converted pack has another file of this name/],
  ]) {
    const { code, stdout, stderr } = await run(['packs', 'convert', ...args]);
    assert.equal(code, 1, args.join(' '));
    assert.equal(stdout.length, 0);
    assert.match(stderr, /^ERROR: [^\n]+\n$/);
    assert.match(stderr, message);
    assert.deepEqual(readdirSync(folder), [], args.join(' '));
  }
});

test('a disk that is full is one line, and nothing is left behind', { skip: process.platform === 'win32' }, (t) => {
  const folder = temporary(t);
  const target = join(folder, 'target');
  const limited = `ulimit -f 100; exec "$0" "$@"`;
  const args = ['-c', limited, process.execPath, cli, 'packs', 'convert', fixture('lsd6').config, target];
  const { status, stderr } = spawnSync('bash', args, { encoding: 'utf8' });
  assert.deepEqual([status, stderr], [1, `ERROR: ${target}: file too large\n`]);
  assert.deepEqual(readdirSync(folder), []);
});

test('a signal ends it, and nothing is left behind', { skip: process.platform === 'win32' }, async (t) => {
  const folder = temporary(t);
  for (const wait of [0, 5, 20, 50]) {
    const running = run(['packs', 'convert', '-q', 'starter', join(folder, 'target')]);
    const end = running.then(() => true);
    while (readdirSync(folder).length === 0 && !(await Promise.race([end, setTimeout(1, false)])));
    await setTimeout(wait);
    running.child.kill('SIGTERM');
    const { code, signal, stderr } = await running;
    if (code === 0) continue; // it was done before
    assert.deepEqual([code ?? signal, stderr], [143, '']);
    assert.deepEqual(readdirSync(folder), []);
  }
});

test('usage errors', async () => {
  for (const [args, message] of [
    [[], 'Missing command.'],
    [['make'], 'No such command: packs make'],
    [['convert'], "Missing argument 'SOURCE'."],
    [['convert', 'starter'], "Missing argument 'TARGET'."],
    [['convert', 'starter', ''], "Missing argument 'TARGET'."],
    [['convert', 'a', 'b', 'c'], 'Got unexpected extra argument (c)'],
    [['convert', 'a', 'b', '--precision', 'f32'], "Invalid value for '--precision': 'f32' is not one of 'q8', 'q4'."],
    [['convert', 'a', 'b', '--precision', 'q2'], "Invalid value for '--precision': 'q2' is not one of 'q8', 'q4'."],
    [['convert', 'a', 'b', '--precision'], "Option '--precision' requires an argument."],
    [['convert', 'a', 'b', '--without-decoder'], 'No such option: --without-decoder'],
    [['convert', 'a', 'b', '--force=yes'], "Option '--force' does not take a value."],
  ]) {
    const { code, stdout, stderr } = await run(['packs', ...args]);
    assert.deepEqual([code, stdout.length], [2, 0], args.join(' '));
    const usage = args[0] === 'convert' ? 'convert SOURCE TARGET [OPTIONS]' : 'list | pull | verify | rm | convert';
    assert.ok(stderr.startsWith(`Usage: pocket-tts-wasm packs ${usage}\n`), stderr);
    assert.ok(stderr.endsWith(`\nERROR: ${message}\n`), stderr);
  }
  for (const args of [['convert', '--help'], ['convert', '-h']]) {
    const { code, stdout } = await run(['packs', ...args]);
    assert.equal(code, 0);
    assert.match(stdout.toString(), /--without-encoder/);
  }
});
