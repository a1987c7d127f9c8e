// One job of the benchmark in a browser's page. The server hears of the end of what counts for the peak of memory, and of
// the result.
import { measureOurs } from './ours.mjs';
import { measureOrt } from './ort_web.mjs';

const job = JSON.parse(new URL(document.location).searchParams.get('job'));
let firstMs;
const read = async (path) => {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: HTTP status ${response.status}`);
  return response.arrayBuffer();
};
const common = {
  now: () => performance.now(),
  heapBytes: () => performance.memory?.usedJSHeapSize ?? null, // Chromium only
  /** Navigation to the first sound. */
  first: () => {
    firstMs = performance.now();
  },
  measured: async () => (await fetch('../../measured')).json(),
};

async function ours() {
  const { PocketTTS } = await import('../../dist/index.js');
  return measureOurs(job, {
    ...common,
    PocketTTS,
    createDoor: async () => (await import('../../dist/pocket_tts.mjs')).default(),
    pack: (path) => `${path}/`,
    read: async (path) => new Uint8Array(await read(path)),
  });
}

async function onnx() {
  const ort = await import('../../ort/ort.wasm.min.mjs');
  ort.env.wasm.numThreads = job.threads;
  ort.env.wasm.wasmPaths = new URL('../../ort/', document.location).href;
  const result = await measureOrt(job, { ...common, ort, read: (name) => read(`${job.pack}/onnx/${name}`) });
  return { ...result, threads: ort.env.wasm.numThreads, isolated: self.crossOriginIsolated };
}

const result = await (job.engine === 'onnxruntime-web' ? onnx() : ours()).catch((error) => ({
  error: error.stack ?? String(error),
}));
const body = JSON.stringify({ ...result, load_ms: firstMs });
document.querySelector('pre').textContent = body;
await fetch('../../result', { method: 'POST', body });
