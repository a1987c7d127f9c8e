// The benchmark: ours and the alternatives side by side, on this machine, in one run.
//
//   make bench [JSON=out.json] [ONLY=host,engine,...] [PACK=100m,...] [PRECISION=q8,...] [ROUNDS=3] [ALL=1] [GROW=1] [PROFILE=1]
//
// Every round visits every row once (A, B, C, A, B, C, ...), each in a fresh process that runs one job:
//
//   load        process start (browsers: navigation) to the first sound; even rounds first push the pack's files out of
//               the page cache, odd ones find them there. Programs keep compiled code, browsers our packs and what they
//               like of compiled code (Chromium 156: nothing, its folder for it stays empty), as after a first visit;
//               "first start" is that visit
//   first audio `firsts` times: a text of 50 tokens, to its first 80 ms of sound; voice loaded, engine warm and at rest
//   warm-up     `warm` frames; where code is compiled while it runs, a second at least
//   speed       `speaks` times: a text of 96 frames (7.7 s; no end is ever found), voice loaded; sound / wall time
//   peak        resident memory (VmHWM) of the process so far; of browsers, of the page's process
//   parts       median ms of a FlowLM step with its flow net, and of decoding one frame, one instance, one by one
//
// Runners get the job as JSON and answer with a line FIRST at the first sound and a line of JSON at the end. The random
// weights of the full-size packs change no time; the graphs of onnxruntime must have given the reference's values first.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { missing, runInBrowser } from './browsers.mjs';
import { cannotProfile, profile } from './profile.mjs';
import { allRows, nameOf, OURS } from './rows.mjs';
import { writeReport } from './report.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const here = join(root, 'tests', 'bench');
const { values: flags } = parseArgs({
  options: {
    json: { type: 'string', default: '' },
    only: { type: 'string', default: '' },
    pack: { type: 'string', default: '' },
    precision: { type: 'string', default: '' },
    rounds: { type: 'string', default: '' },
    report: { type: 'string', default: '' },
    grow: { type: 'string', default: '' },
    all: { type: 'string', default: '' },
    profile: { type: 'string', default: '' },
    build: { type: 'string', default: join(root, 'build', 'bench') },
    dist: { type: 'string', default: join(root, 'dist') },
    warm: { type: 'string', default: '12' },
    'warm-ms': { type: 'string', default: '1000' },
    firsts: { type: 'string', default: '3' },
    speaks: { type: 'string', default: '2' },
    parts: { type: 'string', default: '40' },
  },
});
const build = resolve(flags.build);
const rounds = Number(flags.rounds || 3);
const BROWSERS = ['chromium', 'firefox'];
const CODE = ['index.js', 'worker.js', 'pocket_tts.mjs', 'pocket_tts.wasm']; // what a page downloads
const GROWTH = [5, 60, 300, 1800]; // seconds of sound
const VOID = 0.1; // a best that is further from the median says that something else was running
const modules = join(build, 'node', '/');

const listed = (text) => text.split(',').filter((part) => part !== '');
const sorted = (values) => [...values].sort((a, b) => a - b);
const median = (values) => {
  const all = sorted(values.filter((value) => value !== null && value !== undefined));
  return all.length === 0 ? null : (all[(all.length - 1) >> 1] + all[all.length >> 1]) / 2;
};

// ---- what there is --------------------------------------------------------------------------------------------------

/** Why a row cannot run here, or undefined. */
function reasonAgainst(row) {
  if (BROWSERS.includes(row.host)) return missing(row.host);
  if (row.host === 'wazero' && !existsSync(join(build, 'bench-go'))) return 'build/bench/bench-go is missing';
  if (row.host === 'native' && !existsSync(join(root, 'build/native/bench')) && !existsSync(join(build, 'bench-native')))
    return 'build/native/bench is missing';
  return undefined;
}

