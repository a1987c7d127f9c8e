// Which rows the benchmark has: who speaks which pack how.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const PACKS = ['100m', '18m', '7m', '2m', 'starter'];
export const OURS = 'pocket-tts-wasm';

/** The precisions that the engine's header knows. */
export function precisions(root) {
  const header = readFileSync(join(root, 'wasm/engine/pocket_tts.h'), 'utf8');
  return [...header.matchAll(/\bPTTS_PRECISION_([A-Z0-9]+)\s*=/g)].map(([, name]) => name.toLowerCase());
}

/**
 * The rows, in the order in which a round visits them: what is compared lies next to each other. By default those that
 * say something new; `all` adds the rest of the combinations.
 */
export function allRows(root, { all = false } = {}) {
  const known = precisions(root);
  const rows = [];
  const add = (row) => rows.push({ instances: 1, batch: 1, threads: 1, ...row });
  for (const pack of PACKS) {
    const large = pack === '100m';
    const extremes = all || large || pack === '2m';
    for (const host of ['chromium', 'node', 'firefox', 'wazero', 'native']) {
      for (const precision of known) {
        if (precision === 'f32' && !all && (host === 'firefox' || !(extremes || pack === 'starter'))) continue;
        if (precision === 'q4' && !all && (host === 'firefox' || !large)) continue;
        add({ host, engine: OURS, pack, precision });
        // The native library is one instance.
        const two = all || (precision === 'q8' && (large || (pack !== 'starter' && (host === 'chromium' || host === 'wazero'))));
        if (host !== 'native' && two) add({ host, engine: OURS, pack, precision, instances: 2 });
      }
      if (host !== 'chromium') continue;
      for (const variant of ['f32', 'f32-conv', 'int8-all']) {
        if (pack === 'starter' && variant !== 'f32' && !all) continue;
        for (const threads of extremes && variant !== 'f32-conv' ? [1, 2] : [1]) {
          add({ host, engine: 'onnxruntime-web', pack, precision: variant.split('-')[0], variant, threads });
        }
      }
    }
    for (const variant of ['f32', 'int8-all']) {
      if (pack !== 'starter' || all) add({ host: 'python', engine: 'onnxruntime', pack, precision: variant.split('-')[0], variant });
    }
    for (const threads of extremes ? [1, 2] : [1]) {
      add({ host: 'python', engine: 'pytorch', pack, precision: 'f32', threads });
      if (pack !== 'starter' || all) add({ host: 'python', engine: 'pytorch', pack, precision: 'int8', variant: 'torch.ao', threads });
      if (large && all) add({ host: 'python', engine: 'pytorch', pack, precision: 'int8', variant: 'torchao', threads });
    }
  }
  if (known.includes('q8')) {
    // Eight chunks: one after the other with two instances and with one; so many at once.
    for (const host of ['chromium', 'node', 'wazero']) {
      const chunks = { host, engine: OURS, pack: '100m', precision: 'q8', threads: 1, chunks: 8 };
      rows.push({ ...chunks, instances: 2, batch: 1 }, ...[2, 1, 4, 8].map((batch) => ({ ...chunks, instances: 1, batch })));
    }
  }
  return rows;
}

/** A row in words, the same for the same row. */
export function nameOf(row) {
  return [
    row.host,
    row.engine,
    row.pack,
    row.precision,
    row.variant === row.precision ? undefined : row.variant,
    row.engine === OURS ? `${row.instances} instance${row.instances === 1 ? '' : 's'}` : `${row.threads} thread${row.threads === 1 ? '' : 's'}`,
    row.chunks === undefined ? undefined : `${row.chunks} chunks, ${row.batch} at once`,
  ]
    .filter((part) => part !== undefined)
    .join(' ');
}
