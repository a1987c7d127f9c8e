// The door of this process: the module that Emscripten made of wasm/embind.cpp, behind the verbs of PROTOCOL.md.
import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { bytesOf, DoorError } from './engine.mjs';

const REPOSITORY = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const MODULES = ['build/wasm/pocket_tts.mjs', 'dist/pocket_tts.mjs'];
const SLICE = 1 << 20;

/** The first of `modules` that is there. */
export async function openNodeDoor(modules = MODULES) {
  const path = modules.map((name) => join(REPOSITORY, name)).find((candidate) => existsSync(candidate));
  if (path === undefined) throw new Error(`the wasm module is not built: expected one of ${modules.join(', ')}`);
  const { default: create } = await import(pathToFileURL(path).href);
  const door = new NodeDoor(await create());
  return {
    async call(verb, fields, payloads) {
      return door.call(verb, fields, payloads);
    },
    async close() {},
  };
}

class NodeDoor {
  #module;
  #objects = new Map();
  #widths = new Map(); // of a session's latents
  #frames = new Map(); // samples of a codec's frames
  #lastObject = 0;
  #verbs = {
    hello: () => ({ fields: { door: 'node', version: this.#module.version() } }),
    'model.open': (request, payloads) => this.#openModel(request, payloads),
    close: ({ object }) => this.#close(object),
    tokenize: ({ model }, [text]) => this.#withOut([text], (out, input) => this.#object(model).tokenize(input, out)),
    detokenize: ({ model }, [ids]) => this.#withOut([ids], (out, input) => this.#object(model).detokenize(input, out)),
    prepare: ({ model }, [text]) => this.#prepare(model, text),
    plan: (request, [text]) => this.#plan(request, text),
    'voice.load': ({ model }, [file]) => this.#makeVoice(model, file, (voice, owner, memory) => voice.load(owner, memory)),
    'voice.wav': ({ model, maxSeconds = 0 }, [file]) =>
      this.#makeVoice(model, file, (voice, owner, memory) => voice.fromWav(owner, memory, maxSeconds)),
    'voice.export': ({ voice }) => this.#withOut([], (out) => this.#object(voice).exportTo(out)),
    'session.open': (request, [text]) => this.#openSession(request, text),
    'session.step': ({ session }) => this.#step(session, (object, latent) => object.step(latent)),
    'session.force': ({ session }, payloads) => this.#force(session, payloads),
    'codec.open': ({ model }) => this.#openCodec(model),
    'codec.fade': ({ codec, on }) => this.#checked(this.#object(codec).fade(on === 1)),
    'codec.reset': ({ codec }) => this.#checked(this.#object(codec).reset()),
    'codec.decode': ({ codec, count }, [latents]) => this.#withOut([latents], (out, input) => {
      out.allocate(count * this.#frames.get(codec) * 4);
      return this.#object(codec).decode(input, count, out);
    }),
    probe: ({ on }) => this.#checked(this.#module.probe(on === 1)),
    'probe.take': () => this.#withOut([], (out) => this.#module.probeTake(out)),
    'flow.velocity': ({ model, times }, payloads) => this.#flowVelocity(model, times, payloads),
    normals: ({ seed, temperature, clamp, widths }) => this.#withOut([bytesOf(Uint32Array.from(widths))],
      (out, input) => this.#module.normals(seed, temperature, clamp, input, out)),
    'wav.read': (_, [file]) => this.#readWav(file),
    resample: ({ from, to }, [samples]) => this.#withOut([samples], (out, input) => this.#module.resample(input, from, to, out)),
    pause: (_, [samples]) => this.#withOut([samples], (out, input) => this.#module.endOnPause(input, out)),
  };

  constructor(module) {
    this.#module = module;
  }

  call(verb, fields, payloads) {
    const body = this.#verbs[verb];
    if (body === undefined) throw new DoorError({ status: 0, name: 'UNSUPPORTED', message: verb });
    return { fields: {}, payloads: [], ...body(fields, payloads) };
  }

  // ---- objects and memory --------------------------------------------------------------------------------------------

  #keep(object) {
    this.#objects.set(++this.#lastObject, object);
    return this.#lastObject;
  }