function command(row) {
  const python = join(build, 'venv', 'bin', 'python');
  const native = join(build, 'bench-native');
  switch (row.host) {
    case 'node':
      return [process.execPath, '--expose-gc', join(here, 'node_host.mjs')];
    case 'wazero':
      return [join(build, 'bench-go')];
    case 'native':
      return [existsSync(native) ? native : join(root, 'build', 'native', 'bench')];
    default:
      return [python, join(here, row.engine === 'pytorch' ? 'reference.py' : 'onnx_host.py')];
  }
}

/** The folder of a row's pack: a converted one where there is one. */
function packFolder(row) {
  const converted = `${row.pack}-${row.precision}`;
  return row.engine === OURS && existsSync(join(build, 'packs', converted, 'pack.json')) ? converted : row.pack;
}

function jobOf(row, extra) {
  const folder = packFolder(row);
  const pack = join(build, 'packs', folder);
  const bench = JSON.parse(readFileSync(join(build, 'packs', row.pack, 'bench.json'), 'utf8'));
  const counts = Object.fromEntries(['warm', 'firsts', 'speaks', 'parts'].map((name) => [name, Number(flags[name])]));
  const job = { ...row, ...counts, warmMs: Number(flags['warm-ms']), bench, pack, packFolder: folder, ...extra };
  if (row.chunks !== undefined) {
    // Sentences of the spoken text, each a chunk of its own.
    job.bench = { ...bench, text: Array(row.chunks).fill(sentence(bench.text)).join(' '), frames: row.chunks * bench.frames };
    Object.assign(job, { maxTokens: bench.tokens, speaks: 1, firsts: 0, parts: 0 });
  }
  if (row.instances !== 1) job.parts = 0;
  if (row.host === 'native') job.config = JSON.stringify(JSON.parse(readFileSync(join(pack, 'pack.json'), 'utf8')).config);
  if (row.host === 'wazero') job.cacheDir = join(build, 'cache', 'wazero');
  return job;
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}`;

/** Bytes that a user downloads for a row: model files and, in browsers, code. */
function downloadBytes(row) {
  const size = (path) => statSync(path).size;
  if (row.engine === OURS) {
    const folder = join(build, 'packs', packFolder(row));
    const { files } = JSON.parse(readFileSync(join(folder, 'pack.json'), 'utf8'));
    const code = ['chromium', 'firefox', 'node'].includes(row.host) ? CODE : [];
    return files.reduce((sum, file) => sum + file.bytes, 0) + code.reduce((sum, name) => sum + size(join(flags.dist, name)), 0);
  }
  const folder = join(build, 'packs', row.pack);
  if (row.engine === 'pytorch') return size(join(folder, 'model.safetensors')) + size(join(folder, 'tokenizer.model')) + size(join(folder, 'voice.safetensors'));
  const { variants } = JSON.parse(readFileSync(join(folder, 'onnx', 'meta.json'), 'utf8'));
  const graphs = new Set(Object.values(variants[row.variant]));
  const code = row.engine === 'onnxruntime-web' ? ['ort.wasm.min.mjs', 'ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm'] : [];
  return (
    [...graphs].reduce((sum, name) => sum + size(join(folder, 'onnx', `${name}.onnx`)), size(join(folder, 'onnx', 'voice.bin'))) +
    code.reduce((sum, name) => sum + size(join(modules, 'node_modules', 'onnxruntime-web', 'dist', name)), 0)
  );
}

function git(...args) {
  return execFileSync('git', ['-C', root, ...args], { encoding: 'utf8' }).trim();
}

function describeCommit() {
  const dirty = git('status', '--porcelain', '--untracked-files=no', '--', 'wasm', 'web', 'wasi', 'tests/bench') !== '';
  return `${git('rev-parse', '--short=12', 'HEAD')}${dirty ? '+changes' : ''}`;
}

function describeMachine() {
  const release = /PRETTY_NAME="(.*)"/.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'Linux';
  return `${cpus()[0].model.trim()}, ${cpus().length} cores, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, ${release}`;
}

// ---- running --------------------------------------------------------------------------------------------------------

/** Pushes the large files of a folder out of the page cache. */
function forget(folder) {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath ?? entry.path, entry.name);
    if (entry.isFile() && statSync(path).size > 1e5) execFileSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0', 'status=none']);
  }
}

function runProgram(row, job) {
  return new Promise((done, reject) => {
    const [program, ...args] = command(row);
    const begin = performance.now();
    const child = spawn(program, [...args, JSON.stringify(job)], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, BENCH_DIST: flags.dist, PYTHONDONTWRITEBYTECODE: '1' } });
    let out = '';
    let errors = '';
    let loadMs;
    child.stdout.on('data', (data) => {
      out += data;
      if (loadMs === undefined && /^FIRST$/m.test(out)) loadMs = performance.now() - begin;
    });
    child.stderr.on('data', (data) => {
      errors += data;
    });
    child.on('error', reject);
    child.on('close', (code) => {
      const line = out.split('\n').find((text) => text.startsWith('{'));
      if (code !== 0 || line === undefined) reject(new Error(`${nameOf(row)}: ended with ${code}: ${errors.slice(-2000)}`));
      else done({ ...JSON.parse(line), load_ms: loadMs });
    });
  });
}

/** What a browser keeps from one start to the next: compiled code, and packs. */
const profileOf = (row) => join(build, 'profiles', row.host);

const visited = new Set();
/** Has a browser keep the pack of one of our rows: a first visit, which is not measured. */
async function visitFirst(row) {
  const key = `${row.host} ${packFolder(row)}`;
  if (row.engine !== OURS || !BROWSERS.includes(row.host) || visited.has(key)) return;
  visited.add(key);
  await visit(row, jobOf(row, { warm: 1, warmMs: 0, firsts: 0, speaks: 0, parts: 0 }));
}

async function visit(row, job) {
  if (!BROWSERS.includes(row.host)) return runProgram(row, job);
  const mounts = {
    'tests/bench': here,
    dist: flags.dist,
    packs: join(build, 'packs'),
    ort: join(modules, 'node_modules', 'onnxruntime-web', 'dist'),
  };
  return runInBrowser(job, { mounts, profile: profileOf(row), modules }).catch((error) => {
    throw new Error(`${nameOf(row)}: ${error.message}`, { cause: error });
  });
}

/** How cost grows with the length of a text: ours, one instance, q8. */
async function measureGrowth(packs, only, versions) {
  const found = [];
  for (const pack of packs.length > 0 ? packs : ['starter']) {
    for (const host of ['chromium', 'node', 'wazero']) {
      const row = { host, engine: OURS, pack, precision: 'q8', instances: 1, batch: 1, threads: 1 };
      if ((only.length > 0 && !only.includes(host)) || reasonAgainst(row) !== undefined) continue;
      const { tokens, text, ...bench } = JSON.parse(readFileSync(join(build, 'packs', pack, 'bench.json'), 'utf8'));
      const job = jobOf(row, { grow: GROWTH, maxTokens: tokens, bench: { ...bench, text: sentence(text) } });
      const { growth, versions: these } = await visit(row, job);
      Object.assign(versions, these);
      for (const one of growth) {
        found.push({ host, pack, precision: row.precision, ...one });
        console.error(`${nameOf(row)}, ${one.sound.toFixed(0)} s: ${one.rtf.toFixed(1)} x real time; first ${one.first.toFixed(1)}, last ${one.last.toFixed(1)}; memory ${(one.memory_begin / 1e6).toFixed(1)} to ${(one.memory_end / 1e6).toFixed(1)} MB`);
      }
    }
  }
  return found;
}

/** Where the time goes in native code, by pack. The build has frame pointers and is nobody else's. */
function measureProfile(packs) {
  const reason = cannotProfile();
  if (reason !== undefined) throw new Error(`PROFILE: ${reason}`);
  const folder = join(build, 'profile');
  const quiet = { stdio: ['ignore', 'ignore', 'inherit'] };
  execFileSync('cmake', ['--preset', 'native', '-S', root, '-B', folder, '-DCMAKE_CXX_FLAGS=-fno-omit-frame-pointer'], { ...quiet, cwd: root });
  execFileSync('cmake', ['--build', folder, '--target', 'bench'], quiet);
  return (packs.length > 0 ? packs : ['100m', '2m', 'starter']).map((pack) => {
    const row = { host: 'native', engine: OURS, pack, precision: 'q8', instances: 1, batch: 1, threads: 1 };
    return { pack, precision: row.precision, how: 'perf, native, one core, speaking only', lines: profile(join(folder, 'bench'), jobOf(row, {}), build) };
  });
}

/** The first start ever: nothing compiled is kept anywhere. */
async function firstStarts(rows, results) {
  for (const row of rows.filter((r) => r.engine === OURS && r.precision === 'q8' && r.instances === 1 && r.chunks === undefined && ['100m', 'starter'].includes(r.pack))) {
    const kept = { chromium: 'profiles/chromium', firefox: 'profiles/firefox', wazero: 'cache/wazero' }[row.host];
    if (kept === undefined) continue;
    rmSync(join(build, kept), { recursive: true, force: true });
    const result = await visit(row, jobOf(row, { warm: 2, warmMs: 0, firsts: 0, speaks: 0, parts: 0 }));
    results.get(row).load_first_ms = result.load_ms;
    console.error(`${nameOf(row)}: first start ${(result.load_ms / 1000).toFixed(2)} s`);
  }
}

function summarize(row, found, commit, machine) {
  const rtf = median(found.rtf);
  const best = Math.max(...found.rtf);
  const pick = (values) => (median(values) === null ? null : Number(median(values).toFixed(3)));
  return {
    host: row.host,
    engine: row.engine,
    pack: row.pack,
    precision: row.precision,
    instances: row.instances,
    batch: row.batch,
    ...(row.chunks === undefined ? {} : { chunks: row.chunks }),
    threads: row.threads,
    ...(row.variant === undefined ? {} : { variant: row.variant }),
    rtf: Number(rtf.toFixed(3)),
    rtf_best: Number(best.toFixed(3)),
    rtf_samples: found.rtf.map((value) => Number(value.toFixed(3))),
    void: best / rtf - 1 > VOID,
    first_audio_ms: pick(found.first_audio_ms),
    first_audio_best_ms: found.first_audio_ms.length === 0 ? null : Number(Math.min(...found.first_audio_ms).toFixed(3)),
    step_ms: pick(found.step_ms),
    codec_ms: pick(found.codec_ms),
    load_ms: pick(found.load_ms),
    load_cold_ms: pick(found.load_cold_ms),
    load_first_ms: found.load_first_ms ?? null,
    peak_bytes: Math.max(...found.peak_bytes),
    ...(found.memory_bytes === undefined ? {} : { memory_bytes: found.memory_bytes }),
    download_bytes: downloadBytes(row),
    ...(found.pcm_sha256 === undefined ? {} : { pcm_sha256: found.pcm_sha256 }),
    ...(found.deviation === undefined ? {} : { deviation: found.deviation }),
    rounds: found.visits,
    commit,
    machine,
  };
}

async function main() {
  const [only, packs, wanted] = [listed(flags.only), listed(flags.pack), listed(flags.precision)];
  const leftOut = [];
  const failed = [];
  const rows = allRows(root, { all: flags.all !== '' }).filter((row) => {
    if (only.length > 0 && !only.includes(row.host) && !only.includes(row.engine)) return false;
    if (packs.length > 0 && !packs.includes(row.pack)) return false;
    if (wanted.length > 0 && !wanted.includes(row.precision)) return false;
    const reason = reasonAgainst(row);
    if (reason !== undefined) leftOut.push({ row: nameOf(row), reason });
    return reason === undefined;
  });
  if (rows.length === 0) throw new Error(`no row is left of ONLY=${flags.only} PACK=${flags.pack}${leftOut.map(({ row, reason }) => `\n${row}: ${reason}`).join('')}`);
  const [commit, machine, date] = [describeCommit(), describeMachine(), new Date().toISOString()];
  const loads = [loadavg()];
  console.error(`${rows.length} rows, ${rounds} rounds; ${machine}; commit ${commit}; load average ${loads[0].map((x) => x.toFixed(2)).join(' ')}`);
  mkdirSync(build, { recursive: true });

  const fresh = () => ({ rtf: [], first_audio_ms: [], step_ms: [], codec_ms: [], load_ms: [], load_cold_ms: [], peak_bytes: [], visits: 0 });
  const results = new Map(rows.map((row) => [row, fresh()]));
  const versions = {};
  const save = (done, extra) => {
    const kept = rows.filter((row) => results.get(row).visits > 0 && results.get(row).failed === undefined);
    const summary = kept.map((row) => summarize(row, results.get(row), commit, machine));
    const report = { schema: 1, date, commit, machine, versions, rounds: done, load_average: loads, left_out: leftOut, failed, rows: summary, ...extra };
    if (flags.json !== '') {
      mkdirSync(dirname(resolve(flags.json)), { recursive: true });
      writeFileSync(flags.json, `${JSON.stringify(report, null, 1)}\n`);
    }
    return report;
  };
  if (rounds > 0) await firstStarts(rows, results);
  for (let round = 0; round < rounds; round++) {
    for (const row of rows) {
      const found = results.get(row);
      if (found.failed !== undefined) continue;
      const job = jobOf(row, {});
      const cold = round % 2 === 0;
      await visitFirst(row);
      if (cold) for (const folder of [job.pack, profileOf(row)]) forget(folder);
      const begin = performance.now();
      let result;
      try {
        result = await visit(row, job);
      } catch (error) {
        // The others go on; the run has failed all the same.
        found.failed = error.message;
        const lines = error.message.replace(`${nameOf(row)}: `, '').split('\n');
        const reason = (lines.find((line) => /Error: /.test(line)) ?? lines[0]).trim().slice(0, 300);
        failed.push({ row: nameOf(row), reason });
        console.error(`FAILED ${error.message}`);
        continue;
      }
      found.visits++;
      found.rtf.push(...result.rtf);
      found.first_audio_ms.push(...(result.first_audio_ms ?? []));
      found.step_ms.push(result.step_ms);
      found.codec_ms.push(result.codec_ms);
      found[cold ? 'load_cold_ms' : 'load_ms'].push(result.load_ms);
      found.peak_bytes.push(result.peak_bytes);
      found.memory_bytes = result.memory_bytes;
      found.deviation = result.deviation;
      if (found.pcm_sha256 !== undefined && found.pcm_sha256 !== result.pcm_sha256) throw new Error(`${nameOf(row)}: other samples than the round before`);
      found.pcm_sha256 = result.pcm_sha256;
      Object.assign(versions, result.versions);
      console.error(
        `[${round + 1}/${rounds}] ${nameOf(row)}: ${median(result.rtf).toFixed(2)} x real time, first ${median(result.first_audio_ms ?? [])?.toFixed(0) ?? '-'} ms, ` +
          `load ${(result.load_ms / 1000).toFixed(2)} s, peak ${(result.peak_bytes / 1e6).toFixed(0)} MB (${((performance.now() - begin) / 1000).toFixed(1)} s)`,
      );
    }
    loads.push(loadavg());
    save(round + 1, {}); // what is there, should the rest not be
    console.error(`round ${round + 1} done; load average ${loads.at(-1).map((x) => x.toFixed(2)).join(' ')}`);
  }
  const extra = {
    ...(flags.grow === '' ? {} : { growth: await measureGrowth(packs, only, versions) }),
    ...(flags.profile === '' ? {} : { profile: measureProfile(packs) }),
  };
  const report = save(rounds, extra);
  const text = writeReport(report);
  if (flags.report === '') console.log(text);
  else writeFileSync(flags.report, text);
  const bad = report.rows.filter((row) => row.void);
  for (const row of bad) console.error(`VOID ${nameOf(row)}: best ${row.rtf_best}, median ${row.rtf}: something else was running; repeat`);
  if (failed.length > 0) throw new Error(`${failed.length} rows failed`);
}

await main().catch((error) => {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
});
