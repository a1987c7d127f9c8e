// The public types, as strict projects check them: nothing in them is skipped, and no library is there that is not named.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, temporary } from './support.mjs';

const BOTH = `
import { PocketTTS, PocketTTSError } from 'pocket-tts-wasm';
import type { ErrorCode, Frame, LoadOptions, PlayOptions, Speech } from 'pocket-tts-wasm';

const options: LoadOptions = { precision: 'q8', idleTimeout: 10, onProgress: ({ loaded }) => { const bytes: number = loaded; void bytes; } };
const tts = await PocketTTS.load(options);
const speech: Speech = await tts.generate('Hello.', { signal: AbortSignal.timeout(1000) });
const wav: Uint8Array = speech.toWav();
const size: number = speech.toBlob().size;
for await (const frame of tts.stream('Hello.')) { const one: Frame = frame; void one.samples.length; }
const reader = tts.stream('Hello.').toReadableStream().getReader();
const value: Frame | undefined = (await reader.read()).value;
const player = tts.play('Hello.', { rate: 2 } satisfies PlayOptions);
await player.finished;
const code: ErrorCode = new PocketTTSError('argument', '').code;
// @ts-expect-error: not everything is allowed
await tts.generate(5);
// @ts-expect-error: nor is any name
await PocketTTS.load({ precison: 'q8' });
await using other = await PocketTTS.load();
void [wav, size, value, code, other];
`;
const IN_BROWSERS = `
await tts.play('Hello.', { context: new AudioContext(), destination: new GainNode(new AudioContext()) }).finished;
// @ts-expect-error: the DOM library is there, and its types hold
tts.play('Hello.', { context: 5 });
`;
const STRICT = { target: 'ES2022', strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: false, noEmit: true };

for (const [name, options, source] of [
  ['Node without the DOM library', { module: 'NodeNext', lib: ['ES2022', 'ESNext.Disposable'], types: ['node'] }, BOTH],
  ['Node with it', { module: 'NodeNext', lib: ['ES2022', 'ESNext.Disposable', 'DOM'], types: ['node'] }, BOTH + IN_BROWSERS],
  ['a page without the types of Node', { module: 'ESNext', moduleResolution: 'bundler', lib: ['ES2022', 'ESNext.Disposable', 'DOM', 'DOM.Iterable'], types: [] }, BOTH + IN_BROWSERS],
]) {
  test(`${name}: tsc has no complaint, also of the package's own files`, async (t) => {
    const folder = temporary(t);
    const modules = join(folder, 'node_modules');
    mkdirSync(modules);
    symlinkSync(root, join(modules, 'pocket-tts-wasm'), 'dir');
    for (const each of ['@types', 'undici-types']) symlinkSync(join(root, 'node_modules', each), join(modules, each), 'dir');
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    writeFileSync(join(folder, 'main.ts'), source);
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: { ...STRICT, ...options }, include: ['main.ts'] }));
    const said = await new Promise((resolve) => {
      execFile(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', folder], (_, stdout) => resolve(stdout));
    });
    assert.equal(said, '');
  });
}
