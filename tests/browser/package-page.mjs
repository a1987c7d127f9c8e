// Loads an entry of the package with the options in this page's query, and leaves what came of it in the page.
const query = new URL(document.URL).searchParams;

async function main() {
  const { PocketTTS } = await import(query.get('entry'));
  const before = performance.getEntriesByType('resource').map(({ name }) => name);
  try {
    const tts = await PocketTTS.load(JSON.parse(query.get('options') ?? '{}'));
    const { samples } = await tts.generate('The quick brown fox jumps over the lazy dog.');
    const { worker, reason, isolated } = tts.info;
    await tts.dispose();
    return { before, samples: Array.from(samples), worker, reason, isolated };
  } catch (error) {
    return { before, code: error.code, message: error.message };
  }
}

const result = await main().catch((error) => ({ error: error.stack ?? String(error) }));
document.querySelector('pre').textContent = JSON.stringify(result);
document.title = 'done';
