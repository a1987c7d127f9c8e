// Makes a pack (FORMAT.md) out of a configuration file of the reference and the files beside it:
//
//   node models/make_pack.mjs SOURCE TARGET [--name N] [--description D] [--license L] [--precision f32|q8|q4]
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

const USAGE = `usage: node models/make_pack.mjs SOURCE TARGET [--name N] [--description D] [--license L] [--precision f32|q8|q4]
                                [--voice NAME=FILE]... [--default-voice NAME] [--no-cloning REASON]`;

/** A failure that was explained: one line, exit 1. */
class Failure extends Error {}

/** YAML 1.1 as PyYAML, the reference's parser, reads it: a single y or n is text (web/config-node.ts does the same). */
const asPyYaml = (tags) => tags.map((tag) => (tag.tag !== 'tag:yaml.org,2002:bool' ? tag
  : { ...tag, test: tag.identify(true) ? /^(?:yes|Yes|YES|true|True|TRUE|on|On|ON)$/ : /^(?:no|No|NO|false|False|FALSE|off|Off|OFF)$/ }));

/** What a failed call of the file system says, with `what` for the file. */
function explain(error, what) {
  if (typeof error.code !== 'string') throw error;
  return new Failure(`${what}: ${error.code === 'ENOENT' ? 'no such file' : error.message}`);
}

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
    if (paths.length === 2) return { flags: values, paths };
    console.error(USAGE);
  } catch (error) {
    console.error(`${USAGE}\n\nERROR: ${error.message}`);
  }
  process.exit(2);
}

/** The mapping in a configuration file. */
function readConfig(path) {
  let text;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw explain(error, path);
  }
  let config;
  try {
    config = parse(text, { version: '1.1', prettyErrors: false, customTags: asPyYaml });
  } catch (error) {
    throw new Failure(`${path}: expected YAML: ${error.message}`);
  }
  for (const field of ['flow_lm', 'flow_lm.lookup_table', 'mimi']) {
    const value = field.split('.').reduce((fields, key) => fields?.[key], config);
    if (typeof value !== 'object' || value === null) throw new Failure(`${path}: ${field}: expected a mapping`);
  }
  return config;
}

/** The pack.json that a folder has, or no fields at all. */
function readBefore(target) {
  const path = join(target, 'pack.json');
  if (!existsSync(path)) return {};
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Failure(`${path}: expected JSON: ${error.message}`);
  }
}

/**
 * What the configuration and the flags name, as { from, path, rest }. The field that names a file says afterwards where
 * it is in the pack.
 */
