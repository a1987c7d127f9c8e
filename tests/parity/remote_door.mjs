// A door in a child process that speaks PROTOCOL.md on its stdin and stdout.
import { spawn } from 'node:child_process';
import { DoorError } from './engine.mjs';

const NEWLINE = 0x0a;

/** Starts the command; the door's stderr is ours. */
export function openRemoteDoor(command, args, options = {}) {
  const child = spawn(command, args, { ...options, stdio: ['pipe', 'pipe', 'inherit'] });
  const reader = new Reader(child.stdout);
  child.on('error', (error) => reader.end(new Error(`the door ${command} does not start: ${error.message}`)));
  child.on('exit', (code, signal) => reader.end(new Error(`the door ${command} ended (${signal ?? `exit status ${code}`})`)));
  child.stdin.on('error', () => {}); // the end of the child is reported by its exit
  let lastId = 0;

  return {
    async call(verb, fields, payloads) {
      const id = ++lastId;
      const line = JSON.stringify({ id, verb, ...fields, bytes: payloads.map((payload) => payload.length) });
      child.stdin.write(`${line}\n`);
      for (const payload of payloads) child.stdin.write(payload);
      const answer = JSON.parse((await reader.line()).toString('utf8'));
      if (answer.id !== id) throw new Error(`the door answered request ${answer.id}, expected ${id}`);
      const received = [];
      for (const length of answer.bytes ?? []) received.push(await reader.bytes(length));
      if (answer.error !== undefined) throw new DoorError(answer.error);
      return { fields: answer, payloads: received };
    },
    async close() {
      child.stdin.end();
    },
  };
}

/** Lines and counted bytes out of one stream. */
class Reader {
  #parts = [];
  #size = 0;
  #wanted = null;
  #error = null;

  constructor(stream) {
    stream.on('data', (part) => {
      this.#parts.push(part);
      this.#size += part.length;
      this.#wake();
    });
  }

  end(error) {
    this.#error ??= error;
    this.#wake();
  }

  #wake() {
    this.#wanted?.();
    this.#wanted = null;
  }

  async #more() {
    if (this.#error !== null) throw this.#error;
    await new Promise((resolve) => { this.#wanted = resolve; });
  }

  async bytes(count) {
    while (this.#size < count) await this.#more();
    const whole = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts);
    this.#parts = whole.length > count ? [whole.subarray(count)] : [];
    this.#size -= count;
    return new Uint8Array(whole.subarray(0, count));
  }

  async line() {
    for (;;) {
      let before = 0;
      for (const part of this.#parts) {
        const at = part.indexOf(NEWLINE);
        if (at >= 0) return Buffer.from((await this.bytes(before + at + 1)).subarray(0, -1));
        before += part.length;
      }
      await this.#more();
    }
  }
}
