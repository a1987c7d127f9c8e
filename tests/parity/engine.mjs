// The engine as the checks see it: the verbs of PROTOCOL.md as methods, over any door. A door is one function,
// call(verb, fields, payloads) -> { fields, payloads }, which throws DoorError for a refusal.

export class DoorError extends Error {
  constructor({ status, name, message }) {
    super(`${name}: ${message}`);
    this.status = status;
    this.code = name;
  }
}

/** The verb is not there in this door. */
export const isUnsupported = (error) => error instanceof DoorError && error.code === 'UNSUPPORTED';

export const bytesOf = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
const textBytes = (text) => new TextEncoder().encode(text);
const text = (bytes) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
const floats = (bytes) => new Float32Array(bytes.slice().buffer);
const integers = (bytes) => [...new Int32Array(bytes.slice().buffer)];

export class Engine {
  #door;

  constructor(door) {
    this.#door = door;
  }

  async #call(verb, fields = {}, payloads = []) {
    return this.#door.call(verb, fields, payloads);
  }

  async hello() {
    return (await this.#call('hello')).fields;
  }

  async openModel({ config, tokenizer, tokenizerKind, files, precision = 'f32' }) {
    const { fields } = await this.#call('model.open', { tokenizerKind, precision, files }, [textBytes(JSON.stringify(config)), tokenizer]);
    return fields;
  }

  async close(object) {
    await this.#call('close', { object });
  }

  async tokenize(model, input) {
    return integers((await this.#call('tokenize', { model }, [textBytes(input)])).payloads[0]);
  }

  async detokenize(model, ids) {
    return text((await this.#call('detokenize', { model }, [bytesOf(Int32Array.from(ids))])).payloads[0]);
  }

  async prepare(model, input) {
    const { fields, payloads } = await this.#call('prepare', { model }, [textBytes(input)]);
    return { prepared: text(payloads[0]), guess: fields.guess };
  }

  async plan(model, voice, input, maxTokens) {
    return (await this.#call('plan', { model, voice, maxTokens }, [textBytes(input)])).fields.chunks;
  }

  async loadVoice(model, bytes) {
    return (await this.#call('voice.load', { model }, [bytes])).fields;
  }

  async voiceFromWav(model, bytes) {
    return (await this.#call('voice.wav', { model, maxSeconds: 0 }, [bytes])).fields;
  }

  async exportVoice(voice) {
    return (await this.#call('voice.export', { voice })).payloads[0];
  }

  async openSession(model, voice, input, options) {
    return (await this.#call('session.open', { model, voice, options }, [textBytes(input)])).fields.session;
  }

  async step(session) {
    return this.#stepped(await this.#call('session.step', { session }));
  }

  async force(session, previous, noise) {
    const payloads = [previous, noise].map((values) => (values === null ? new Uint8Array() : bytesOf(values)));
    return this.#stepped(await this.#call('session.force', { session }, payloads));
  }

  #stepped({ fields, payloads }) {
    return { result: fields.result, event: fields.event, latent: fields.result === 'frame' ? floats(payloads[0]) : undefined };
  }

  async openCodec(model) {
    return (await this.#call('codec.open', { model })).fields.codec;
  }

  async fade(codec, on) {
    await this.#call('codec.fade', { codec, on: on ? 1 : 0 });
  }

  async resetCodec(codec) {
    await this.#call('codec.reset', { codec });
  }

  async decode(codec, latents, count) {
    return floats((await this.#call('codec.decode', { codec, count }, [bytesOf(latents)])).payloads[0]);
  }

  async flowVelocity(model, times, condition, x) {
    return floats((await this.#call('flow.velocity', { model, times }, [bytesOf(condition), bytesOf(x)])).payloads[0]);
  }

  async probe(on) {
    await this.#call('probe', { on: on ? 1 : 0 });
  }

  /** The recordings since the last call, as the bytes of a safetensors file. */
  async takeProbes() {
    return (await this.#call('probe.take')).payloads[0];
  }

  async normals(seed, temperature, clamp, widths) {
    return floats((await this.#call('normals', { seed, temperature, clamp, widths })).payloads[0]);
  }

  async readWav(bytes) {
    const { fields, payloads } = await this.#call('wav.read', {}, [bytes]);
    return { sampleRate: fields.sampleRate, samples: floats(payloads[0]) };
  }

  async resample(samples, from, to) {
    return floats((await this.#call('resample', { from, to }, [bytesOf(samples)])).payloads[0]);
  }

  async pause(samples) {
    return floats((await this.#call('pause', {}, [bytesOf(samples)])).payloads[0]);
  }
}