function listFiles(source, config, flags, before) {
  const folder = dirname(source);
  const files = [];
  const add = (field, from, path, rest) => {
    if (/^[a-z][a-z0-9+.-]+:\/\//i.test(from)) throw new Failure(`${field}: ${from}: download it and name the local file`);
    const place = resolve(folder, from);
    let found;
    try {
      found = statSync(place);
    } catch (error) {
      throw explain(error, `${field}: ${place}`);
    }
    if (!found.isFile()) throw new Failure(`${field}: ${place}: expected a plain file`);
    files.push({ from: place, path, rest });
    return path;
  };
  const take = (fields, key, field, path, rest) => {
    if (typeof fields[key] !== 'string') throw new Failure(`${source}: ${field}: expected a path`);
    fields[key] = add(`${source}: ${field}`, fields[key], path, rest);
  };
  if (config.weights_path) take(config, 'weights_path', 'weights_path', 'model.safetensors', { role: 'weights' });
  delete config.weights_path_without_voice_cloning;
  for (const [fields, name, file] of [
    [config.flow_lm, 'flow_lm', 'flow_lm.safetensors'],
    [config.mimi, 'mimi', 'mimi.safetensors'],
  ]) {
    const role = `weights-${name.replace('_', '-')}`;
    if (fields.weights_path) take(fields, 'weights_path', `${name}.weights_path`, file, { role });
  }
  const table = config.flow_lm.lookup_table;
  const kind = table.tokenizer === 'tokenizers' || `${table.tokenizer_path}`.endsWith('.json') ? 'json' : 'sentencepiece';
  const tokenizer = kind === 'json' ? 'tokenizer.json' : 'tokenizer.model';
  take(table, 'tokenizer_path', 'flow_lm.lookup_table.tokenizer_path', tokenizer, { role: 'tokenizer', kind });

  // A lone voice.safetensors keeps the name that the pack's voice had.
  const lone = resolve(folder, 'voice.safetensors');
  const voices =
    flags.voice?.map((voice) => {
      const [name, file] = /^([^=]+)=(.+)$/.exec(voice)?.slice(1) ?? [basename(voice, '.safetensors'), voice];
      return [name, resolve(file)];
    }) ?? (existsSync(lone) ? [[before.default_voice ?? 'default', lone]] : []);
  for (const [name, file] of voices) {
    if (/[/\\\0]/.test(name)) throw new Failure(`--voice ${name}: expected a name without / and \\`);
    if (files.some(({ rest }) => rest.name === name)) throw new Failure(`--voice ${name}: there are two of this name`);
    add(`--voice ${name}`, file, `voices/${name}.safetensors`, { role: 'voice', name });
  }
  return files;
}

function makePack({ flags, paths: [from, to] }) {
  const isFolder = statSync(from, { throwIfNoEntry: false })?.isDirectory() ?? false;
  const source = isFolder ? join(from, 'config.yaml') : from;
  const target = resolve(to);
  const config = readConfig(source);
  const before = readBefore(target);
  const list = listFiles(source, config, flags, before);
  const voices = list.flatMap(({ rest }) => (rest.role === 'voice' ? [rest.name] : []));
  const defaultVoice =
    flags['default-voice'] ?? (voices.includes(before.default_voice) ? before.default_voice : voices[0]);
  if (defaultVoice !== undefined && !voices.includes(defaultVoice)) {
    throw new Failure(`--default-voice ${defaultVoice}: expected one of the voices (${voices.join(', ') || 'none'})`);
  }
  const precision = flags.precision ?? before.precision;
  if (![undefined, 'f32', 'q8', 'q4'].includes(precision)) throw new Failure(`--precision ${precision}: expected f32, q8 or q4`);

  // Everything is there: only now TARGET is touched.
  const license = flags.license ?? before.license;
  const files = list.map(({ from: file, path, rest }) => {
    const place = join(target, path);
    mkdirSync(dirname(place), { recursive: true });
    if (file !== place) {
      rmSync(place, { force: true });
      copyFileSync(file, place);
      chmodSync(place, 0o644); // whatever it was at its source
    }
    const bytes = readFileSync(place);
    const own = before.files?.find((known) => known.path === path)?.license ?? license;
    return {
      path,
      ...rest,
      bytes: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
      ...(own === undefined ? {} : { license: own }),
    };
  });
  const pack = {
    format: 1,
    name: flags.name ?? before.name ?? basename(target),
    description: flags.description ?? before.description,
    license,
    config,
    files,
    default_voice: defaultVoice,
    precision,
    cloning: flags['no-cloning'] === undefined ? before.cloning : { available: false, reason: flags['no-cloning'] },
  };
  writeFileSync(join(target, 'pack.json'), `${JSON.stringify(pack, null, 2)}\n`);
  for (const file of files) console.log(`${file.path}: ${file.bytes} bytes, sha256 ${file.sha256}`);
}

const args = readArguments();
try {
  makePack(args);
} catch (error) {
  // Those of the file system have a code; anything else is a mistake in here and shows where.
  if (!(error instanceof Failure) && typeof error.code !== 'string') throw error;
  console.error(`ERROR: ${error.message.replaceAll(/\s*\n\s*/g, ' ')}`);
  process.exitCode = 1;
}