  /** An object that is not there is an unopened one: the engine refuses it by itself. */
  #object(number) {
    return this.#objects.get(number) ?? new this.#module.Model();
  }

  #close(number) {
    this.#objects.get(number)?.delete();
    this.#objects.delete(number);
    return {};
  }

  #check(status) {
    if (status >= 0) return status;
    throw new DoorError({ status, name: this.#module.statusName(status), message: this.#module.message() });
  }

  #checked(status) {
    this.#check(status);
    return {};
  }

  #memory(bytes) {
    const memory = new this.#module.Memory();
    if (!memory.allocate(bytes.length)) throw new Error(`${bytes.length} bytes were refused`);
    memory.bytes().set(bytes);
    return memory;
  }

  /** Runs `body` with the payloads in linear memory. */
  #withInputs(payloads, body) {
    const memories = payloads.map((bytes) => this.#memory(bytes));
    try {
      return body(...memories);
    } finally {
      for (const memory of memories) memory.delete();
    }
  }

  /** The same for a call that fills `out`, which becomes the payload of the answer. */
  #withOut(payloads, body) {
    return this.#withInputs(payloads, (...inputs) => {
      const out = new this.#module.Memory();
      try {
        this.#check(body(out, ...inputs));
        return { payloads: [out.bytes().slice()] };
      } finally {
        out.delete();
      }
    });
  }

  // ---- verbs of more than one call -----------------------------------------------------------------------------------

  #openModel({ tokenizerKind, precision = 'f32', files }, [config, tokenizer]) {
    const m = this.#module;
    const kinds = { bundle: m.FILE_BUNDLE, flow_lm: m.FILE_FLOW_LM, mimi: m.FILE_MIMI };
    const pack = new m.Pack();
    const model = new m.Model();
    try {
      this.#withInputs([config, tokenizer], (configMemory, tokenizerMemory) => {
        this.#check(pack.open(configMemory, m.PART_ALL, m[`PRECISION_${(precision ?? 'f32').toUpperCase()}`]));
        this.#check(pack.tokenizer(tokenizerKind === 'json' ? m.TOKENIZER_JSON : m.TOKENIZER_SENTENCEPIECE, tokenizerMemory));
      });
      for (const { kind, path } of files) this.#feed(pack, kinds[kind], path);
      this.#check(pack.finish(model));
    } catch (error) {
      model.delete();
      throw error;
    } finally {
      pack.delete();
    }
    const { latentWidth, samplesPerFrame, layers, vocabulary, canClone, weightBytes } = model.info();
    return { fields: { model: this.#keep(model), latentWidth, samplesPerFrame, layers, vocabulary, canClone, weightBytes } };
  }

  #feed(pack, kind, path) {
    const file = openSync(path, 'r');
    const slice = this.#memory(new Uint8Array(SLICE));
    try {
      this.#check(pack.file(kind, statSync(path).size));
      for (;;) {
        const n = readSync(file, slice.bytes(), 0, SLICE, null);
        if (n === 0) break;
        this.#check(pack.feed(slice, n));
      }
    } finally {
      slice.delete();
      closeSync(file);
    }
  }

  #plan({ model, voice, maxTokens }, text) {
    const session = new this.#module.Session();
    try {
      const options = { ...this.#module.defaultOptions(this.#object(model)), maxTokens };
      this.#withInputs([text], (memory) => this.#check(session.open(this.#object(model), this.#object(voice), memory, options)));
      const chunks = Array.from({ length: session.chunkCount() }, (_, i) => {
        const { framesAfterEos, maxFrames, overLimit } = session.chunk(i);
        const [chunk, prompt] = [session.chunkText(i, 0), session.chunkText(i, 1)];
        return { chunk, prompt, ids: [...session.chunkIds(i)], framesAfterEos, maxFrames, overLimit };
      });
      return { fields: { chunks } };
    } finally {
      session.delete();
    }
  }

  #makeVoice(model, file, fill) {
    const voice = new this.#module.Voice();
    try {
      this.#withInputs([file], (memory) => this.#check(fill(voice, this.#object(model), memory)));
    } catch (error) {
      voice.delete();
      throw error;
    }
    return { fields: { voice: this.#keep(voice), positions: voice.positions() } };
  }

  #openSession({ model, voice, options: given = {} }, text) {
    const m = this.#module;
    const { rng, ...rest } = given;
    const options = { ...m.defaultOptions(this.#object(model)), ...rest };
    if (rng !== undefined) options.rng = rng === 'torch' ? m.RNG_TORCH : m.RNG_CHUNK;
    const session = new m.Session();
    try {
      this.#withInputs([text], (memory) => this.#check(session.open(this.#object(model), this.#object(voice), memory, options)));
    } catch (error) {
      session.delete();
      throw error;
    }
    const number = this.#keep(session);
    this.#widths.set(number, this.#object(model).info().latentWidth);
    return { fields: { session: number } };
  }

  #openCodec(model) {
    const codec = new this.#module.Codec();
    this.#check(codec.open(this.#object(model)));
    const number = this.#keep(codec);
    this.#frames.set(number, this.#object(model).info().samplesPerFrame);
    return { fields: { codec: number } };
  }

  #step(session, run) {
    const object = this.#object(session);
    const width = this.#widths.get(session) ?? 0;
    return this.#withInputs([new Uint8Array(width * 4)], (latent) => {
      const status = this.#check(run(object, latent));
      const result = status === this.#module.OK ? 'frame' : status === this.#module.CHUNK_END ? 'chunk_end' : 'done';
      return { fields: { result, event: object.event() }, payloads: result === 'frame' ? [latent.bytes().slice()] : [] };
    });
  }

  #force(session, payloads) {
    return this.#withInputs(payloads, (previous, noise) => {
      const given = (memory) => (memory.length() === 0 ? null : memory);
      return this.#step(session, (object, latent) => object.stepForced(given(previous), given(noise), latent));
    });
  }

  /** An answer whose call returns a number beside what it writes. */
  #withNumber(name, payloads, body) {
    let number = 0;
    const answer = this.#withOut(payloads, (out, input) => (number = body(out, input)));
    return { ...answer, fields: { [name]: number } };
  }

  #prepare(model, text) {
    return this.#withNumber('guess', [text], (out, input) => this.#object(model).prepare(input, out));
  }

  #flowVelocity(model, times, [condition, x]) {
    return this.#withOut([condition, bytesOf(Float32Array.from(times)), x], (out, conditionMemory, timesMemory, xMemory) => {
      out.allocate(x.length);
      return this.#object(model).flowVelocity(conditionMemory, timesMemory, xMemory, out);
    });
  }

  #readWav(file) {
    return this.#withNumber('sampleRate', [file], (out, input) => this.#module.wavRead(input, out));
  }
}
