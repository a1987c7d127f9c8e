// A fixture folder: its configuration, and a model made of it through a door.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { readTensors } from './tensors.mjs';

export const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));
export const readBytes = (path) => new Uint8Array(readFileSync(path));

export class Fixture {
  constructor(folder) {
    this.folder = folder;
    this.config = parse(readFileSync(join(folder, 'config.yaml'), 'utf8'));
  }

  get info() {
    return readJson(join(this.folder, 'golden.json'));
  }

  get goldens() {
    return readTensors(join(this.folder, 'golden.safetensors'));
  }

  has(name) {
    return existsSync(join(this.folder, name));
  }

  bytes(name) {
    return readBytes(join(this.folder, name));
  }

  #files() {
    const files = [];
    const add = (kind, path) => { if (path) files.push({ kind, path: join(this.folder, path) }); };
    add('bundle', this.config.weights_path);
    add('flow_lm', this.config.flow_lm.weights_path);
    add('mimi', this.config.mimi.weights_path);
    return files;
  }

  /** Opens the model; `changes` go over the top level of the configuration, `tokenizer` replaces its file. */
  async open(engine, { changes = {}, tokenizer = undefined } = {}) {
    const config = JSON.parse(JSON.stringify({ ...this.config, ...changes }));
    const table = config.flow_lm.lookup_table;
    if (tokenizer !== undefined) table.tokenizer = tokenizer.endsWith('.json') ? 'tokenizers' : 'sentencepiece';
    const path = tokenizer ?? join(this.folder, table.tokenizer_path);
    return engine.openModel({
      config,
      tokenizer: readBytes(path),
      tokenizerKind: table.tokenizer === 'tokenizers' || path.endsWith('.json') ? 'json' : 'sentencepiece',
      files: this.#files(),
    });
  }
}
