#!/usr/bin/env node
// The parity check:  node tests/parity/parity.mjs [--host native|node|go] [--door PROGRAM] [--audio DIR] [--quiet] DIR
//
// DIR is what tests/reference/make_fixtures.py wrote (its --out root), one fixture of it, or a folder that holds such folders.
// Every golden found there is compared with this engine through one door; one line per check, and exit status 1 when one is out
// of its tolerance or when there was nothing to check. --door names another program that speaks PROTOCOL.md, such as the native
// door built with sanitizers; --audio is where the real recordings lie that golden.json names. `make parity DIR=... HOST=...`
// builds the door first.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Engine } from './engine.mjs';
import { Fixture } from './fixture.mjs';
import { checkFixture } from './model_checks.mjs';
import { openNodeDoor } from './node_door.mjs';
import { openRemoteDoor } from './remote_door.mjs';
import { Report } from './report.mjs';
import { checkAudio, checkJsonTokenizer, checkRandomNumbers, checkTexts } from './shared_checks.mjs';
import { checkStarter } from './starter_checks.mjs';

const REPOSITORY = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const GOLDEN = join(REPOSITORY, 'tests/golden');
const SEARCH_DEPTH = 2;

const DOORS = {
  native: () => openRemoteDoor(join(REPOSITORY, 'build/native/parity_door'), []),
  go: () => openRemoteDoor('go', ['run', './internal/paritydoor'], { cwd: join(REPOSITORY, 'wasi') }),
  node: () => openNodeDoor(),
};

const isFixture = (folder) => ['config.yaml', 'golden.json', 'golden.safetensors'].every((name) => existsSync(join(folder, name)));

function findFixtures(folder, depth = 0) {
  if (isFixture(folder)) return [folder];
  if (depth === SEARCH_DEPTH) return [];
  return readdirSync(folder).sort()
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isDirectory())
    .flatMap((path) => findFixtures(path, depth + 1));
}

async function checkAll(engine, report, root, audioFolder) {
  const fixtures = findFixtures(root);
  if (fixtures.length === 0) report.skip('fixtures', 'none in this folder');
  for (const folder of fixtures) await checkFixture(engine, report, new Fixture(folder), audioFolder);
  if (fixtures[0] === root) return; // one fixture: the rest belongs to its root
  const base = (name) => new Fixture(join(GOLDEN, 'fixtures', name));
  const bases = { small: base('lsd6'), large: base('lsd_2026_01') };
  await checkTexts(engine, report, join(root, 'text'), join(GOLDEN, 'tokenizers'), bases);
  await checkJsonTokenizer(engine, report, join(root, 'text'), bases.small);
  await checkRandomNumbers(engine, report, root);
  await checkAudio(engine, report, root);
  await checkStarter(engine, report, root, join(REPOSITORY, 'models/starter'));
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      host: { type: 'string', default: 'native' },
      door: { type: 'string' },
      audio: { type: 'string', default: join(GOLDEN, 'audio') },
      quiet: { type: 'boolean', default: false },
    },
  });
  const known = Object.hasOwn(DOORS, values.host) ? DOORS[values.host] : undefined;
  const openDoor = values.door === undefined ? known : () => openRemoteDoor(values.door, []);
  if (positionals.length !== 1 || openDoor === undefined) {
    console.error(`usage: parity.mjs [--host ${Object.keys(DOORS).join('|')}] [--door PROGRAM] [--audio DIR] [--quiet] DIR`);
    return 2;
  }
  const root = resolve(positionals[0]);
  if (!existsSync(root) || !statSync(root).isDirectory()) {
    console.error(`parity: ${root} is not a folder`);
    return 2;
  }
  const report = new Report((line) => { if (!values.quiet || !/^(ok|skip) /.test(line)) console.log(line); });
  const door = await openDoor();
  const engine = new Engine(door);
  const { door: host, version } = await engine.hello();
  await checkAll(engine, report, root, values.audio);
  await door.close();
  console.log(`parity through ${host} (engine ${version}): ${report.summary()}`);
  if (report.passed + report.out === 0) {
    console.error(`parity: there is nothing to check in ${root}`);
    return 1;
  }
  return report.out === 0 ? 0 : 1;
}

process.exitCode = await main();
