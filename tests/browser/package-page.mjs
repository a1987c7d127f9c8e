// Loads an entry of the package with the options in this page's query, and leaves what came of it in the page.
const query = new URL(document.URL).searchParams;

async function main() {
  const { PocketTTS } = await import(query.get('entry'));
  const before = performance.getEntriesByType('resource').map(({ name }) => name);
  try {
    const tts = await PocketTTS.load(JSON.parse(query.get('options') ?? '{}'));
    const { samples } = await tts.generate('The quick brown fox jumps over the lazy dog.');
    const { worker, reason, isolated } = tts.info;
    // As fast as it goes, into a buffer: the worklet is in its place and its sound comes out.
    const context = new self.OfflineAudioContext(1, 24000, 24000);
    const player = tts.play('Hello there.', { context });
    const played = await player.ready.then(async () => {
      const sound = (await context.startRendering()).getChannelData(0).some((x) => x !== 0);
      player.stop();
      return sound;
    }, (error) => `${error.code}: ${error.message}`);
    await player.finished.catch(() => undefined);
    await tts.dispose();
    return { before, samples: Array.from(samples), worker, reason, isolated, played };
  } catch (error) {
    return { before, code: error.code, message: error.message };
  }
}

const result = await main().catch((error) => ({ error: error.stack ?? String(error) }));
document.querySelector('pre').textContent = JSON.stringify(result);
document.title = 'done';
