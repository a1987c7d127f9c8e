'use client';

import { PocketTTS } from 'pocket-tts-wasm';
import { useRef, useState } from 'react';
import type { FormEvent } from 'react';

export function Speaker() {
  const loading = useRef<Promise<PocketTTS>>(undefined);
  const [status, setStatus] = useState('');
  const [audio, setAudio] = useState<string>();

  async function speak(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const text = String(new FormData(event.currentTarget).get('text'));
    const button = (event.nativeEvent as SubmitEvent).submitter;
    setStatus('Working');
    try {
      // The first time, the voice is fetched and the engine is started.
      const tts = await (loading.current ??= PocketTTS.load());
      if (button?.getAttribute('name') === 'play') {
        await tts.play(text).finished;
        setStatus('Done: played');
        return;
      }
      const speech = await tts.generate(text);
      setAudio(URL.createObjectURL(new Blob([speech.toWav()], { type: 'audio/wav' })));
      setStatus(`Done: ${speech.duration.toFixed(2)} s, ${tts.info.worker ? 'in a worker' : 'without a worker'}`);
    } catch (error) {
      setStatus(`Failed: ${String(error)}`);
    }
  }

  return (
    <>
      <form onSubmit={speak}>
        <label>
          Text <input name="text" defaultValue="Hello there." size={60} />
        </label>
        <button name="play">Play</button>
        <button name="wav">WAV</button>
      </form>
      <p role="status">{status}</p>
      <audio controls src={audio} />
    </>
  );
}
