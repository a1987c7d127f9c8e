// The sound of the player, in the audio thread. Plain JavaScript without imports: it is loaded by its address.
//
// Concurrency: a track is a ring with one writer (the page) and one reader (process()). The page writes by transferred
// blocks, which a message handler copies in, or, where memory can be shared, by itself. `written` and `read` count samples
// and only grow. Messages run between two calls of process(), never beside it. process() allocates nothing.
//
//   page -> { kind: 'open', epoch, capacity, from, speed, now, fade, shared }   a track of the text from second `from` on, at `speed`
//           { kind: 'data', epoch, samples }, { kind: 'end', epoch }            its samples (port only), and that it has no more
//           { kind: 'go' }, { kind: 'play', on }, { kind: 'close' }, { kind: 'sync', id }
//   page <- { kind: 'report', epoch, read, time, starved, ended, moving }, { kind: 'synced', id }
//
// A track takes over from the one that is heard: at once (`now`: a seek; silence until `go`), or in the middle of the sound where both
// are at the same place of the text (a new speed). A ramp of 10 ms is at every edge: a pause, an underrun, a take-over. The first
// track starts without one: the engine has faded it in, and its samples come out as they are.
/* global AudioWorkletProcessor, registerProcessor, sampleRate, currentTime */

const WRITTEN = 0;
const READ = 1;
const ENDED = 2;
const REPORT_SAMPLES = 1024;

class Track {
  constructor({ epoch, capacity, from, speed, shared }) {
    this.epoch = epoch;
    this.from = from;
    this.speed = speed;
    this.capacity = capacity;
    this.shared = shared === undefined ? null : new Int32Array(shared.state);
    this.samples = new Float32Array(shared === undefined ? capacity : shared.samples);
    this.at = 0;
    this.read = 0;
    this.written = 0;
    this.ended = false;
    this.gain = 0;
  }

  /** Sees what the page has written. `ended` first: what was written before it is then seen, too. */
  look() {
    if (this.shared === null) return;
    this.ended = Atomics.load(this.shared, ENDED) !== 0;
    this.written = Atomics.load(this.shared, WRITTEN);
  }

  /** Gives the room back. */
  tell() {
    if (this.shared !== null) Atomics.store(this.shared, READ, this.read);
  }

  get available() {
    return this.written - this.read;
  }

  /** The second of the text that is heard next. */
  get second() {
    return this.from + (this.read / sampleRate) * this.speed;
  }

  write(samples) {
    let at = this.written % this.capacity;
    for (let i = 0; i < samples.length; i++) {
      this.samples[at] = samples[i];
      if (++at === this.capacity) at = 0;
    }
    this.written += samples.length;
  }

  next() {
    const sample = this.samples[this.at];
    if (++this.at === this.capacity) this.at = 0;
    this.read++;
    return sample;
  }

  skip(count) {
    this.at = (this.at + count) % this.capacity;
    this.read += count;
  }
}

class Player extends AudioWorkletProcessor {
  constructor() {
    super();
    this.ramp = Math.round(sampleRate / 100);
    this.current = null;
    this.next = null;
    this.leaving = null;
    this.going = false;
    this.playing = true;
    this.closed = false;
    this.moving = false;
    this.starved = 0;
    this.silent = 0;
    this.reported = 0;
    this.urgent = false;
    this.report = { kind: 'report', epoch: 0, read: 0, time: 0, starved: 0, ended: false, moving: false };
    this.port.onmessage = ({ data }) => this.receive(data);
  }

  receive(message) {
    switch (message.kind) {
      case 'open':
        this.open(message);
        break;
      case 'data':
        for (const track of [this.current, this.next]) if (track?.epoch === message.epoch) track.write(message.samples);
        break;
      case 'end':
        for (const track of [this.current, this.next]) if (track?.epoch === message.epoch) track.ended = true;
        break;
      case 'go':
        this.going = true;
        break;
      case 'play':
        this.playing = message.on;
        break;
      case 'close':
        this.closed = true;
        break;
      case 'sync':
        this.port.postMessage({ kind: 'synced', id: message.id });
    }
  }

  open(message) {
    const track = new Track(message);
    if (this.current !== null && !message.now) {
      this.next = track;
      return;
    }
    this.leave();
    this.current = track;
    this.next = null;
    this.going = false;
    track.gain = message.fade ? 0 : 1;
  }

  /** What is heard goes out with a ramp. */
  leave() {
    if (this.current !== null && this.current.gain > 0) this.leaving = this.current;
  }

  /** Whether the next track takes over before the next sample. */
  due() {
    const { current, next } = this;
    if (next.available < 2 * this.ramp && !next.ended) return false;
    return current.second >= next.from || !this.going || (current.ended && current.available === 0);
  }

  takeOver() {
    const { current, next } = this;
    // Late: both have to be at the same place of the text.
    const late = Math.round(((current.second - next.from) / next.speed) * sampleRate);
    if (late > 0) next.skip(Math.min(late, Math.max(0, next.available - 2 * this.ramp)));
    this.leave();
    this.current = next;
    this.next = null;
    this.urgent = true;
  }

  process(_, outputs) {
    const out = outputs[0][0];
    if (this.current !== null) this.current.look();
    if (this.next !== null) this.next.look();
    for (let i = 0; i < out.length; i++) {
      if (this.next !== null && this.due()) this.takeOver();
      out[i] = this.sample();
    }
    if (this.current !== null) this.current.tell();
    this.tell(out.length);
    return !(this.closed && this.moving === false && this.leaving === null);
  }

  sample() {
    const step = 1 / this.ramp;
    const track = this.current;
    let out = 0;
    if (track !== null) {
      // What is left is kept for the ramp down.
      if (this.going && track.available <= this.ramp && !track.ended) {
        this.going = false;
        this.starved++;
        this.urgent = true;
      }
      const wanted = this.going && this.playing && !this.closed;
      if ((wanted || track.gain > 0) && track.available > 0 && (this.going || track.gain < 1 || this.moving)) {
        if (wanted) out = track.next() * track.gain;
        else {
          track.gain = Math.max(0, track.gain - step);
          out = track.next() * track.gain;
        }
        if (wanted && track.gain < 1) track.gain = Math.min(1, track.gain + step);
        if (track.ended && track.available === 0) this.urgent = true;
        this.moving = true;
      } else {
        this.moving = false;
        if (track.read > 0 && !wanted) track.gain = 0;
      }
    }
    const { leaving } = this;
    if (leaving !== null) {
      leaving.gain -= step;
      if (leaving.gain <= 0 || leaving.available <= 0) this.leaving = null;
      else out += leaving.next() * leaving.gain;
    }
    return out;
  }

  /** Tells the page where the sound is: now and then, and at once when it has to act. */
  tell(count) {
    this.reported += count;
    if (!this.urgent && this.reported < REPORT_SAMPLES) return;
    this.urgent = false;
    this.reported = 0;
    const { report, current } = this;
    report.epoch = current === null ? 0 : current.epoch;
    report.read = current === null ? 0 : current.read;
    report.time = currentTime;
    report.starved = this.starved;
    report.ended = current !== null && current.ended && current.available === 0 && this.next === null;
    report.moving = this.moving;
    this.port.postMessage(report);
  }
}

registerProcessor('pocket-tts-player', Player);
