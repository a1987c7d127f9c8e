import { writeFile } from 'node:fs/promises';
import { PocketTTS } from 'pocket-tts-wasm';

const [text = 'Hello there.', path = 'hello.wav'] = process.argv.slice(2);
const tts = await PocketTTS.load();
const speech = await tts.generate(text);
await writeFile(path, speech.toWav());
console.log(`Done: ${speech.duration.toFixed(2)} s in ${path}`);
await tts.dispose();
