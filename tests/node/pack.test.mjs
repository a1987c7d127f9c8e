// pack.json: what it must say, and files that are not what it says.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { PocketTTS } from '../../dist/node.js';
import { refused, starter, temporary } from './support.mjs';

const BYTES = statSync(join(starter, 'model.safetensors')).size;

/** A copy of the starter pack, its manifest changed. */
function copy(t, change = () => undefined) {
  const folder = temporary(t);
  for (const path of ['model.safetensors', 'tokenizer.model', 'voices'])
    cpSync(join(starter, path), join(folder, path), { recursive: true });
  const pack = JSON.parse(readFileSync(join(starter, 'pack.json'), 'utf8'));
  writeFileSync(join(folder, 'pack.json'), JSON.stringify(change(pack) ?? pack));
  return folder;
}

test('the manifest is checked field by field', async (t) => {
  const cases = [
    [
      (p) => {
        p.format = 2;
      },
      /format.*expected 1.*found 2/,
    ],
    [
      (p) => {
        delete p.name;
      },
      /name/,
    ],
    [
      (p) => {
        delete p.config;
      },
      /config/,
    ],
    [
      (p) => {
        p.files = {};
      },
      /files/,
    ],
    [
      (p) => {
        p.files[0].path = '../secret';
      },
      /files\[0\]\.path.*inside the pack/,
    ],
    [
      (p) => {
        p.files[0].path = '/etc/passwd';
      },
      /files\[0\]\.path/,
    ],
    [
      (p) => {
        p.files[0].path = 'http://elsewhere/model';
      },
      /files\[0\]\.path/,
    ],
    [
      (p) => {
        p.files[0].role = 'payload';
      },
      /files\[0\]\.role/,
    ],
    [
      (p) => {
        p.files[0].bytes = -1;
      },
      /files\[0\]\.bytes/,
    ],
    [
      (p) => {
        p.files[0].sha256 = 'abc';
      },
      /files\[0\]\.sha256/,
    ],
    [
      (p) => {
        delete p.files[2].name;
      },
      /files\[2\]\.name/,
    ],
    [
      (p) => {
        p.default_voice = 'nobody';
      },
      /default_voice.*nobody/,
    ],
    [
      (p) => {
        p.precision = 'q5';
      },
      /precision/,
    ],
    ...['./model.safetensors', 'a//b', 'a/', '.', 'a\\b', 'c:model'].map((path) => [
      (p) => {
        p.files[0].path = path;
      },
      /files\[0\]\.path.*inside the pack/,
    ]),
    [
      (p) => {
        p.files[0].sha256 = null;
      },
      /files\[0\]\.sha256.*found null/,
    ],
    [
      (p) => {
        p.files.push(p.files[1]);
      },
      /one tokenizer/,
    ],
    [
      (p) => {
        p.files.push(p.files[2]);
      },
      /files\[3\]\.name: expected a name that no other voice has, found "slt"/,
    ],
    [
      (p) => {
        p.cloning = { available: 'no' };
      },
      /cloning\.available/,
    ],
    [
      (p) => {
        p.description = 5;
      },
      /description.*expected a string.*found 5/,
    ],
    [
      (p) => {
        p.format = { constructor: null };
      },
      /format: expected 1, found an object/,
    ],
    [
      (p) => {
        p.name = '';
      },
      /name: expected a string of at least one character, found ""/,
    ],
    [() => [], /object.*array/],
  ];
  for (const [change, message] of cases) await refused(PocketTTS.load({ pack: copy(t, change) }), 'pack', message);
});

