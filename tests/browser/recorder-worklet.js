// Records what comes in, sample by sample, and posts it in blocks.
/* global AudioWorkletProcessor, registerProcessor, currentFrame */
class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(4096);
    this.at = 0;
    this.first = -1;
    this.port.onmessage = () => this.send();
  }

  send() {
    this.port.postMessage({ first: this.first, samples: this.block.slice(0, this.at) });
    this.at = 0;
    this.first = -1;
  }

  process(inputs) {
    const input = inputs[0][0];
    if (input === undefined) return true;
    if (this.at + input.length > this.block.length) this.send();
    if (this.first < 0) this.first = currentFrame;
    this.block.set(input, this.at);
    this.at += input.length;
    return true;
  }
}
registerProcessor('recorder', Recorder);
