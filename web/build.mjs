// Builds the npm package: web/*.ts -> dist/*.js (esbuild, run-time dependencies bundled) and dist/types (tsc), with
// the engine from build/wasm beside them and the licences of what was bundled.
import { build, transform } from 'esbuild';
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deflateSync, gzipSync } from 'node:zlib';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const wasm = join(process.env.POCKET_TTS_WASM_DIR ?? join(root, 'build', 'wasm'));
const dist = join(root, 'dist');

for (const name of ['pocket_tts.mjs', 'pocket_tts.wasm']) {
  if (existsSync(join(wasm, name))) continue;
  console.error(`${join(wasm, name)} is missing: build the engine first (make build)`);
  process.exit(1);
}

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
for (const name of ['pocket_tts.mjs', 'pocket_tts.wasm']) copyFileSync(join(wasm, name), join(dist, name));
// Plain JavaScript as it is: the audio thread loads it by its address.
copyFileSync(join(root, 'web', 'player-worklet.js'), join(dist, 'player-worklet.js'));

// The module's script as browsers need it: bundled, so that a worker is one file that a bundler may copy as it is, and
// without what Node needs, which bundlers would look for. Nothing in it asks where it is: the package brings the engine.
const glue = await (async () => {
  const asked = /ENVIRONMENT_IS_NODE=typeof process==?="object"[^;]*;/;
  const text = readFileSync(join(wasm, 'pocket_tts.mjs'), 'utf8');
  if (!asked.test(text)) throw new Error('pocket_tts.mjs does not ask for Node as it did: see build.mjs');
  const { code } = await transform(text.replace(asked, 'NOT_NODE=0;').replaceAll('ENVIRONMENT_IS_NODE', 'false'), {
    define: { 'import.meta.url': '""' },
    minifySyntax: true,
    target: 'es2022',
  });
  for (const word of ['require(', 'import(', 'import.meta', 'process']) {
    if (code.includes(word)) throw new Error(`pocket_tts.mjs still has "${word}" in browsers: see build.mjs`);
  }
  return code;
})();

const common = {
  bundle: true,
  format: 'esm',
  target: 'es2022',
  outdir: dist,
  absWorkingDir: root,
  metafile: true,
  logLevel: 'warning',
};
const define = { PACKAGE_VERSION: JSON.stringify(version) };
const browser = {
  ...common,
  platform: 'browser',
  define: {
    ...define,
    STARTER_PACK: JSON.stringify(JSON.stringify(JSON.parse(readFileSync(join(root, 'models', 'starter', 'pack.json'), 'utf8')))),
  },
  plugins: [
    {
      name: 'glue',
      setup: ({ onResolve, onLoad }) => {
        onResolve({ filter: /\/pocket_tts\.mjs$/ }, ({ path }) => ({ path, namespace: 'glue' }));
        onLoad({ filter: /./, namespace: 'glue' }, () => ({ contents: glue }));
      },
    },
  ],
};
/** ./inline is the browser's entry with the engine, the worker and the worklet in it. */
const inline = async () => {
  const worker = await build({ ...browser, entryPoints: ['web/worker.ts'], format: 'iife', minify: true, write: false });
  const worklet = await transform(readFileSync(join(root, 'web', 'player-worklet.js'), 'utf8'), { minify: true });
  return build({
    ...browser,
    entryPoints: { inline: 'web/index.ts' },
    define: {
      ...browser.define,
      INLINE_WASM: JSON.stringify(deflateSync(readFileSync(join(wasm, 'pocket_tts.wasm')), { level: 9 }).toString('base64')),
      INLINE_WORKER: JSON.stringify(worker.outputFiles[0].text),
      INLINE_WORKLET: JSON.stringify(worklet.code),
    },
    plugins: [
      ...browser.plugins,
      {
        name: 'inline',
        setup: ({ onResolve }) => {
          onResolve({ filter: /^\.\/(assets|worklet)\.js$/ }, ({ path }) => ({
            path: join(root, 'web', path.replace('.js', '-inline.ts')),
          }));
        },
      },
    ],
  });
};
const results = [
  await build({ ...browser, entryPoints: ['web/index.ts', 'web/worker.ts'] }),
  await inline(),
  await build({
    ...common,
    define,
    entryPoints: ['web/node.ts', 'web/cli.ts', 'web/worker-node.ts'],
    platform: 'node',
    splitting: true,
    chunkNames: 'shared-[hash]',
    external: ['./pocket_tts.mjs', 'node:*'],
    // The ES module build: its Node build is CommonJS and asks for require().
    alias: { yaml: join(root, 'node_modules', 'yaml', 'browser', 'index.js') },
  }),
];

// The terms of what was bundled, and of what is compiled into the engine, travel with it.
const bundled = new Set(
  results
    .flatMap(({ metafile }) => Object.keys(metafile.inputs))
    .map((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1])
    .filter((name) => name !== undefined),
);
const notices = [...bundled].sort().map((name) => {
  const folder = join(root, 'node_modules', name);
  const licence = ['LICENSE', 'LICENSE.md', 'LICENCE', 'license'].map((file) => join(folder, file)).find(existsSync);
  if (licence === undefined) throw new Error(`${name}: no licence file to ship`);
  const { version: bundledVersion } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return `==== ${name} ${bundledVersion}\n\n${readFileSync(licence, 'utf8').trim()}\n`;
});
const vendored = join(root, 'wasm', 'third_party');
for (const path of readdirSync(vendored, { recursive: true }).sort()) {
  if (!/^LICEN[CS]E(\.(txt|md))?$/i.test(basename(path))) continue;
  const library = dirname(path).replace('/upstream', '').replace('/third_party', '');
  notices.push(`==== ${library}, in pocket_tts.wasm\n\n${readFileSync(join(vendored, path), 'utf8').trim()}\n`);
}
writeFileSync(join(dist, 'THIRD_PARTY_LICENSES.txt'), notices.join('\n'));

execFileSync(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', root], {
  stdio: 'inherit',
});
copyFileSync(join(root, 'web', 'pocket_tts.d.mts'), join(dist, 'types', 'pocket_tts.d.mts'));

for (const name of ['pocket_tts.wasm', 'pocket_tts.mjs', 'index.js', 'worker.js', 'inline.js', 'player-worklet.js', 'node.js', 'worker-node.js', 'cli.js']) {
  const bytes = readFileSync(join(dist, name));
  console.log(`dist/${name}: ${statSync(join(dist, name)).size} bytes, gzip ${gzipSync(bytes, { level: 9 }).length}`);
}
