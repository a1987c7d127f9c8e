// What npm would publish: everything that the entries need is in it, and it speaks in every layout from where it is installed.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { root } from './support.mjs';

/** Assets, not modules: nobody imports them for their names. */
const ASSETS = ['./pocket_tts.wasm', './worker.js', './player-worklet.js'];

let folder;
let packed;
let home;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'pocket-tts-'));
  const [{ filename }] = JSON.parse(
    execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
  );
  packed = join(folder, filename);
  home = join(folder, 'node_modules', 'pocket-tts-wasm');
  mkdirSync(home, { recursive: true });
  execFileSync('tar', ['-xzf', packed, '-C', home, '--strip-components=1']);
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** Paths of the files in the package. */
const files = () =>
  readdirSync(home, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(home.length + 1))
    .sort();

test('publint has nothing to say', async () => {
  const pkg = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
  const { messages } = await publint({ pkgDir: home, pack: false, strict: true });
  assert.deepEqual(messages.map((message) => formatMessage(message, pkg, { color: false })), []);
});

test('the types are those of the scripts, for every way of resolving them that knows ES modules', () => {
  const attw = join(root, 'node_modules', '.bin', 'attw');
  // Assets, not modules: nobody imports them for their names.
  const { status, stdout, stderr } = spawnSync(attw, [packed, '--profile', 'esm-only', '--no-emoji', '--no-color', '--exclude-entrypoints', ...ASSETS], { encoding: 'utf8' });
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, /pocket-tts-wasm\/inline/);
});


test('what is in it, and what is not', () => {
  const known = [
    /^(LICENSE|NOTICE|README\.md|package\.json)$/,
    /^dist\/[a-zA-Z0-9_-]+\.(js|mjs|wasm)$/,
    /^dist\/THIRD_PARTY_LICENSES\.txt$/,
    /^dist\/types\/[a-z_-]+\.d\.m?ts$/,
    /^models\/FORMAT\.md$/,
    /^models\/starter\/(LICENSE|pack\.json|model\.safetensors|tokenizer\.model|voices\/[a-z]+\.safetensors)$/,
  ];
  assert.deepEqual(files().filter((path) => !known.some((form) => form.test(path))), []);
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
  assert.deepEqual([dependencies, peerDependencies], [undefined, undefined]);
});

test('under 1 MB of scripts and engine, compressed; the starter voice at most 8 MB', () => {
  const sum = (form, size) => files().filter((path) => form.test(path)).reduce((total, path) => total + size(join(home, path)), 0);
  const code = sum(/^dist\/[^/]+\.(js|mjs|wasm)$/, (path) => gzipSync(readFileSync(path), { level: 9 }).length);
  assert.ok(code < 1e6 && code > 3e5, `${code} bytes`);
  const voice = sum(/^models\/starter\//, (path) => statSync(path).size);
  assert.ok(voice <= 8e6 && voice > 1e6, `${voice} bytes`);
  assert.ok(statSync(packed).size < 9e6);
});

test('the terms of everything in it are in it', () => {
  assert.match(readFileSync(join(home, 'LICENSE'), 'utf8'), /^MIT License/);
  const terms = readFileSync(join(home, 'dist', 'THIRD_PARTY_LICENSES.txt'), 'utf8');
  const vendored = readdirSync(join(root, 'wasm', 'third_party'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  for (const name of ['@noble/hashes', 'yaml', ...vendored.map((entry) => basename(entry.name))]) assert.match(terms, new RegExp(`^==== ${name}\\b`, 'm'));
  assert.match(terms, /Apache License\s+Version 2\.0/);
});

test('it speaks from where it is installed, and every file is in its place', () => {

  const { exports } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
  const paths = (entry) => (typeof entry === 'string' ? [entry] : Object.values(entry).flatMap(paths));
  for (const path of Object.values(exports).flatMap(paths)) {
    if (!path.includes('*')) assert.ok(existsSync(join(home, path)), path);
  }
  // What one script asks for beside it is there under that name.
  for (const script of ['index.js', 'inline.js', 'worker.js', 'node.js', 'worker-node.js', 'cli.js']) {
    const text = readFileSync(join(home, 'dist', script), 'utf8');
    const beside = text.matchAll(/(?:from ?|new URL\(|import ?\(?)"(\.\/[^"]+)"/g);
    for (const [, path] of beside) assert.ok(existsSync(join(home, 'dist', path)), `${script}: ${path}`);
  }
  // In one piece, so that bundlers know it for a worker.
  assert.match(
    readFileSync(join(home, 'dist', 'index.js'), 'utf8'),
    /new Worker\(new URL\("\.\/worker\.js", import\.meta\.url\), \{ type: "module"/,
  );

  const script = join(folder, 'main.mjs');
  writeFileSync(
    script,
    `import { PocketTTS } from 'pocket-tts-wasm';
    import { createHash } from 'node:crypto';
    const hashes = [];
    for (const layout of [{ worker: false }, { worker: true }, { instances: 2 }, { parallel: 2 }]) {
      const tts = await PocketTTS.load(layout);
      const { samples } = await tts.generate('Hello there. How are you?', { maxTokens: 8 });
      hashes.push(createHash('sha256').update(samples).digest('hex'));
    }
    console.log(JSON.stringify(hashes));`,
  );
  const hashes = JSON.parse(execFileSync(process.execPath, [script], { encoding: 'utf8', timeout: 60000 }));
  assert.equal(hashes.length, 4);
  assert.equal(new Set(hashes).size, 1);
});
