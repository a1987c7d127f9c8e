// The Node host: one request of requests.json as { frames, sha256 } of its 16-bit samples. `layout`: options of load().
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PocketTTS } from '../../dist/node.js';
import { pcm, root, sha256 } from '../node/support.mjs';

export async function speak(document, { model: name, precision = 'f32', text, options = {} }, layout = {}) {
  const model = document.models[name];
  const tts = await PocketTTS.load(
    model.pack === undefined
      ? {
          config: join(root, 'tests', 'golden', 'fixtures', name, 'config.yaml'),
          voice: new Uint8Array(readFileSync(join(root, model.voice))),
          precision,
          ...layout,
        }
      : { pack: join(root, model.pack), precision, ...layout },
  );
  const { samples } = await tts.generate(text, options);
  await tts.dispose();
  return { frames: samples.length / 1920, sha256: sha256(pcm(samples)) };
}
