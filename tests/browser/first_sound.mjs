// Prints how soon the reader speaks without a network: after a first visit the server is stopped and the page loaded again; the
// play key is pressed as soon as the document is there, which is before the voice is. Speaking begins when the voice is loaded, and the
// audio thread reports when it has played: the number is the time between the two, with the making of the first speech, of the audio
// context and of its thread in it, and without the way to the loudspeaker. (A key that comes after the voice counts from the key.)
// Not a test: what it prints depends on the machine and on what else it does.
//
//   node tests/browser/first_sound.mjs [--browser chromium] [--rounds 7]
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildPages } from '../../web/pages/build.mjs';
import { servePages } from '../../web/pages/serve.mjs';
import { launch } from './drivers.mjs';

const { values } = parseArgs({ options: { browser: { type: 'string', default: 'chromium' }, rounds: { type: 'string', default: '7' } } });
const TEXT = '# A page\n\nThe quick brown fox jumps over the lazy dog. And then it does it again.';

const folder = mkdtempSync(join(tmpdir(), 'first-sound-'));
await buildPages(folder);
let server = await servePages({ folder });
const browser = await launch(values.browser);
const rows = [];
try {
  const page = await browser.open(`${server.url}/reader/`);
  await page.waitFor(() => document.documentElement.dataset.offline === 'ready');
  await page.evaluate((text) => {
    document.getElementById('text').value = text;
    document.getElementById('paste').requestSubmit();
  }, TEXT);
  await page.waitFor(() => document.querySelectorAll('.sentence').length > 2);
  await server.close();
  server = undefined;
  for (let round = 0; round < Number(values.rounds); round++) {
    await page.reload();
    // The document is open again by its address.
    await page.waitFor(() => document.querySelector('.sentence') !== null);
    await page.evaluate(() => {
      const controls = document.getElementById('controls');
      document.addEventListener('keydown', (event) => (self.pressed ??= event.timeStamp), { capture: true });
      new self.MutationObserver(() => {
        if (controls.dataset.state === 'playing') self.heard ??= performance.now();
      }).observe(controls, { attributes: true });
    });
    await page.press('Space');
    // All in milliseconds since the navigation began.
    const [pressed, loaded, heard] = await page.waitFor(
      () => self.heard !== undefined && [self.pressed, performance.getEntriesByName('voice-ready')[0].startTime, self.heard],
    );
    const sound = heard - Math.max(loaded, pressed);
    rows.push({ loaded, sound });
    console.log(`round ${round + 1}: voice loaded ${Math.round(loaded)} ms after the navigation began, the key ${Math.round(Math.abs(loaded - pressed))} ms ${pressed < loaded ? 'before' : 'after'} that, first sound ${Math.round(sound)} ms after ${pressed < loaded ? 'the voice' : 'the key'}`);
  }
} finally {
  await browser.close();
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
}
const median = (name) => Math.round(rows.map((row) => row[name]).sort((a, b) => a - b)[Math.floor(rows.length / 2)]);
console.log(`${values.browser}, starter voice, server stopped: loaded ${median('loaded')} ms, first sound ${median('sound')} ms later (medians of ${rows.length})`);
