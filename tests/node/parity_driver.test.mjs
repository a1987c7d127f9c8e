// The parity driver must be able to fail: against doors made for it, without an engine.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { largestDeviation, Report } from '../parity/report.mjs';

const DRIVER = join(dirname(fileURLToPath(import.meta.url)), '../parity/parity.mjs');
const DRAWS = [0.25, -1.5, 3, 0];

let folder;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'parity-'));
});
after(() => rmSync(folder, { recursive: true }));

/** A root with one golden: four normals of seed 7. */
function writeGoldens(name, values = DRAWS) {
  const path = join(folder, name);
  const golden = {
    shapes: [[1, values.length]],
    runs: [{ seed: 7, kind: 'normal', temp: 1, clamp: null, values: [values] }],
  };
  mkdirSync(path);
  writeFileSync(join(path, 'rng_golden.json'), JSON.stringify(golden));
  return path;
}

/** A door whose `normals` are DRAWS with `change` applied, whatever is asked. It answers in small pieces. */
function writeDoor(name, change) {
  const path = join(folder, name);
  writeFileSync(
    path,
    `#!/usr/bin/env node
const write = (bytes) => { for (const byte of bytes) process.stdout.write(Buffer.from([byte])); };
process.stdin.on('data', (data) => {
  for (const line of data.toString('latin1').split('\\n')) {
    if (!line.startsWith('{')) continue;
    const { id, verb } = JSON.parse(line);
    const change = ${change};
    const payload = Buffer.from(new Float32Array(${JSON.stringify(DRAWS)}.map(change)).buffer);
    const answer = verb === 'hello' ? { id, door: 'fake', version: '0' }
      : verb === 'normals' ? { id, bytes: [payload.length] }
      : { id, error: { status: 0, name: 'UNSUPPORTED', message: verb } };
    write(Buffer.from(JSON.stringify(answer) + '\\n'));
    if (verb === 'normals') write(payload);
  }
});
`,
  );
  chmodSync(path, 0o755);
  return path;
}

const run = (...args) => spawnSync(process.execPath, [DRIVER, ...args], { encoding: 'utf8' });

test('agreement is exit status 0', () => {
  const { status, stdout, stderr } = run('--door', writeDoor('same', '(x) => x'), writeGoldens('agreement'));
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, /1 checks: 1 within tolerance, 0 out/);
});

test('a deviation just over the tolerance is exit status 1, and is named', () => {
  const { status, stdout } = run('--door', writeDoor('off', '(x) => x + 1.5e-6'), writeGoldens('deviation'));
  assert.equal(status, 1);
  assert.match(stdout, /^OUT {3}rng {2}seed 7 normal 1 \[4\] +1\.\d+e-6 of 1e-6/m);
});

test('a NaN is out', () => {
  assert.equal(run('--door', writeDoor('nan', '() => NaN'), writeGoldens('nan-root')).status, 1);
});

test('nothing to check is a failure', () => {
  const empty = join(folder, 'empty');
  mkdirSync(empty);
  const { status, stderr } = run('--door', writeDoor('unused', '(x) => x'), empty);
  assert.equal(status, 1);
  assert.match(stderr, /nothing to check/);
});

test('a missing folder and an unknown host are usage errors', () => {
  assert.equal(run(join(folder, 'nowhere')).status, 2);
  assert.equal(run('--host', 'toString', folder).status, 2);
});

test('a door that dies is an error, not a hang', () => {
  const path = join(folder, 'dies');
  writeFileSync(path, '#!/bin/sh\nexit 3\n');
  chmodSync(path, 0o755);
  const { status, stderr } = run('--door', path, writeGoldens('dead'));
  assert.notEqual(status, 0);
  assert.match(stderr, /exit status 3/);
});

test('deviations: sizes, NaN and infinity', () => {
  assert.equal(largestDeviation([1, 2], [1, 2.5]), 0.5);
  assert.equal(largestDeviation([1], [1, 2]), Infinity);
  assert.equal(largestDeviation(undefined, [1]), Infinity);
  assert.equal(largestDeviation([NaN], [1]), Infinity);
  assert.equal(largestDeviation([NaN], [NaN]), 0);
  assert.equal(largestDeviation([Infinity], [1]), Infinity);
  const report = new Report(() => {});
  report.near('x', [Infinity], [Infinity], 1);
  report.equal('y', [1], [2]);
  assert.equal(report.out, 2);
});
