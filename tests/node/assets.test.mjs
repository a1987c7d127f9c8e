// The files beside the scripts: the browser build names each so that bundlers find it, and load() takes them from elsewhere.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { PocketTTS } from '../../dist/node.js';
import { refused, root, sha256, starter, temporary } from './support.mjs';

const dist = (name) => join(root, 'dist', name);

test('every entry imports without a global of any host', () => {
  // A context that has nothing but the language, and says what it was asked for.
  const script = `
    import vm from 'node:vm';
    import { readFileSync } from 'node:fs';
    const asked = new Set();
    const language = new Set(Object.getOwnPropertyNames(vm.runInContext('globalThis', vm.createContext({}))));
    const context = vm.createContext(new Proxy({}, {
      has: (_, name) => {
        if (typeof name === 'string' && !language.has(name)) asked.add(name);
        return false;
      },
    }));
    const module = new vm.SourceTextModule(readFileSync(process.argv[2], 'utf8'), {
      context,
      initializeImportMeta: (meta) => { meta.url = 'https://example.test/entry.js'; },
    });
    await module.link((name) => { throw new Error('it imports ' + name); });
    await module.evaluate();
    console.log(JSON.stringify({ asked: [...asked], names: Object.keys(module.namespace) }));`;
  const run = (path) =>
    JSON.parse(
      execFileSync(process.execPath, ['--no-warnings', '--experimental-vm-modules', '--input-type=module', '-', path], {
        input: script,
        encoding: 'utf8',
        stdio: ['pipe', 'pipe', 'pipe'],
      }),
    );
  for (const entry of ['index.js', 'inline.js']) {
    assert.deepEqual(run(dist(entry)), { asked: [], names: ['PocketTTS', 'PocketTTSError', 'Voice'] }, entry);
  }
  // The check itself: what a careless script would ask for is seen.
  assert.throws(() => run(dist('worker.js')), /MessageChannel is not defined/);
});

test('the Node entry imports without the globals of browsers', () => {
  const script = `
    for (const name of Object.getOwnPropertyNames(globalThis)) {
      if (/^(fetch|Worker|WebAssembly|MessageChannel|Request|Response|navigator|Blob|crypto|performance)$/.test(name)) delete globalThis[name];
    }
    const { PocketTTS } = await import(process.argv[2]);
    console.log(typeof PocketTTS.load, typeof fetch);`;
  const out = execFileSync(process.execPath, ['--input-type=module', '-', pathToFileURL(dist('node.js')).href], { input: script, encoding: 'utf8' });
  assert.equal(out.trim(), 'function undefined');
});

