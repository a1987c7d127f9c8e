// WAV as Pocket TTS writes it: 16 bit, mono, and 200 ms of silence at the end. The bytes are those of the reference
// (44-byte header; sizes of two billion where the length is not known), because callers compare and parse them.

/** Zero samples after the last frame. */
export const TRAILING_ZEROS = 4800;
/** The data size that a stream declares: it ends when it ends. */
export const STREAM_DATA_BYTES = 2_000_000_000;

export const WAV_HEADER_BYTES = 44;

/** The header for `dataBytes` bytes of samples. */
export function wavHeader(dataBytes: number, sampleRate: number): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(WAV_HEADER_BYTES);
  const view = new DataView(header.buffer);
  const tag = (at: number, name: string): void => {
    for (let i = 0; i < 4; i++) header[at + i] = name.charCodeAt(i);
  };
  tag(0, 'RIFF');
  view.setUint32(4, dataBytes + 36, true);
  tag(8, 'WAVE');
  tag(12, 'fmt ');
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // mono
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, sampleRate * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  tag(36, 'data');
  view.setUint32(40, dataBytes, true);
  return header;
}

/** Little-endian 16-bit samples: clamped to [-1, 1], times 32767, truncated toward zero. */
export function pcm16(samples: Float32Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(samples.length * 2);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < samples.length; i++) {
    // The product is rounded to f32 first, as in the reference: just below a whole number that decides.
    const sample = samples[i] ?? 0;
    view.setInt16(i * 2, Math.trunc(Math.fround(Math.max(-1, Math.min(1, sample)) * 32767)), true);
  }
  return bytes;
}

/** A complete file with its true sizes and the trailing silence. */
export function encodeWav(samples: Float32Array, sampleRate: number): Uint8Array<ArrayBuffer> {
  const data = pcm16(samples);
  const file = new Uint8Array(WAV_HEADER_BYTES + data.length + TRAILING_ZEROS * 2);
  file.set(wavHeader(data.length + TRAILING_ZEROS * 2, sampleRate));
  file.set(data, WAV_HEADER_BYTES);
  return file;
}
