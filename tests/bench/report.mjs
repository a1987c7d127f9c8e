// docs/benchmarks.md out of the benchmark's JSON:  node tests/bench/report.mjs out.json [growth.json ...] > docs/benchmarks.md
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { OURS } from './rows.mjs';

const MB = 1e6;
const BUSY = 0.7; // a load average before the start above it: something else is running
const number = (value, digits) => (value === null || value === undefined ? '' : value.toFixed(digits));
const seconds = (ms) => (ms === null || ms === undefined ? '' : (ms / 1000).toFixed(2));

function table(head, lines) {
  return [`| ${head.join(' | ')} |`, `|${head.map(() => '---').join('|')}|`, ...lines.map((cells) => `| ${cells.join(' | ')} |`)].join('\n');
}

/** Lines of one pack, the fastest first. */
function packTable(rows) {
  const lines = [...rows]
    .sort((a, b) => b.rtf - a.rtf)
    .map((row) => [
      row.engine === OURS ? `**${row.host}**` : `${row.engine}${row.host === 'python' ? '' : `, ${row.host}`}`,
      row.variant === undefined || row.variant === row.precision ? row.precision : `${row.precision} (${row.variant})`,
      row.engine === OURS ? `${row.instances} inst.` : `${row.threads} thr.`,
      `${number(row.rtf, 2)}${row.void ? ' (void)' : ''}`,
      number((row.rtf_best / row.rtf - 1) * 100, 0),
      number(row.first_audio_ms, row.first_audio_ms < 20 ? 1 : 0),
      number(row.step_ms, 2),
      number(row.codec_ms, 2),
      seconds(row.load_ms),
      seconds(row.load_cold_ms),
      seconds(row.load_first_ms),
      number(row.peak_bytes / MB, 0),
      number(row.download_bytes / MB, 0),
    ]);
  return table(
    ['who', 'precision', '', 'x real time', 'best, +%', 'first audio, ms', 'FlowLM step, ms', 'codec frame, ms', 'load, s', 'files cold, s', 'first start, s', 'peak, MB', 'download, MB'],
    lines,
  );
}

/** Whether something else was running when the benchmark began. */
const isBusy = (report) => report.load_average[0][0] > BUSY;