test('worker and worklet are one file each, with nothing to find and no eval', () => {
  const text = ['worker.js', 'player-worklet.js'].map((name) => readFileSync(dist(name), 'utf8')).join('\n');
  for (const word of [/^import\b/m, /\bimport\s*\(/, /import\.meta/, /\beval\s*\(/, /new Function\b/, /require\(/]) assert.doesNotMatch(text, word);
});

test('the default entry makes no script out of text; the inline one carries its worker', () => {
  const [index, inline] = ['index.js', 'inline.js'].map((name) => readFileSync(dist(name), 'utf8'));
  assert.doesNotMatch(index, /createObjectURL/);
  assert.match(inline, /createObjectURL/);
  assert.doesNotMatch(inline, /new URL\("\.\//);
});

test('every file of the starter voice is a URL of its own', () => {
  const { files } = JSON.parse(readFileSync(join(starter, 'pack.json'), 'utf8'));
  for (const entry of ['index.js', 'inline.js']) {
    const found = [...readFileSync(dist(entry), 'utf8').matchAll(/"([^"]+)": \(\) => new URL\("([^"]+)", import\.meta\.url\)/g)];
    assert.deepEqual(found.map(([, path]) => path).sort(), files.map(({ path }) => path).sort());
    for (const [, path, url] of found) {
      assert.equal(fileURLToPath(new URL(url, pathToFileURL(dist(entry)))), join(starter, path));
      assert.ok(existsSync(join(starter, path)), path);
    }
  }
});

/** The samples of a short text. */
async function spoken(options) {
  const tts = await PocketTTS.load(options);
  const { samples } = await tts.generate('Yes.');
  const { worker, isolated } = tts.info;
  await tts.dispose();
  return { hash: sha256(samples), worker, isolated };
}

test('the engine and the worker from elsewhere: a path, a file URL, HTTP', async (t) => {
  const folder = temporary(t);
  const elsewhere = join(folder, 'a name with # and %.wasm');
  copyFileSync(dist('pocket_tts.wasm'), elsewhere);
  const server = createServer((request, response) => {
    if (request.url === '/engine') response.end(readFileSync(elsewhere));
    // Nobody waits for the slow one to the end.
    else setTimeout(() => response.writeHead(404).end(), request.url === '/slow' ? 5000 : 0).unref();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const site = `http://127.0.0.1:${server.address().port}`;

  const own = await spoken({});
  assert.deepEqual([own.worker, own.isolated], [false, true]);
  for (const wasmUrl of [elsewhere, pathToFileURL(elsewhere), pathToFileURL(elsewhere).href, `${site}/engine`]) {
    assert.deepEqual(await spoken({ wasmUrl }), own, String(wasmUrl));
  }
  await refused(PocketTTS.load({ wasmUrl: join(folder, 'nothing.wasm') }), 'not-found', /nothing\.wasm: no such file/);
  await refused(PocketTTS.load({ wasmUrl: `${site}/nothing` }), 'not-found', /nothing: HTTP status 404/);
  await refused(PocketTTS.load({ wasmUrl: folder }), 'unsupported', /: expected a plain file, found a folder/);
  if (process.platform !== 'win32') await refused(PocketTTS.load({ wasmUrl: '/dev/zero' }), 'unsupported', /: expected a plain file, found a device/);
  const large = join(folder, 'large.wasm');
  writeFileSync(large, '');
  truncateSync(large, 1 << 30);
  await refused(PocketTTS.load({ wasmUrl: large }), 'unsupported', /large\.wasm: expected at most \d+ bytes/);
  await refused(PocketTTS.load({ wasmUrl: join(root, 'README.md') }), 'unsupported', /engine cannot be compiled here: .*magic/);
  await refused(PocketTTS.load({ wasmUrl: 'ftp://example.test/x' }), 'argument', /^wasmUrl: expected a path or a URL of http, https or file, found "ftp:/);
  for (const worker of [false, true]) {
    const signal = AbortSignal.timeout(50);
    await refused(PocketTTS.load({ wasmUrl: `${site}/slow`, worker, signal }), 'aborted');
  }
  for (const option of ['wasmUrl', 'workerUrl', 'workletUrl']) {
    for (const value of [1, '', null, {}]) await refused(PocketTTS.load({ [option]: value }), 'argument', new RegExp(`^${option}: expected a URL`));
  }

  // A worker that tells that it was the one.
  const marker = join(folder, 'started');
  mkdirSync(join(folder, 'dist'));
  const script = join(folder, 'dist', 'own.mjs');
  writeFileSync(
    script,
    `import { writeFileSync } from 'node:fs'; writeFileSync(${JSON.stringify(marker)}, ''); await import(${JSON.stringify(pathToFileURL(dist('worker-node.js')).href)});`,
  );
  assert.deepEqual(await spoken({ worker: true, workerUrl: script }), { ...own, worker: true });
  assert.ok(existsSync(marker));
  await refused(PocketTTS.load({ worker: true, workerUrl: join(folder, 'nothing.js') }), 'unsupported', /Workers do not start here/);
  await refused(PocketTTS.load({ worker: true, workerUrl: `${site}/worker.js` }), 'argument', /^workerUrl: expected a file/);
});
