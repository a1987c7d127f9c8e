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

/** All rows (with `grow`, more of those that speak several chunks at once), in the order in which a round visits them: what is compared lies next to each other. */
export function allRows(root, { grow = false } = {}) {
  const known = precisions(root);
  const rows = [];
  const add = (row) => rows.push({ instances: 1, batch: 1, threads: 1, ...row });
  for (const pack of PACKS) {
    const large = pack === '100m';
    for (const host of ['chromium', 'node', 'firefox', 'wazero', 'native']) {
      for (const precision of known) {
        add({ host, engine: OURS, pack, precision });
        // The native library is one instance; small packs are not worth two in every host.
        if (host !== 'native' && (large || precision === 'q8')) {
          if (large || host === 'chromium' || host === 'wazero') add({ host, engine: OURS, pack, precision, instances: 2 });
        }
      }
      if (host !== 'chromium') continue;
      for (const threads of [1, 2]) {
        for (const [precision, variant] of [['f32', 'f32'], ['int8', 'int8-all']]) {
          add({ host, engine: 'onnxruntime-web', pack, precision, variant, threads });
        }
      }
    }
    for (const [precision, variant] of [['f32', 'f32'], ['int8', 'int8-all']]) {
      add({ host: 'python', engine: 'onnxruntime', pack, precision, variant });
    }
    for (const threads of [1, 2]) {
      add({ host: 'python', engine: 'pytorch', pack, precision: 'f32', threads });
      add({ host: 'python', engine: 'pytorch', pack, precision: 'int8', variant: 'torch.ao', threads });
    }
  }
  if (known.includes('q8')) {
    // Eight chunks: one after the other with two instances; several at once, each in a whole instance.
    for (const host of ['chromium', 'node', 'wazero']) {
      const chunks = { host, engine: OURS, pack: '100m', precision: 'q8', threads: 1, chunks: 8 };
      rows.push({ ...chunks, instances: 2, batch: 1 }, { ...chunks, instances: 1, batch: 2 });
      if (grow) rows.push(...[1, 4, 8].map((batch) => ({ ...chunks, instances: 1, batch })));
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