/** The ratios of issue 5. `find` gives the best matching row that counts, or undefined. */
export function goals(report) {
  const usable = report.rows.filter((row) => row.chunks === undefined);
  const best = (wanted, rows = usable) =>
    rows
      .filter((row) => Object.entries(wanted).every(([key, value]) => row[key] === value))
      .sort((a, b) => b.rtf - a.rtf)[0];
  const ours = (host, pack, precision, instances) => best({ engine: OURS, host, pack, precision, instances });
  /** The faster of one and two instances. */
  const either = (host, pack, precision) => best({ engine: OURS, host, pack, precision });
  const web = (pack) => best({ engine: 'onnxruntime-web', pack, threads: 1 });
  const torch = (pack, precision) => best({ engine: 'pytorch', pack, ...(precision === undefined ? {} : { precision }) });
  const list = [];
  /** `value` against `limit`, measured in `run`; undefined rows leave it open. */
  const add = (text, rows, value, limit, atLeast = true, run = report) => {
    const open = rows.some((row) => row === undefined);
    const found = open ? undefined : value();
    const missing = found === undefined || found === null || Number.isNaN(found);
    list.push({
      text,
      limit: `${atLeast ? '>=' : '<='} ${limit}`,
      found: missing ? undefined : found,
      passed: missing ? undefined : atLeast ? found >= limit : found <= limit,
      void: isBusy(run) ? 'machine busy' : !open && rows.some((row) => row.void) ? 'void row' : undefined,
    });
  };
  const ratio = (text, a, b, limit) => add(text, [a, b], () => a.rtf / b.rtf, limit);
  for (const host of ['chromium', 'node']) {
    ratio(`100M q8, ${host}, 1 instance / onnxruntime-web, 1 thread, best variant`, ours(host, '100m', 'q8', 1), web('100m'), 2.7);
    ratio(`100M q8, ${host}, 2 instances / the same`, ours(host, '100m', 'q8', 2), web('100m'), 4);
    ratio(`100M q8, ${host}, 2 instances / PyTorch int8 (its faster one of 1 and 2 threads)`, ours(host, '100m', 'q8', 2), torch('100m', 'int8'), 1);
    ratio(`100M q8, ${host}, 2 instances / PyTorch f32`, ours(host, '100m', 'q8', 2), torch('100m', 'f32'), 2.4);
  }
  ratio('100M q8, wazero, 1 instance / onnxruntime-web, 1 thread', ours('wazero', '100m', 'q8', 1), web('100m'), 1.6);
  ratio('100M q8, wazero, 2 instances / the same', ours('wazero', '100m', 'q8', 2), web('100m'), 2.3);
  ratio('2M q8, Chromium / onnxruntime-web', either('chromium', '2m', 'q8'), web('2m'), 3);
  ratio('2M q8, Chromium / PyTorch', either('chromium', '2m', 'q8'), torch('2m'), 2.5);
  ratio('2M q8, wazero / PyTorch', either('wazero', '2m', 'q8'), torch('2m'), 1.4);
  for (const pack of ['7m', '18m']) {
    for (const host of ['chromium', 'firefox', 'node', 'wazero']) {
      ratio(`${pack.toUpperCase()} q8, ${host} / onnxruntime-web`, either(host, pack, 'q8'), web(pack), 1);
      ratio(`${pack.toUpperCase()} q8, ${host} / PyTorch`, either(host, pack, 'q8'), torch(pack), 1);
    }
  }
  const together = report.rows.filter((row) => row.chunks !== undefined);
  for (const host of ['chromium', 'node', 'wazero']) {
    const [one, many] = [1, 2].map((batch) => best({ host, batch }, together));
    ratio(`Throughput: 100M q8, ${host}, 8 chunks, 2 at once / one after the other with 2 instances`, many, one, 1.25);
    add(`Throughput: memory grows by (packs), ${host}`, [one, many], () => (many.peak_bytes - one.peak_bytes) / many.download_bytes, 1.1, false);
  }
  const webFirst = report.rows.filter((row) => row.engine === 'onnxruntime-web' && row.pack === '100m' && row.threads === 1).sort((a, b) => a.first_audio_ms - b.first_audio_ms)[0];
  const first = either('chromium', '100m', 'q8');
  add('First audio, 100M q8, Chromium / onnxruntime-web', [first, webFirst], () => first.first_audio_ms / webFirst.first_audio_ms, 0.75, false);
  for (const host of ['chromium', 'wazero']) {
    const rows = usable.filter((row) => row.engine === OURS && row.host === host && row.pack === 'starter');
    const quickest = [...rows].sort((a, b) => a.first_audio_ms - b.first_audio_ms)[0];
    add(`First audio, starter voice, ${host}, ms`, [quickest], () => quickest.first_audio_ms, 20, false);
  }
  const tab = ours('chromium', '100m', 'q8', 1);
  add('Peak memory of the tab, 100M q8 / onnxruntime-web (its fastest row)', [tab, web('100m')], () => tab.peak_bytes / web('100m').peak_bytes, 0.5, false);
  const go = ours('wazero', '100m', 'q8', 1);
  add('Peak memory of the Go process, 100M q8, (peak - 100 MB) / pack', [go], () => (go.peak_bytes - 100e6) / go.download_bytes, 1.5, false);
  for (const [host, row] of [['Chromium', tab], ['Go', go]]) {
    add(`Load of 100M q8 from cold files to the first sound, ${host}, s`, [row], () => row.load_cold_ms / 1000, 3, false);
  }
  const longest = (report.growth ?? []).filter((row) => row.sound > 1700);
  for (const host of ['chromium', 'node', 'wazero']) {
    const row = longest.find((one) => one.host === host);
    add(`30 minutes of text, ${host}: last minute / first minute`, [row], () => row.last / row.first, 0.95, true, report.growth_run);
    add(`30 minutes of text, ${host}: WebAssembly memory grown by, MB`, [row], () => (row.memory_end - row.memory_begin) / MB, 0, false, report.growth_run);
  }
  return list;
}

/** Rows of ours that should have the same samples and do not, by pack and precision. */
function hashes(report) {
  const groups = new Map();
  for (const row of report.rows.filter((r) => r.pcm_sha256 !== undefined && r.chunks === undefined)) {
    const key = `${row.pack} ${row.precision}`;
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups].map(([key, rows]) => {
    const different = new Set(rows.map((row) => row.pcm_sha256)).size;
    return [key, rows.map((row) => `${row.host}${row.instances === 1 ? '' : ` x${row.instances}`}`).join(', '), different === 1 ? 'the same' : `**${different} different**`, rows[0].pcm_sha256.slice(0, 12)];
  });
}

