// The command line, as its callers know it: flags, exit codes, streams, and every byte of the WAV.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { cli, fixture, root, run, temporary, withFixture } from './support.mjs';

const TEXT = ['--text', 'Hello world.'];
const STREAM_HEADER = Buffer.from(
  '524946462494357757415645666d7420100000000100010' + '0c05d000080bb000002001000646174610094357' + '7',
  'hex',
);
const FAST = withFixture('lsd6');

test('a pipe gets the fixed header and whole frames, and stderr nothing', async () => {
  const { code, stdout, stderr } = await run(['generate', '--text', '-', '--output-path', '-', '-q', ...FAST], {
    input: 'Hello world.',
  });
  assert.equal(code, 0);
  assert.equal(stderr, '');
  assert.deepEqual(stdout.subarray(0, 44), STREAM_HEADER);
  assert.equal((stdout.length - 44 - 9600) % 3840, 0);
  assert.ok(stdout.subarray(-9600).every((byte) => byte === 0));
  assert.ok(stdout.length > 44 + 9600 + 3840);
});

/** Both sizes are true. */
function checkSizes(file) {
  assert.equal(file.readUInt32LE(4), file.length - 8);
  assert.equal(file.readUInt32LE(40), file.length - 44);
  assert.equal((file.length - 44 - 9600) % 3840, 0);
}

test('a file gets its true sizes; the log ends with where it is', async (t) => {
  const cwd = temporary(t);
  const path = join(cwd, 'out.wav');
  const { code, stdout, stderr } = await run(['generate', ...TEXT, '--output-path', path, ...FAST], { cwd });
  assert.equal(code, 0);
  assert.equal(stdout.length, 0);
  assert.ok(stderr.endsWith(`INFO: Results written in ${path}\n`), stderr);
  assert.ok(
    stderr
      .trim()
      .split('\n')
      .every((line) => /^(INFO|WARNING): /.test(line)),
    stderr,
  );
  checkSizes(readFileSync(path));
  // The default name, and a file that was longer before.
  writeFileSync(join(cwd, 'tts_output.wav'), Buffer.alloc(1 << 20));
  assert.equal((await run(['generate', ...TEXT, ...FAST, '-q'], { cwd })).code, 0);
  assert.deepEqual(readFileSync(join(cwd, 'tts_output.wav')), readFileSync(path));
});

test('stdout into a file is patched; appended to a file it is a stream', async (t) => {
  const path = join(temporary(t), 'out.wav');
  const speak = (flags) => {
    const fd = openSync(path, flags);
    return run(['generate', ...TEXT, '--output-path', '-', '-q', ...FAST], { stdio: ['ignore', fd, 'pipe'] }).finally(
      () => closeSync(fd),
    );
  };
  assert.equal((await speak('w')).code, 0);
  const first = readFileSync(path);
  checkSizes(first);
  assert.equal((await speak('a')).code, 0);
  const both = readFileSync(path);
  assert.deepEqual(both.subarray(0, first.length), first);
  assert.deepEqual(both.subarray(first.length, first.length + 44), STREAM_HEADER);
  // After other output in the same file, the header is where the WAV begins.
  execFileSync('sh', [
    '-c',
    `{ echo before; "$0" "$@"; } > "${path}"`,
    process.execPath,
    cli,
    'generate',
    ...TEXT,
    '--output-path',
    '-',
    '-q',
    ...FAST,
  ]);
  const after = readFileSync(path);
  assert.equal(after.subarray(0, 7).toString(), 'before\n');
  assert.deepEqual(after.subarray(7), first);
});

test('/dev/null and named pipes', async (t) => {
  assert.equal((await run(['generate', ...TEXT, '--output-path', '/dev/null', ...FAST])).code, 0);
  const fifo = join(temporary(t), 'pipe');
  execFileSync('mkfifo', [fifo]);
  const speaking = run(['generate', ...TEXT, '--output-path', fifo, '-q', ...FAST]);
  const bytes = execFileSync('cat', [fifo], { maxBuffer: 1 << 24 });
  assert.equal((await speaking).code, 0);
  assert.deepEqual(bytes.subarray(0, 44), STREAM_HEADER);
});

test('empty and blank texts end before anything is loaded', async () => {
  for (const [args, input] of [
    [['--text', '-'], ' \n'],
    [['--text', '-'], ''],
    [['--text', ' ']],
    [['--text', '']],
    [['--text=']],
  ]) {
    for (const quiet of [[], ['-q']]) {
      const { code, stdout, stderr } = await run(
        ['generate', ...args, ...quiet, '--output-path', '-', '--pack', '/nowhere'],
        { input },
      );
      assert.equal(code, 1);
      assert.equal(stdout.length, 0);
      assert.equal(stderr, 'ERROR: No input received from stdin.\n');
    }
  }
});

