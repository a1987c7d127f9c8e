// Makes a pack (FORMAT.md) out of a configuration file of the reference and the files beside it:
//
//   node models/make_pack.mjs SOURCE TARGET [--name N] [--description D] [--license L] [--precision f32|q8]
//                             [--voice NAME=FILE]... [--default-voice NAME] [--no-cloning REASON]
//
// SOURCE is a folder with config.yaml, or a .yaml file. Weights, tokenizer and voices are copied into TARGET and
// listed in its pack.json with bytes and sha256. What the flags do not say is taken from the pack.json that TARGET
// already has, so that a retrained model is swapped in with the two folders alone.
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { parse } from 'yaml';

const USAGE = `usage: node models/make_pack.mjs SOURCE TARGET [--name N] [--description D] [--license L] [--precision f32|q8]
                                [--voice NAME=FILE]... [--default-voice NAME] [--no-cloning REASON]`;
const { flags, positionals } = readArguments();

function readArguments() {
  try {
    const { values, positionals: paths } = parseArgs({
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h' },
        name: { type: 'string' },
        description: { type: 'string' },
        license: { type: 'string' },
        precision: { type: 'string' },
        voice: { type: 'string', multiple: true },
        'default-voice': { type: 'string' },
        'no-cloning': { type: 'string' },
      },
    });
    if (values.help) {
      console.log(USAGE);
      process.exit(0);
    }
    if (paths.length === 2) return { flags: values, positionals: paths };
    console.error(USAGE);
  } catch (error) {
    console.error(`${USAGE}\n\nERROR: ${error.message}`);
  }
  process.exit(2);
}
const source = statSync(positionals[0]).isDirectory() ? join(positionals[0], 'config.yaml') : positionals[0];
const folder = dirname(source);
const target = resolve(positionals[1]);
const before = existsSync(join(target, 'pack.json')) ? JSON.parse(readFileSync(join(target, 'pack.json'), 'utf8')) : {};
const config = parse(readFileSync(source, 'utf8'), { version: '1.1' });
const license = flags.license ?? before.license;
const files = [];

/** Copies a file into the pack and lists it. */
function add(from, path, rest) {
  const to = join(target, path);
  mkdirSync(dirname(to), { recursive: true });
  if (resolve(from) !== to) {
    rmSync(to, { force: true });
    copyFileSync(from, to);
    chmodSync(to, 0o644); // whatever it was at its source
  }
  const bytes = readFileSync(to);
  const own = before.files?.find((file) => file.path === path)?.license ?? license;
  files.push({
    path,
    ...rest,
    bytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    ...(own === undefined ? {} : { license: own }),
  });
  return path;
}

/** The local file that a field of the configuration names. */
const local = (path) => resolve(folder, path);

// The field that names a file says afterwards where it is in the pack.
const table = config.flow_lm.lookup_table;
if (config.weights_path)
  config.weights_path = add(local(config.weights_path), 'model.safetensors', { role: 'weights' });
delete config.weights_path_without_voice_cloning;
if (config.flow_lm.weights_path) {
  config.flow_lm.weights_path = add(local(config.flow_lm.weights_path), 'flow_lm.safetensors', {
    role: 'weights-flow-lm',
  });
}
if (config.mimi.weights_path) {
  config.mimi.weights_path = add(local(config.mimi.weights_path), 'mimi.safetensors', { role: 'weights-mimi' });
}
const kind = table.tokenizer === 'tokenizers' || table.tokenizer_path.endsWith('.json') ? 'json' : 'sentencepiece';
table.tokenizer_path = add(local(table.tokenizer_path), kind === 'json' ? 'tokenizer.json' : 'tokenizer.model', {
  role: 'tokenizer',
  kind,
});

// A lone voice.safetensors keeps the name that the pack's voice had.
const named =
  flags.voice?.map((voice) => /^([^=]+)=(.+)$/.exec(voice)?.slice(1) ?? [basename(voice, '.safetensors'), voice]) ??
  (existsSync(local('voice.safetensors')) ? [[before.default_voice ?? 'default', local('voice.safetensors')]] : []);
for (const [name, file] of named) add(file, `voices/${name}.safetensors`, { role: 'voice', name });

const defaultVoice =
  flags['default-voice'] ??
  (named.some(([name]) => name === before.default_voice) ? before.default_voice : named[0]?.[0]);
const cloning = flags['no-cloning'] === undefined ? before.cloning : { available: false, reason: flags['no-cloning'] };
const pack = {
  format: 1,
  name: flags.name ?? before.name ?? basename(target),
  description: flags.description ?? before.description,
  license,
  config,
  files,
  default_voice: defaultVoice,
  precision: flags.precision ?? before.precision ?? 'f32',
  cloning,
};
writeFileSync(join(target, 'pack.json'), `${JSON.stringify(pack, null, 2)}\n`);
for (const file of files) console.log(`${file.path}: ${file.bytes} bytes, sha256 ${file.sha256}`);
