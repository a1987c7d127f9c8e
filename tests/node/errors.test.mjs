// docs/errors: a page for every code, with what the engine and Go call it.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { build } from 'esbuild';
import { root } from './support.mjs';

const folder = join(root, 'docs', 'errors');
const { outputFiles } = await build({ entryPoints: [join(root, 'web', 'errors.ts')], bundle: true, format: 'esm', write: false });
const { ENGINE_CODES, HOST_CODES } = await import(
  `data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`
);
const codes = [...ENGINE_CODES, ...HOST_CODES];

test('every code has its page, and there are no others', () => {
  assert.deepEqual(readdirSync(folder).sort(), [...codes.map((code) => `${code}.md`), 'README.md'].sort());
  const listed = [...readFileSync(join(folder, 'README.md'), 'utf8').matchAll(/^\| \[([a-z-]+)\]\(([a-z-]+)\.md\)/gm)];
  assert.deepEqual(listed.map(([, code]) => code), codes);
  assert.ok(listed.every(([, code, file]) => code === file));
  assert.match(readFileSync(join(root, 'README.md'), 'utf8'), /\]\(docs\/errors\)/);
});

test('a page says what, why and what to do; statuses are those of the header, Go names those of its package', () => {
  const header = readFileSync(join(root, 'wasm', 'engine', 'pocket_tts.h'), 'utf8');
  const go = readFileSync(join(root, 'wasi', 'errors.go'), 'utf8');
  for (const code of codes) {
    const page = readFileSync(join(folder, `${code}.md`), 'utf8');
    assert.match(page, new RegExp(`^# ${code}\n\n\\S[^]+\n\n## Cause\n\n- \\S[^]+\n\n## Fix\n\n- \\S[^]+\n$`), code);
    const [, name, status] = /^`(PTTS_ERROR_\w+)` \((-\d+)\) of the engine\./m.exec(page) ?? [];
    assert.equal(name !== undefined, ENGINE_CODES.includes(code), code);
    if (name !== undefined) {
      assert.equal(name, `PTTS_ERROR_${code.toUpperCase().replaceAll('-', '_')}`);
      assert.match(header, new RegExp(`\\b${name} = ${status}\\b`));
    }
    for (const [, sentinel] of page.matchAll(/`(Err\w+)`/g)) assert.match(go, new RegExp(`^\t${sentinel} +=`, 'm'), code);
    for (const [, link] of page.matchAll(/\]\(([^)]+)\)/g)) readFileSync(join(folder, link));
  }
});
