// The largest deviation allowed, as the recorder of the goldens suggests it: several times the largest difference between its own
// float32 and float64 runs. Never widened to pass.
export const TOLERANCE = {
  encoder: 1e-5, // text.emb, voice.*, real.*
  state: 3e-5, // key/value caches, hidden, EOS logit, prefill
  oneStep: 3e-5, // flow.v, time embeddings, teacher-forced latents
  freeRun: 2e-4, // 14 steps on own latents
  audio: 5e-6, // Mimi decoder output (rms 0.1)
  decoder: 3e-5, // inside of the Mimi decoder (rms 1)
  resample: 1e-6,
  samples: 1e-7, // reading, cutting and fading: a rounding at most
  normalBlocks: 2e-6, // draws of 16 values or more
  normalSingles: 1e-6, // fewer
  speech: { audio: 1e-4, latents: 5e-4 }, // end to end at temperature 0.3
  speechAtZero: { audio: 5e-4, latents: 2e-3 }, // at 0: a zero input to a LayerNorm head amplifies
};