test('usage errors are exit 2 with nothing on stdout', async () => {
  const cases = [
    [],
    ['--bogus'],
    ['speak'],
    ['generate', '--bogus'],
    ['generate', '--json-events'],
    ['generate', '--speed', '2'],
    ['generate', 'extra'],
    ['generate', '--', 'extra'],
    ['generate', '--temperature', 'nan'],
    ['generate', '--eos-threshold', 'inf'],
    ['generate', '--temperature', '1e39'],
    ['generate', '--temperature', '0x1'],
    ['generate', '--max-tokens', '2147483648'],
    ['generate', '--max-tokens', '0x10'],
    ['generate', '--max-tokens', '9999999999999999999999'],
    ['generate', '--seed', '18446744073709551616'],
    ['generate', '--text'],
    ['generate', '--max-tokens', 'x'],
    ['generate', '--max-tokens', '1.5'],
    ['generate', '--temperature', 'warm'],
    ['generate', '--seed', 'x'],
    ['generate', '--seed', '-1'],
    ['generate', '--rng', 'dice'],
    ['generate', '--precision', 'q2'],
    ['generate', '--quiet=yes'],
    ['generate', '-x'],
    ['generate', '--sampler-decode-steps', ''],
  ];
  for (const args of cases) {
    const { code, stdout, stderr } = await run(args);
    assert.equal(code, 2, args.join(' '));
    assert.equal(stdout.length, 0);
    assert.match(stderr, /^Usage: [^]*\nERROR: .+\n$/);
  }
});

test('help, seeds of 64 bits, a byte order mark', async () => {
  for (const args of [['--help'], ['-h'], ['generate', '-h'], ['generate', '--help']]) {
    const { code, stdout } = await run(args);
    assert.equal(code, 0, args.join(' '));
    assert.match(stdout.toString(), /^Usage: /);
  }
  const speak = async (input, ...args) =>
    run(['generate', '--text', '-', '--output-path', '-', ...FAST, '-q', ...args], { input });
  // The generator takes the low 32 bits.
  assert.deepEqual((await speak('Hi.', '--seed', '18446744073709551615')).stdout, (await speak('Hi.', '--seed', '4294967295')).stdout);
  assert.deepEqual((await speak('\ufeffHi.')).stdout, (await speak('Hi.')).stdout);
  assert.equal((await speak('\ufeff')).code, 1);
  const large = await speak('a'.repeat(5 << 20));
  assert.equal(large.code, 1);
  assert.match(large.stderr, /expected at most 4194304 bytes, found more/);
});

test('a signal ends the program while it waits', async () => {
  const child = spawn(process.execPath, [cli, 'generate', '--text', '-', ...FAST], { stdio: ['pipe', 'pipe', 'pipe'] });
  // The handlers are there when the program reads: give it a moment, then ask again until it goes.
  const ask = setInterval(() => child.kill('SIGTERM'), 300);
  const [code, signal] = await once(child, 'exit');
  clearInterval(ask);
  child.stdin.destroy();
  assert.ok(code === 143 || signal === 'SIGTERM', `${code} ${signal}`);
});

test('what is not a plain file is refused, not waited for', async (t) => {
  const folder = temporary(t);
  const fifo = join(folder, 'voice.wav');
  execFileSync('mkfifo', [fifo]);
  const config = join(folder, 'config.yaml');
  execFileSync('mkfifo', [config]);
  for (const args of [['--voice', fifo], ['--config', config]]) {
    const { code, stderr } = await run(['generate', ...TEXT, ...args], { cwd: folder });
    assert.equal(code, 1);
    assert.match(stderr, /expected a plain file, found a FIFO/);
  }
});

