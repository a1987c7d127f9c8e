// The same request, the same samples as in every other host: see tests/hosts/README.md.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { speak } from '../hosts/speak.mjs';
import { root } from './support.mjs';

const read = (name) => JSON.parse(readFileSync(join(root, 'tests', 'hosts', name), 'utf8'));
const document = read('requests.json');
const expected = read('expected.json');

for (const request of document.requests) {
  test(`Node: ${request.name}`, async () => {
    assert.deepEqual(await speak(document, request), expected[request.name]);
  });
}
