// What npm would publish: everything that the entries need is in it, and it speaks in every layout from where it is installed.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, temporary } from './support.mjs';

test('the packed package, installed in an empty folder', (t) => {
  const folder = temporary(t);
  const [{ filename }] = JSON.parse(
    execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
  );
  const home = join(folder, 'node_modules', 'pocket-tts-wasm');
  mkdirSync(home, { recursive: true });
  execFileSync('tar', ['-xzf', join(folder, filename), '-C', home, '--strip-components=1']);

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
