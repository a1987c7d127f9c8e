// Where the time goes, by part of the model and kind of work: perf on the native engine, every sample judged by its call
// stack. Needs perf (Debian: linux-perf) and the permission to use it.
import { execFileSync, spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';

/** The part of the model: the first that matches a function on the stack. */
const PARTS = [
  ['flow net', /FlowNet::/],
  ['convolutions', /Seanet::|Conv1d::|ConvTranspose1d::|Window::/],
  ['transformer', /Transformer::/],
];
/** The kind of work: that of the innermost function that has one. */
const KINDS = [
  ['products', /gemm|gemv|Matrix::(product|apply)/],
  ['attention', /attend/],
  ['quantising', /quantize/],
  ['activations', /elu|silu/],
  ['norms', /norm/],
];

const kindOf = (stack) => {
  for (const name of stack) {
    const found = KINDS.find(([, pattern]) => pattern.test(name));
    if (found !== undefined) return found[0];
  }
  return 'other';
};

function partOf(stack) {
  const side = stack.some((name) => /ptts_codec_decode|Codec::/.test(name)) ? 'codec' : stack.some((name) => /ptts_session_step|Session::step/.test(name)) ? 'FlowLM' : undefined;
  if (side === undefined) return undefined;
  const part = PARTS.find(([, pattern]) => stack.some((name) => pattern.test(name)))?.[0] ?? 'other';
  return part === 'flow net' ? 'flow net' : `${side} ${part}`;
}

/** Why there is no profile here, or undefined. */
export function cannotProfile() {
  const { status } = spawnSync('perf', ['record', '-o', '/dev/null', 'true'], { stdio: 'ignore' });
  return status === 0 ? undefined : 'perf is missing or not permitted';
}

/** Runs `program job` under perf: { seconds, lines: [{ part, share }] }, the largest share first. */
export function profile(program, job, scratch) {
  const data = join(scratch, 'perf.data');
  execFileSync('perf', ['record', '-q', '-F', '1999', '--call-graph', 'fp', '-o', data, program, JSON.stringify(job)], { stdio: 'ignore' });
  const text = execFileSync('perf', ['script', '-i', data, '-F', 'ip,sym'], { encoding: 'utf8', maxBuffer: 1 << 30, stdio: ['ignore', 'pipe', 'ignore'] });
  rmSync(data);
  const counts = new Map();
  let total = 0;
  for (const sample of text.split('\n\n')) {
    const stack = sample.split('\n').map((line) => line.trim().replace(/^[0-9a-f]+ /, ''));
    const part = partOf(stack);
    if (part === undefined) continue; // loading
    total++;
    const name = `${part}: ${kindOf(stack)}`;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  if (total < 100) throw new Error(`perf found only ${total} samples of speaking`);
  return [...counts].map(([part, count]) => ({ part, share: count / total })).sort((a, b) => b.share - a.share);
}