test('a pack.json that is not there, not JSON, or a web page', async (t) => {
  await refused(PocketTTS.load({ pack: '/nowhere' }), 'not-found', /pack\.json/);
  const folder = copy(t);
  writeFileSync(join(folder, 'pack.json'), '{"format":');
  await refused(PocketTTS.load({ pack: folder }), 'pack', /JSON/);
  const good = readFileSync(join(starter, 'pack.json'));
  const bad = Buffer.from(good);
  bad[good.indexOf('starter')] = 0xff;
  writeFileSync(join(folder, 'pack.json'), bad);
  await refused(PocketTTS.load({ pack: folder }), 'pack', /pack\.json: expected UTF-8, found other bytes/);
  // A byte order mark is skipped.
  writeFileSync(join(folder, 'pack.json'), Buffer.concat([Buffer.from('\ufeff'), good]));
  await (await PocketTTS.load({ pack: folder })).dispose();
  writeFileSync(join(folder, 'pack.json'), '<!doctype html>');
  await refused(PocketTTS.load({ pack: folder }), 'pack', /HTML/);
});

test('a key that is there twice', async (t) => {
  const folder = copy(t);
  const text = readFileSync(join(folder, 'pack.json'), 'utf8');
  for (const [extra, found] of [
    ['"format":1,', 'format'],
    ['"later":[{"a":1,"b":{"a":1}},{"a":"\\"a\\":","\\u0061":2}],', 'a'],
    ['"later":{"a":1,"b":["a",{"a":1}],"c":"\\\\"},', undefined],
  ]) {
    writeFileSync(join(folder, 'pack.json'), text.replace('{', `{${extra}`));
    if (found === undefined) await (await PocketTTS.load({ pack: folder })).dispose();
    else await refused(PocketTTS.load({ pack: folder }), 'pack', new RegExp(`pack\\.json: expected every key once, found "${found}" twice`));
  }
});

test('a configuration that is nested without end', async (t) => {
  const folder = copy(t);
  const text = readFileSync(join(folder, 'pack.json'), 'utf8');
  const deep = 200000;
  writeFileSync(
    join(folder, 'pack.json'),
    text.replace('"config":{', `"config":{"deep":${'['.repeat(deep)}${']'.repeat(deep)},`),
  );
  await refused(PocketTTS.load({ pack: folder }), 'pack', /pack\.json: expected at most 10000 levels of nesting, found more$/);
  // Brackets in strings, and what a later version may add, nested less deeply.
  const later = `"later":${'['.repeat(9999)}"]\\"[${'{'.repeat(20000)}"${']'.repeat(9999)},`;
  writeFileSync(join(folder, 'pack.json'), text.replace('"config":{', `${later}"config":{`));
  await (await PocketTTS.load({ pack: folder })).dispose();
});

test('files that are not what the manifest says', async (t) => {
  const cases = [
    [
      (p) => {
        p.files[0].bytes += 1;
      },
      new RegExp(`model\\.safetensors: expected ${BYTES + 1} bytes, found ${BYTES}`),
    ],
    [
      (p) => {
        p.files[0].sha256 = '0'.repeat(64);
      },
      /model\.safetensors: expected sha256 0{64}, found [0-9a-f]{64}/,
    ],
    [
      (p) => {
        p.files[1].sha256 = '0'.repeat(64);
      },
      /tokenizer\.model: expected sha256/,
    ],
    [
      (p) => {
        p.files[2].sha256 = '0'.repeat(64);
      },
      /slt\.safetensors: expected sha256/,
    ],
  ];
  for (const [change, message] of cases) await refused(PocketTTS.load({ pack: copy(t, change) }), 'pack', message);
  const folder = copy(t);
  const path = join(folder, 'model.safetensors');
  const bytes = readFileSync(path);
  bytes[bytes.length - 5] ^= 1;
  writeFileSync(path, bytes);
  await refused(PocketTTS.load({ pack: folder }), 'pack', /sha256/);
  await refused(
    PocketTTS.load({
      pack: copy(t, (p) => {
        p.files[0].path = 'gone.safetensors';
      }),
    }),
    'not-found',
    /gone/,
  );
});

