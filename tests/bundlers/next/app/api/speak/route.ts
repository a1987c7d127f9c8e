import { PocketTTS } from 'pocket-tts-wasm';

export const runtime = 'nodejs';

let loading: Promise<PocketTTS> | undefined;

/** POST a text, get a WAV file. */
export async function POST(request: Request): Promise<Response> {
  const text = await request.text();
  // Once for all requests; what failed is tried again.
  loading ??= PocketTTS.load().catch((error: unknown) => {
    loading = undefined;
    throw error;
  });
  const tts = await loading;
  const speech = await tts.generate(text, { signal: request.signal });
  return new Response(speech.toWav(), { headers: { 'content-type': 'audio/wav' } });
}
