// scripts/test.sh, which runs all the tests: what fails makes it fail and is shown. Here with programs that only say how they
// were called, and fail or wait where they are told to.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { root, temporary } from './support.mjs';

const ALL = ['asan', 'browsers', 'bundlers', 'callers', 'capi', 'go', 'native', 'node', 'openai', 'parity', 'race'];
const PROGRAMS = ['bin/cmake', 'bin/cmp', 'bin/go', 'bin/make', 'bin/node', 'bin/npm', 'build/native/engine_tests', 'build/native-asan/engine_tests', 'build/native-asan/capi_tests', 'scripts/capi.sh', 'scripts/lint.sh', 'scripts/setup.sh'];
const SAYS = `#!/bin/bash
call="\${0##*/} $*"
echo "this is $call"
if [ "$call" = "$WAIT" ]; then echo $$ > waits; exec sleep 60; fi
[ "$call" != "$FAIL" ]
`;

/** Runs it with sections. `fail`, `wait`: the call that does. */
function run(t, sections, { fail = '', wait = '', ...env } = {}) {
  const folder = temporary(t);
  for (const path of [...PROGRAMS, 'wasi/go.mod', 'tests/openai/go.mod', 'tests/callers/go.mod']) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), SAYS, { mode: 0o755 });
  }
  copyFileSync(join(root, 'scripts', 'test.sh'), join(folder, 'scripts', 'test.sh'));
  const child = spawn('bash', ['scripts/test.sh', ...sections], {
    cwd: folder,
    env: { ...process.env, PATH: `${join(folder, 'bin')}:${process.env.PATH}`, GO: 'go', JOBS: '2', FAIL: fail, WAIT: wait, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (data) => (said.out += data));
  child.stderr.setEncoding('utf8').on('data', (data) => (said.err += data));
  const passed = () => [...said.out.matchAll(/^([a-z-]+): passed, \d+ s$/gm)].map(([, name]) => name);
  const log = (name) => join(folder, 'build', 'tests', `${name}.log`);
  return { folder, child, said, passed, log, done: once(child, 'close').then(([code]) => code) };
}

test('all of them, each in a line; with lint where it is asked for', async (t) => {
  const made = ['make-guest', 'make-native', 'make-native-asan', 'make-web', 'set-up'];
  const all = run(t, []);
  assert.equal(await all.done, 0, all.said.err);
  assert.deepEqual(all.passed().sort(), [...ALL, ...made].sort());
  // What is set up speaks for itself, and there is a last line.
  assert.equal(all.said.out.trim().split('\n').length, 1 + made.length + ALL.length + 1, all.said.out);
  assert.equal(readFileSync(all.log('parity'), 'utf8').match(/^this is node .*--host (native|node|go)/gm).length, 3);
  const linted = run(t, ['--lint']);
  assert.equal(await linted.done, 0, linted.said.err);
  assert.deepEqual(linted.passed().sort(), [...ALL, ...made, 'lint', 'make-native-tree'].sort());
});

test('some of them, with what they need; one that there is not', async (t) => {
  const some = run(t, ['node', 'native']);
  assert.equal(await some.done, 0, some.said.err);
  assert.deepEqual(some.passed().sort(), ['make-native', 'make-web', 'native', 'node', 'set-up']);
  const none = run(t, ['node', 'nodes']);
  assert.equal(await none.done, 2);
  assert.match(none.said.err, /^No section "nodes"\. There are:\nbrowsers /);
  assert.deepEqual(none.passed(), []);
});

test('a section that fails makes all of it fail, is shown, and nothing more is started', async (t) => {
  for (const [sections, fail, name] of [
    [['node', 'native'], 'npm test --silent', 'node'],
    // In the middle of a section: what is behind it does not make it good.
    [['native'], 'engine_tests --gtest_brief=1', 'native'],
    [['parity'], 'node tests/parity/parity.mjs --quiet --host node tests/golden', 'parity'],
    [['go'], 'go test ./...', 'go'],
    [['lint'], 'lint.sh ', 'lint'],
  ]) {
    const broken = run(t, sections, { fail, JOBS: '1' });
    assert.equal(await broken.done, 1, fail);
    assert.match(broken.said.out, new RegExp(`^${name}: FAILED after \\d+ s; build/tests/${name}\\.log:\n[^]*this is ${fail}\n---- ${name}: FAILED, exit status 1$`, 'm'));
    assert.match(broken.said.err, new RegExp(`^Failed after \\d+ s: ${name}$`, 'm'));
    if (sections.length > 1) assert.equal(existsSync(broken.log('native')), false);
  }
});

test('what cannot be made, or set up, ends it before any section', async (t) => {
  for (const [fail, text] of [
    ['make native-asan', /^make-native-asan: FAILED/m],
    ['cmp build/wasi/pocket_tts.wasm wasi/internal/guest/pocket_tts.wasm', /is not what these sources build: run 'make guest'/],
    ['setup.sh --tests', /^/],
  ]) {
    const broken = run(t, [], { fail });
    assert.equal(await broken.done, 1, fail);
    assert.match(broken.said.out, text);
    for (const name of ALL) assert.equal(existsSync(broken.log(name)), false, `${fail}: ${name}`);
  }
});

test('a signal ends what runs', async (t) => {
  const waiting = run(t, ['node'], { wait: 'npm test --silent' });
  const waits = join(waiting.folder, 'waits');
  for (let i = 0; i < 1000 && (!existsSync(waits) || readFileSync(waits, 'utf8') === ''); i++) await setTimeout(10);
  const pid = Number(readFileSync(waits, 'utf8'));
  process.kill(pid, 0);
  waiting.child.kill('SIGTERM');
  assert.notEqual(await waiting.done, 0);
  // A moment until it is gone.
  const alive = () => existsSync(`/proc/${pid}`) && !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  for (let i = 0; i < 200 && alive(); i++) await setTimeout(10);
  assert.equal(alive(), false);
});
