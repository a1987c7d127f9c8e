// Our package in Node: node node_host.mjs JOB   (JSON, see bench.mjs)
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { measureOurs } from './ours.mjs';

const dist = process.env.BENCH_DIST ?? fileURLToPath(new URL('../../dist/', import.meta.url));
const { PocketTTS } = await import(pathToFileURL(join(dist, 'node.js')).href);

const result = await measureOurs(JSON.parse(process.argv[2]), {
  PocketTTS,
  createDoor: async () => (await import(pathToFileURL(join(dist, 'pocket_tts.mjs')).href)).default(),
  pack: (path) => path,
  read: async (path) => new Uint8Array(await readFile(path)),
  now: () => performance.now(),
  heapBytes: () => {
    globalThis.gc?.();
    return process.memoryUsage().heapUsed;
  },
  first: () => console.log('FIRST'),
  measured: () => ({
    peak_bytes: Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024,
  }),
});
console.log(JSON.stringify({ ...result, versions: { node: process.version, v8: process.versions.v8 } }));
