// Builds the demo and the reader, each a folder of static files that needs nothing beside it: build/pages/{demo,reader}.
// They import the package as everybody does; it lies in each as it is published.
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { POLICY } from './serve.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Files of dist that only Node wants, or only those who ask for them by name. */
const NOT_FOR_PAGES = /^(?:types|node\.js|cli\.js|worker-node\.js|shared-.*|inline.*|.*\.map|\.ok)$/;

/** The package for browsers, as an import of one file of it. */
const packageBeside = {
  name: 'package-beside',
  setup({ onResolve }) {
    onResolve({ filter: /^pocket-tts-wasm$/ }, () => ({ path: './package/dist/index.js', external: true }));
  },
};

function copyPackage(folder) {
  const dist = join(root, 'dist');
  if (!existsSync(join(dist, 'index.js'))) throw new Error(`${join(dist, 'index.js')} is missing: build the package first (make web)`);
  for (const name of readdirSync(dist)) {
    if (!NOT_FOR_PAGES.test(name)) cpSync(join(dist, name), join(folder, 'dist', name), { recursive: true });
  }
  for (const name of ['LICENSE', 'pack.json', 'model.safetensors', 'tokenizer.model', 'voices']) {
    cpSync(join(root, 'models', 'starter', name), join(folder, 'models', 'starter', name), { recursive: true });
  }
  for (const name of ['LICENSE', 'NOTICE']) cpSync(join(root, name), join(folder, name));
}

/** The terms of the libraries that `metafile` says were bundled. */
function licences(metafile) {
  const names = Object.keys(metafile.inputs).flatMap((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []);
  return [...new Set(names)].sort().map((name) => {
    const folder = join(root, 'node_modules', name);
    const file = readdirSync(folder).find((each) => /^licen[sc]e(?:\.(?:md|txt))?$/i.test(each));
    if (file === undefined) throw new Error(`${name}: no licence file to ship`);
    const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    return `==== ${name} ${version}\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`;
  });
}

function filesBelow(folder, prefix = '') {
  return readdirSync(folder)
    .sort()
    .flatMap((name) =>
      statSync(join(folder, name)).isDirectory() ? filesBelow(join(folder, name), `${prefix}${name}/`) : [`${prefix}${name}`],
    );
}

const common = { bundle: true, format: 'esm', target: 'es2022', minify: true, logLevel: 'warning', absWorkingDir: root };

/** Writes the service worker of a folder for all that is in it. */
export async function addServiceWorker(folder) {
  const name = 'service-worker.js';
  const files = filesBelow(folder)
    .filter((path) => path !== name)
    .map((path) => ({ path, integrity: `sha256-${createHash('sha256').update(readFileSync(join(folder, path))).digest('base64')}` }));
  const version = createHash('sha256').update(JSON.stringify(files)).digest('hex').slice(0, 16);
  await build({
    ...common,
    entryPoints: ['web/reader/offline/service-worker.ts'],
    outfile: join(folder, name),
    format: 'iife',
    define: { FILES: JSON.stringify(files), VERSION: JSON.stringify(version) },
  });
}

/** Builds both pages into `out`, which is emptied. */
export async function buildPages(out) {
  rmSync(out, { recursive: true, force: true });
  for (const page of ['demo', 'reader']) {
    const folder = join(out, page);
    const from = join(root, 'web', page);
    mkdirSync(folder, { recursive: true });
    const { metafile } = await build({
      ...common,
      entryPoints: [join(from, 'main.ts'), join(from, 'style.css')],
      outdir: folder,
      plugins: [packageBeside],
      legalComments: 'none',
      metafile: true,
    });
    // The policy is part of the page, too: a plain static host sends none. (Frames cannot be forbidden there.)
    const policy = POLICY.replace(/; frame-ancestors [^;]*/, '');
    const html = readFileSync(join(from, 'index.html'), 'utf8');
    writeFileSync(join(folder, 'index.html'), html.replace('<meta charset="utf-8">', `$&\n<meta http-equiv="Content-Security-Policy" content="${policy}">`));
    for (const name of ['icon.svg', 'icon-180.png', 'icon-512.png', 'manifest.webmanifest']) {
      const file = join(root, 'web', page === 'demo' && name !== 'icon.svg' ? 'demo' : 'reader', name);
      if (existsSync(file)) cpSync(file, join(folder, name));
    }
    writeFileSync(join(folder, 'licenses.txt'), licences(metafile).join('\n'));
    copyPackage(join(folder, 'package'));
  }
  await addServiceWorker(join(out, 'reader'));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildPages(join(root, 'build', 'pages'));