export function writeReport(report) {
  const packs = [...new Set(report.rows.map((row) => row.pack))];
  const title = { '100m': '100M (english_2026-10)', '18m': '18M', '7m': '7M', '2m': '2M', starter: 'Starter voice' };
  const found = goals(report);
  const counted = found.filter((goal) => goal.passed !== undefined && goal.void === undefined);
  const together = report.rows.filter((row) => row.chunks !== undefined);
  const sections = [
    '# Benchmarks',
    '<!-- Written by the benchmark (tests/bench/report.mjs). Do not edit: run it again. -->',
    `Commit ${report.commit}, ${report.date.slice(0, 10)}. Machine: ${report.machine}. ` +
      `${Object.entries(report.versions).map(([name, version]) => `${name} ${version}`).join(', ')}. ` +
      `${report.rounds} round${report.rounds === 1 ? '' : 's'}, every row once a round in a fresh process; load average before and after each: ${report.load_average.map(([one]) => one.toFixed(2)).join(', ')}.`,
    ...(isBusy(report) ? [`**The machine was busy before this began (load average ${number(report.load_average[0][0], 1)}): what follows shows what is measured, not how fast it is.**`] : []),
    'To repeat it: `make bench JSON=out.json REPORT=docs/benchmarks.md GROW=1 PROFILE=1` (installs the Python reference, PyTorch, onnxruntime and onnxruntime-web below `build/bench`, 7 GB; ' +
      '`ONLY=`, `PACK=`, `PRECISION=`, `ROUNDS=` select, without `GROW=1` and `PROFILE=1` the last two parts are left out; a machine that does something else meanwhile makes rows void). How each figure is taken: head of [tests/bench/bench.mjs](../tests/bench/bench.mjs).',
    'Medians; "best" is how much faster the best sample was than the median, a row with more than 10 % is void. Milliseconds belong to this machine: compare lines of one table. ' +
      'The full-size packs have random weights (the architecture and the sizes are the real ones), a voice of 125 positions, and speak 7.7 s; first audio is for 50 tokens of text. ' +
      'onnxruntime: three graphs exported from the reference with the caches outside, checked against it before they are timed; int8 is its dynamic quantisation, 8-bit activations everywhere. PyTorch: the reference package, one thread for each of its two halves or two.',
    '## What was promised',
    `${counted.filter((goal) => goal.passed).length} of ${counted.length} measured goals are reached; ${found.length - counted.length} were not measured in this run, or in a way that does not count.`,
    table(
      ['goal', 'wanted', 'found', ''],
      found.map((goal) => [goal.text, goal.limit, number(goal.found, 2), goal.passed === undefined ? 'not measured' : `${goal.passed ? 'pass' : '**fail**'}${goal.void === undefined ? '' : ` (${goal.void})`}`]),
    ),
    ...packs.flatMap((pack) => [`## ${title[pack] ?? pack}`, packTable(report.rows.filter((row) => row.pack === pack && row.chunks === undefined))]),
    ...(together.length === 0
      ? []
      : [
          '## Several chunks at once',
          table(
            ['who', 'chunks', 'at once', '', 'x real time', 'peak, MB'],
            together.map((row) => [row.host, row.chunks, row.batch, row.batch === 1 ? `${row.instances} inst.` : '', `${number(row.rtf, 2)}${row.void ? ' (void)' : ''}`, number(row.peak_bytes / MB, 0)]),
          ),
        ]),
    '## The same samples',
    table(['pack', 'where', 'samples', 'sha256'], hashes(report)),
    ...(report.growth === undefined ? [] : ['## How cost grows', growthText(report.growth)]),
    ...(report.profile === undefined ? [] : ['## Where the time goes', profileText(report.profile)]),
    ...(report.failed.length === 0 ? [] : ['## Failed', report.failed.map(({ row, reason }) => `* ${row}: ${reason}`).join('\n')]),
    ...(report.left_out.length === 0 ? [] : ['## Left out', report.left_out.map(({ row, reason }) => `* ${row}: ${reason}`).join('\n')]),
  ];
  return `${sections.join('\n\n')}\n`;
}

function growthText(growth) {
  return table(
    ['who', 'pack', 'sound, s', 'x real time', 'first minute', 'last minute', 'WebAssembly memory, MB', 'at the end', "host's heap, MB", 'at the end'],
    growth.map((row) => [
      row.host,
      `${row.pack} ${row.precision}`,
      number(row.sound, 0),
      ...[row.rtf, row.first, row.last].map((value) => number(value, 2)),
      ...[row.memory_begin, row.memory_end, row.heap_begin, row.heap_end].map((bytes) => (bytes === null ? '' : number(bytes / MB, 1))),
    ]),
  );
}

function profileText(profile) {
  return profile
    .map(({ pack, precision, how, lines }) => `${pack} ${precision} (${how}):\n\n${table(['part', '%'], lines.map(({ part, share }) => [part, number(share * 100, 1)]))}`)
    .join('\n\n');
}

// More files than one: growth and profile may come from runs of their own, of the same commit and machine.
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [main, ...more] = process.argv.slice(2).map((file) => JSON.parse(readFileSync(file, 'utf8')));
  for (const other of more) {
    if (other.commit !== main.commit || other.machine !== main.machine) throw new Error(`expected runs of ${main.commit}, found one of ${other.commit}`);
    if (main.growth === undefined && other.growth !== undefined) main.growth_run = other;
    for (const part of ['growth', 'profile']) main[part] ??= other[part];
  }
  process.stdout.write(writeReport(main));
}