test('small files are refused by their size, before they are read', async (t) => {
  for (const [i, path] of [
    [1, 'tokenizer.model'],
    [2, 'voices/slt.safetensors'],
  ]) {
    const folder = copy(t, (p) => {
      delete p.files[i].bytes;
      delete p.files[i].sha256;
    });
    truncateSync(join(folder, path), 2 ** 40);
    await refused(
      PocketTTS.load({ pack: folder }),
      'pack',
      new RegExp(`${path}: expected at most 67108864 bytes, found ${2 ** 40}$`),
    );
  }
});

test('links that lead out of a pack, and files that are none', async (t) => {
  const folder = join(temporary(t), 'pack');
  cpSync(starter, folder, { recursive: true, filter: (path) => !path.includes('training') });
  const tokenizer = join(folder, 'tokenizer.model');
  // A link inside the pack is as good as the file.
  renameSync(tokenizer, join(folder, 'kept'));
  symlinkSync('kept', tokenizer);
  await (await PocketTTS.load({ pack: folder })).dispose();
  rmSync(tokenizer);
  symlinkSync(join(starter, 'tokenizer.model'), tokenizer);
  await refused(PocketTTS.load({ pack: folder }), 'pack', /leads out of the pack/);
  rmSync(tokenizer);
  execFileSync('mkfifo', [tokenizer]);
  await refused(PocketTTS.load({ pack: folder }), 'pack', /expected a plain file, found a FIFO/);
});

test('a pack over HTTP, and servers that misbehave', async (t) => {
  let misbehave = '';
  const asked = new Set();
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url.replace(/^\/voice\//, ''));
    asked.add(path);
    if (misbehave === 'missing') response.writeHead(404).end();
    else if (misbehave === 'broken') response.writeHead(500).end();
    else if (misbehave !== '' && !['cut', 'short'].includes(misbehave)) {
      const manifest = JSON.parse(readFileSync(join(starter, 'pack.json'), 'utf8'));
      manifest.files[1].path = misbehave;
      if (path === 'pack.json') response.end(JSON.stringify(manifest));
      else response.writeHead(404).end();
    } else {
      const bytes = readFileSync(join(starter, path));
      if (misbehave === 'cut' && path === 'model.safetensors') {
        response.writeHead(200, { 'content-length': bytes.length });
        response.write(bytes.subarray(0, 100000), () => response.destroy());
      } else if (misbehave === 'short' && path === 'model.safetensors') response.end(bytes.subarray(0, 100000));
      else response.end(bytes);
    }
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => server.close());
  const pack = `http://127.0.0.1:${server.address().port}/voice`;
  const tts = await PocketTTS.load({ pack });
  const here = await PocketTTS.load();
  assert.deepEqual((await tts.generate('Yes.')).samples, (await here.generate('Yes.')).samples);
  await tts.dispose();
  await here.dispose();
  // Whatever a name looks like to a URL, it is asked for as it stands.
  for (const name of ['%2e%2e/%2e%2e/secret', 'a?b#c', '100%', 'ä \ud800']) {
    misbehave = name;
    await refused(PocketTTS.load({ pack, cache: 'none' }), 'not-found', /404/);
    assert.ok(asked.has(name.replace('\ud800', '\ufffd')), name);
  }
  misbehave = 'missing';
  await refused(PocketTTS.load({ pack, cache: 'none' }), 'not-found', /404/);
  misbehave = 'broken';
  await refused(PocketTTS.load({ pack, cache: 'none' }), 'network', /500/);
  misbehave = 'cut';
  await refused(PocketTTS.load({ pack, cache: 'none' }), 'network', /broke off/);
  misbehave = 'short';
  await refused(PocketTTS.load({ pack, cache: 'none' }), 'pack', new RegExp(`expected ${BYTES} bytes, found 100000`));
  server.close();
  await refused(PocketTTS.load({ pack: 'http://127.0.0.1:1/voice' }), 'network');
});
