// Records what comes in, sample by sample, and posts it in blocks. Where the clock of the context jumps (Chromium's does, by one buffer
// of its device, when its thread is late), nobody was asked for samples: there is nothing between two blocks.
/* global AudioWorkletProcessor, registerProcessor */
class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(4096);
    this.at = 0;
    this.silence = new Float32Array(128);
    this.port.onmessage = () => this.send(true);
  }

  send(last) {
    this.port.postMessage({ samples: this.block.slice(0, this.at), last });
    this.at = 0;
  }

  process(inputs) {
    // Without anything that sounds in front there is no input.
    const input = inputs[0][0] ?? this.silence;
    if (this.at + input.length > this.block.length) this.send(false);
    this.block.set(input, this.at);
    this.at += input.length;
    return true;
  }
}
registerProcessor('recorder', Recorder);