test('failures are exit 1 with one line', async (t) => {
  const cwd = temporary(t);
  const model = fixture('lsd6');
  // Sparse: nothing of them is on the disk.
  const [huge, hugeSound] = [join(cwd, 'huge.safetensors'), join(cwd, 'huge.wav')];
  writeFileSync(huge, '');
  truncateSync(huge, (64 << 20) + 1);
  writeFileSync(hugeSound, '');
  truncateSync(hugeSound, (256 << 20) + 1);
  const cases = [
    [['--language', 'klingon'], /Available languages: .*english_2026-10.*spanish_24l/],
    [['--language', 'english', '--hub', 'http://127.0.0.1:1/{path}'], /english: .*127\.0\.0\.1:1\/languages\/english\S+: the request failed|languages\/english\/\S+: the request failed/],
    [['--language', 'english', '--hub', 'nowhere'], /^ERROR: --hub: expected a URL/m],
    [
      ['--language', 'french', '--config', 'x.yaml'],
      /^ERROR: ValueError: Cannot specify both config and language, please choose one or the other\.$/m,
    ],
    [['--config', 'x.json'], /^ERROR: ValueError: Config should be a path to a YAML file ending with \.yaml$/m],
    [['--config', 'x.yaml'], /x\.yaml: no such file/],
    [['--config', 'ftp://example.invalid/x.yaml'], /^ERROR: config: expected a local path, a URL of http or https, or hf:.*found "ftp:/],
    [['--config', 'http://127.0.0.1:1/x.json'], /^ERROR: ValueError: Config should be a path to a YAML file ending with \.yaml/],
    [['--config', 'http://127.0.0.1:1/x.yaml?a=b'], /^ERROR: http:\/\/127\.0\.0\.1:1\/x\.yaml: the request failed/],
    [['--checkpoint', 'x.pt'], /checkpoint/],
    [['--device', 'cuda'], /only cpu/],
    [['--pack', '/nowhere'], /pack\.json/],
    [['--voice', 'nobody'], /nobody.*slt/],
    [['--voice', 'nowhere.safetensors'], /nowhere\.safetensors: no such file/],
    [['--voice', 'hf://a/b'], /^ERROR: --voice: expected a local path, a URL of http or https, or hf:.*found "hf:\/\/a\/b"$/m],
    [['--voice', 'http://127.0.0.1:1/voice.wav'], /^ERROR: http:\/\/127\.0\.0\.1:1\/voice\.wav: the request failed/m],
    [['--voice', model.file('voice.wav')], /cannot make voices from audio/],
    [['--voice', model.voice], /voice/],
    [['--config', model.config], /voice/],
    [['--temperature', '-1'], /^ERROR: --temperature: expected 0 to 100, found -1$/m],
    [['--noise-clamp', '-1'], /^ERROR: --noise-clamp: expected 0 \(none\) to 1e6, found -1$/m],
    [['--frames-after-eos', '-1'], /^ERROR: --frames-after-eos: expected 0 to 10000, found -1$/m],
    [['--voice', ''], /--voice: expected/],
    [['--pack', ''], /--pack: expected/],
    [['--pack', 'file://server/pack'], /^ERROR: --pack: expected a URL of this machine/],
    [['--pack', 'hf://a/b'], /^ERROR: --pack: expected a folder or a URL of http, https or file/],
    [['--sampler-decode-steps', '0'], /^ERROR: --sampler-decode-steps: expected 1 to 1000, found 0$/m],
    [['--lsd-decode-steps', '0'], /^ERROR: --lsd-decode-steps: expected 1 to 1000, found 0$/m],
    [['--max-tokens', '5000'], /^ERROR: --max-tokens: expected 1 to 4096, found 5000$/m],
    [['--max-tokens', '2147483647'], /expected 1 to 4096, found 2147483647/],
    [['--output-path', '/nowhere/out.wav'], /^ERROR: --output-path \/nowhere\/out\.wav: no such file or directory$/m],
    [['--output-path', '/dev/full'], /^ERROR: --output-path \/dev\/full: no space left on device$/m],
    [['--voice', huge], /huge\.safetensors: expected at most 67108864 bytes, found 67108865$/m],
    [['--voice', hugeSound], /huge\.wav: expected at most 268435456 bytes, found 268435457$/m],
  ];
  for (const [args, message] of cases) {
    const { code, stdout, stderr } = await run(['generate', ...TEXT, '-q', ...args], { cwd });
    assert.equal(code, 1, `${args.join(' ')}: ${stderr}`);
    assert.equal(stdout.length, 0);
    assert.match(stderr, /^ERROR: [^\n]+\n$/);
    assert.match(stderr, message);
  }
  assert.equal(existsSync(join(cwd, 'tts_output.wav')), false, 'no output before the first frame');
});

test('values may start with a dash, and stand behind = or a space', async () => {
  const speak = async (...args) => (await run(['generate', ...TEXT, '--output-path', '-', ...FAST, ...args])).stdout;
  const plain = await speak('--eos-threshold', '-4');
  assert.ok(plain.length > 10000);
  assert.deepEqual(await speak('--eos-threshold=-4.0'), plain);
});

test('the old name of the steps works, wins, and is announced unless quiet', async () => {
  const speak = (...args) => run(['generate', ...TEXT, '--output-path', '-', ...FAST, ...args]);
  const [now, old, both] = [
    await speak('--sampler-decode-steps', '2'),
    await speak('--lsd-decode-steps', '2'),
    await speak('--lsd-decode-steps', '2', '--sampler-decode-steps', '3'),
  ];
  assert.deepEqual(old.stdout, now.stdout);
  assert.deepEqual(both.stdout, now.stdout);
  assert.match(old.stderr, /--lsd-decode-steps is deprecated, use --sampler-decode-steps/);
  assert.equal((await speak('--lsd-decode-steps', '2', '-q')).stderr, '');
});

test('seeds: 42 by default, the same sound for the same, random on request', async () => {
  const speak = (...args) => run(['generate', ...TEXT, '--output-path', '-', ...FAST, ...args]);
  const plain = await speak();
  assert.deepEqual((await speak('--seed', '42')).stdout, plain.stdout);
  assert.notDeepEqual((await speak('--seed', '1')).stdout, plain.stdout);
  const drawn = await speak('--seed', 'random');
  const seed = /Seed: (\d+)/.exec(drawn.stderr)[1];
  assert.deepEqual((await speak('--seed', seed)).stdout, drawn.stdout);
});

test('precisions and random streams', async () => {
  const speak = async (...args) => {
    const { code, stdout, stderr } = await run(['generate', ...TEXT, '--output-path', '-', ...FAST, ...args]);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const f32 = await speak('--precision', 'f32');
  assert.deepEqual(await speak('--no-quantize'), f32);
  const q8 = await speak('--quantize');
  assert.notDeepEqual(q8, f32);
  assert.deepEqual(await speak('--precision', 'q8'), q8);
  assert.deepEqual(await speak(), q8);
  assert.deepEqual(await speak('--rng', 'torch'), await speak('--rng', 'chunk'));
});

test('a run that finds no end warns, or fails and leaves a file with true sizes', async (t) => {
  const path = join(temporary(t), 'out.wav');
  const args = ['generate', '--text', 'No.', '--eos-threshold', '1000000', '--output-path', path, ...FAST];
  const warned = await run(args);
  assert.equal(warned.code, 0);
  assert.match(warned.stderr, /^WARNING: .*without finding its end$/m);
  const failed = await run([...args, '-q'], { env: { ...process.env, KPOCKET_TTS_ERROR_WITHOUT_EOS: '1' } });
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /^ERROR: [^\n]+\n$/);
  const file = readFileSync(path);
  assert.equal(file.readUInt32LE(4), file.length - 8);
  assert.equal(file.readUInt32LE(40), file.length - 44);
  assert.equal((file.length - 44) % 3840, 0, 'no silence at the end of a failed run');
});

const LONG = 'This sentence is here to take a while. '.repeat(300);

test('the first bytes leave before the last frame is made', async () => {
  // Both streams in one pipe: what is said when a chunk has run into its limit stands where it was said.
  const args = [process.execPath, cli, 'generate', '--text', LONG.slice(0, 400), '--eos-threshold', '1000000', '--output-path', '-', ...FAST];
  const speaking = spawn('sh', ['-c', 'exec "$@" 2>&1', 'sh', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const said = [];
  speaking.stdout.on('data', (bytes) => said.push(bytes));
  const [code] = await once(speaking, 'close');
  assert.equal(code, 0);
  const all = Buffer.concat(said);
  const at = (text) => all.indexOf(text);
  const limits = [1, 2].map((chunk) => at(`WARNING: Chunk ${chunk} reached its length limit`));
  assert.ok(at('RIFF') >= 0 && at('RIFF') + 44 + 3840 <= limits[0], `${at('RIFF')} ${limits}`);
  assert.ok(limits[0] + 3840 < limits[1] && limits[1] < at('INFO: Generated'), `${limits}`);
});

test('a reader that leaves ends the program at once, silently', async () => {
  const args = ['generate', '--text', '-', '--eos-threshold', '1000000', '--output-path', '-', ...FAST];
  const speaking = run(args, { input: LONG.repeat(20) });
  speaking.child.stdout.once('data', () => speaking.child.stdout.destroy());
  const { code, stderr } = await speaking;
  assert.equal(code, 1);
  assert.doesNotMatch(stderr, /ERROR|EPIPE/);
  // Of more than a thousand chunks hardly one came to its end, which would have been said.
  assert.ok((stderr.match(/reached its length limit/g) ?? []).length <= 2, stderr);
});

test('an interrupt leaves a file with true sizes', async (t) => {
  const path = join(temporary(t), 'out.wav');
  const speaking = run(['generate', '--text', '-', '--output-path', path, ...FAST], { input: LONG.repeat(20) });
  while (!existsSync(path) || readFileSync(path).length < 100000)
    await new Promise((resolve) => setTimeout(resolve, 20));
  speaking.child.kill('SIGINT');
  assert.equal((await speaking).code, 130);
  const file = readFileSync(path);
  assert.equal(file.readUInt32LE(40), file.length - 44);
});

test('FIRST_CHUNK_LENGTH_SECONDS holds the beginning back', async () => {
  const speak = async (seconds) => {
    const speaking = run(['generate', ...TEXT, '--output-path', '-', '-q', ...FAST], {
      env: { ...process.env, FIRST_CHUNK_LENGTH_SECONDS: seconds },
    });
    const first = await new Promise((resolve) => speaking.child.stdout.once('data', (bytes) => resolve(bytes.length)));
    return { first, ...(await speaking) };
  };
  const plain = await speak('0');
  const held = await speak('0.4');
  assert.deepEqual(held.stdout, plain.stdout);
  assert.ok(held.first >= 44 + 5 * 3840, `${held.first} bytes at first`);
  const longer = await speak('1000');
  assert.deepEqual(longer.stdout, plain.stdout);
  for (const [seconds, code] of Object.entries({ x: 1, '0x10': 1, nan: 1, ' ': 1, '': 0, inf: 0, '-1': 0, '1e400': 0 })) {
    const env = { ...process.env, FIRST_CHUNK_LENGTH_SECONDS: seconds };
    const { code: found, stderr } = await run(['generate', ...TEXT, '--output-path', '/dev/null', '-q', ...FAST], { env });
    assert.equal(found, code, seconds);
    if (code === 1) assert.equal(stderr, `ERROR: FIRST_CHUNK_LENGTH_SECONDS: expected a number, found '${seconds}'.\n`);
  }
});

test('a recording as the voice', async () => {
  const { code, stdout, stderr } = await run([
    'generate',
    ...TEXT,
    '--output-path',
    '-',
    '--config',
    fixture('lsd6').config,
    '--voice',
    fixture('lsd6').file('voice.wav'),
  ]);
  assert.equal(code, 0, stderr);
  assert.ok(stdout.length > 10000);
});

test('the starter voice needs no flags and no network', async (t) => {
  const cwd = temporary(t);
  const { code, stderr } = await run(['generate', ...TEXT], { cwd });
  assert.equal(code, 0, stderr);
  checkSizes(readFileSync(join(cwd, 'tts_output.wav')));
});

test('help and version', async () => {
  for (const args of [['--help'], ['generate', '--help']]) {
    const { code, stdout } = await run(args);
    assert.equal(code, 0);
    assert.match(stdout.toString(), /--sampler-decode-steps/);
    assert.doesNotMatch(stdout.toString(), /lsd-decode-steps/);
  }
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  assert.equal((await run(['--version'])).stdout.toString(), `pocket-tts-wasm ${version}\n`);
});

test('an output that cannot be written is refused before anything is loaded; what is there stays', async (t) => {
  const folder = temporary(t);
  const file = join(folder, 'there.wav');
  writeFileSync(file, 'there');
  const speak = (path) => run(['generate', ...TEXT, '--pack', '/nowhere', '--output-path', path]);
  for (const [path, reason] of [['', /found an empty text/], [folder, /: is a folder$/m], [`${join(folder, 'new')}/`, /: is a folder$/m], [join(folder, 'none', 'out.wav'), /: no such file or directory$/m], [join(file, 'out.wav'), /: not a directory$/m]]) {
    const { code, stderr } = await speak(path);
    assert.equal(code, 1);
    assert.match(stderr, /^ERROR: --output-path/);
    assert.match(stderr, reason);
  }
  for (const path of [file, join(folder, 'new.wav')]) assert.match((await speak(path)).stderr, /nowhere/);
  assert.equal(readFileSync(file, 'utf8'), 'there');
  assert.ok(!existsSync(join(folder, 'new.wav')) && !existsSync(join(folder, 'new')));
});

test('nothing that a terminal acts on gets through', async () => {
  const evil = 'a\u001b[31m\u009b2J\r\u0007\u202egnp\u2066';
  const shown = /a\\u001b\[31m\\u009b2J\\u000d\\u0007\\u202egnp\\u2066/;
  for (const args of [['generate', ...TEXT, '--pack', evil], ['generate', evil], [evil], ['packs', 'rm', evil]]) {
    const { stderr } = await run(args);
    // eslint-disable-next-line no-control-regex
    assert.doesNotMatch(stderr.toString(), /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e\u2066]/, args.join(' '));
    if (!args.includes('--pack')) assert.match(stderr.toString(), shown);
  }
});
