// Loads the pack in the folder argv[2] with the precision argv[3] in argv[4] instances, speaks eight frames, and prints
// what it took.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PocketTTS } from '../../dist/node.js';

const [, , folder, precision, instances] = process.argv;
const started = performance.now();
const tts = await PocketTTS.load({
  config: join(folder, 'config.yaml'),
  precision,
  instances: Number(instances),
  voice: new Uint8Array(readFileSync(join(folder, 'voice.safetensors'))),
});
const seconds = (performance.now() - started) / 1000;
let frames = 0;
for await (const { samples } of tts.stream('The quick brown fox jumps over the lazy dog.')) {
  if (!samples.every(Number.isFinite)) throw new Error('a sample is not a number');
  if (++frames === 8) break;
}
const { weightBytes: weights } = tts.info;
// maxRSS is in kilobytes.
console.log(JSON.stringify({ frames, weights, seconds, peak: process.resourceUsage().maxRSS * 1024 }));
