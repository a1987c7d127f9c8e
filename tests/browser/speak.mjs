// In the browser, in a page and in a worker: one request of tests/hosts as { frames, sha256 }. `layout`:
// options of load().
import { PocketTTS } from '../../dist/index.js';

/** The 16-bit samples, written here a second time on purpose. */
function pcm(samples) {
  const out = new Int16Array(samples.length);
  samples.forEach((x, i) => {
    out[i] = Math.trunc(Math.fround(Math.min(1, Math.max(-1, x)) * 32767));
  });
  return out;
}

export async function speak(document, { model, precision = 'f32', text, options = {} }, layout = {}) {
  const pack = document.models[model].pack === undefined ? `/packs/${model}/` : undefined;
  const tts = await PocketTTS.load({ pack, precision, ...layout });
  const { samples } = await tts.generate(text, options);
  await tts.dispose();
  const digest = await crypto.subtle.digest('SHA-256', pcm(samples));
  const hex = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return { frames: samples.length / 1920, sha256: hex };
}
