// A static server of the repository for the browser tests, with a content security policy that forbids eval. The package
// is there a second time without its worker (/lacking) and a third with an engine that traps (/trapping). Fixtures appear as
// packs: /packs/NAME/pack.json is made of the fields that tests/hosts/requests.json has for them.
import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { root } from '../node/support.mjs';
import { TYPES } from './common.mjs';

const POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'self'; img-src 'self'";

// A script of the package with an engine whose 20th block of decoding traps.
function trapping(script) {
  const text = readFileSync(script, 'utf8');
  const changed = text.replace(/(\w+)\((?=\{\s*instantiateWasm\()/, 'trapping($1)(');
  if (changed === text) throw new Error(`${script}: no call that starts the engine`);
  return `${changed}
  function trapping(create) {
    return async (settings) => {
      const door = await create(settings);
      const { decode } = door.Codec.prototype;
      let calls = 0;
      door.Codec.prototype.decode = function (...args) {
        if (++calls === 20) throw new WebAssembly.RuntimeError('unreachable');
        return decode.apply(this, args);
      };
      return door;
    };
  }`;
}

/** pack.json of a fixture, or undefined. */
function fixturePack(name) {
  const { models } = JSON.parse(readFileSync(join(root, 'tests', 'hosts', 'requests.json'), 'utf8'));
  const model = Object.hasOwn(models, name) ? models[name] : undefined;
  if (model?.config === undefined) return undefined;
  const file = (path, role, rest) => ({
    path: path.split('/').at(-1),
    role,
    bytes: statSync(join(root, path)).size,
    ...rest,
  });
  return {
    format: 1,
    name,
    config: model.config,
    files: [
      file(model.weights, 'weights'),
      file(model.tokenizer, 'tokenizer', { kind: model.tokenizerKind }),
      file(model.voice, 'voice', { name: 'fixture' }),
    ],
  };
}

/** Starts the server on a free port; the caller closes it. `isolated`: pages may share memory with their threads. */
export async function serve({ isolated = false } = {}) {
  const server = createServer((request, response) => {
    const asked = normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname));
    const [, variant, inner] = /^\/(lacking|trapping)(\/.*)$/.exec(asked) ?? [];
    const path = inner ?? asked;
    const send = (status, type, body) =>
      response.writeHead(status, { 'content-type': type, 'content-security-policy': POLICY }).end(body);
    if (variant === 'trapping' && path.endsWith('.js')) {
      send(200, TYPES['.js'], trapping(join(root, path)));
      return;
    }
    const [, fixture, name] = /^\/packs\/([a-z0-9_]+)\/(.+)$/.exec(path) ?? [];
    if (name === 'pack.json') {
      const pack = fixturePack(fixture);
      if (pack === undefined) send(404, 'text/plain', 'no such fixture');
      else send(200, TYPES['.json'], JSON.stringify(pack));
      return;
    }
    const file = join(root, fixture === undefined ? path : join('tests', 'golden', 'fixtures', fixture, name));
    if (path === '/favicon.ico') send(204, 'image/x-icon');
    else if (variant === 'lacking' && path.endsWith('worker.js')) send(404, 'text/plain', 'no worker');
    else if (!file.startsWith(root) || !existsSync(file) || !statSync(file).isFile())
      send(404, 'text/plain', `${path}: no such file`);
    else {
      response.writeHead(200, {
        'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
        'content-length': statSync(file).size,
        'content-security-policy': POLICY,
        ...(isolated
          ? { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' }
          : {}),
      });
      createReadStream(file).pipe(response);
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}
