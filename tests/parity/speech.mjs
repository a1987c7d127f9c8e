// Speaks a text frame by frame through a door, as the reference's end-to-end runs did, and keeps everything on the way.
import { parseTensors } from './tensors.mjs';

/** All recordings of one name, in order. */
export function series(recordings, name) {
  if (recordings.has(name)) return [recordings.get(name)];
  const found = [];
  for (let k = 0; recordings.has(`${name}#${k}`); k++) found.push(recordings.get(`${name}#${k}`));
  return found;
}

/** Runs `body` with recording on and returns [its result, the recordings]. */
export async function recorded(engine, body) {
  await engine.probe(true);
  try {
    const result = await body();
    return [result, parseTensors(await engine.takeProbes())];
  } finally {
    await engine.probe(false);
  }
}

/**
 * Steps a fresh session to its end. Each step of the reference is one entry of `steps`: { latent, eosLogit }, where the last step
 * of a chunk that ended has neither, because its latent is dropped. `calls` is the reference's order of calls.
 */
export async function speak(engine, model, voice, text, options) {
  const session = await engine.openSession(model, voice, text, options);
  const chunks = [];
  const steps = [];
  let calls = '';
  let latents = [];
  try {
    for (;;) {
      const { result, event, latent } = await engine.step(session);
      if (result === 'done') break;
      if (result === 'frame') {
        latents.push(latent);
        steps.push({ latent, eosLogit: event.eosLogit });
        continue;
      }
      calls += `T${'s'.repeat(latents.length)}`;
      if (event.truncated === 0) {
        calls += 's';
        steps.push({ latent: undefined, eosLogit: undefined });
      }
      chunks.push(latents);
      latents = [];
    }
  } finally {
    await engine.close(session);
  }
  return { chunks, steps, calls };
}

/** Decodes chunks of latents, one latent per call, a fresh state and a fade for each chunk. */
export async function decodeChunks(engine, model, chunks) {
  const codec = await engine.openCodec(model);
  const parts = [];
  try {
    for (const latents of chunks) {
      await engine.resetCodec(codec);
      for (const latent of latents) parts.push(await engine.decode(codec, latent, 1));
    }
  } finally {
    await engine.close(codec);
  }
  return parts;
}
