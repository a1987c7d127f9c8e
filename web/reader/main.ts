// The reader's page: shelf, document, controls.
import { PocketTTS, PocketTTSError } from 'pocket-tts-wasm';
import { byId, say } from '../pages/dom.js';
import { Article } from './article.js';
import { ACCEPT, decodeText, formatOf, guessFormat, toHtml } from './formats.js';
import type { Format } from './formats.js';
import { Library } from './library.js';
import type { Entry, Settings } from './library.js';
import { keepOffline } from './offline.js';
import { paragraphStep, placeAt, sentenceAt, share } from './place.js';
import { fragmentOf, sanitize } from './sanitize.js';
import { Narrator } from './speech.js';

const shelf = byId('shelf', HTMLElement);
const page = byId('page', HTMLElement);
const controls = byId('controls', HTMLElement);
const playButton = byId('play', HTMLButtonElement);
const rateInput = byId('rate', HTMLInputElement);
const voiceSelect = byId('voice', HTMLSelectElement);
const status = byId('status', HTMLElement);

/** Steps in quick succession are heard as one. */
const SETTLE_MS = 150;

interface Open {
  readonly id: string;
  readonly article: Article;
  /** The sentence that is read, or will be. */
  at: number;
}

class Reader {
  readonly #library: Library;
  readonly #narrator: Narrator;
  readonly #tts: Promise<PocketTTS>;
  #loaded: PocketTTS | undefined;
  #settings: Settings;
  #open: Open | undefined;
  #settling: ReturnType<typeof setTimeout> | undefined;

  constructor(library: Library, settings: Settings, tts: Promise<PocketTTS>) {
    this.#library = library;
    this.#settings = settings;
    this.#tts = tts;
    this.#narrator = new Narrator({
      sentence: (index) => {
        this.#move(index, 'follow');
      },
      state: () => {
        this.#showState();
      },
      end: () => {
        say(status, 'The end.');
      },
      error: (error) => {
        say(status, explained(error));
      },
    });
    this.#narrator.rate = settings.rate;
    rateInput.value = String(settings.rate);
    this.#showRate();
  }

  // Documents

  /** Keeps a document and shows it. False: there is nothing in it. */
  async add(text: string, format: Format, name?: string): Promise<boolean> {
    const { title, html } = sanitize(toHtml(text, format));
    const box = new Article(document.createElement('div'), fragmentOf(html), language());
    const [first] = box.sentences;
    if (first === undefined) {
      say(status, `${name ?? 'This text'}: nothing in it can be read aloud.`);
      return false;
    }
    const entry = await this.#library.add(title ?? name?.replace(/\.[^.]+$/, '') ?? first.slice(0, 80), html);
    location.hash = `#/${entry.id}`;
    return true;
  }

  async addFiles(files: readonly File[]): Promise<void> {
    // A choice that is taken back says nothing of the one before.
    if (files.length === 0) return;
    say(status, '');
    for (const file of files) {
      const format = formatOf(file.name, file.type);
      if (format === undefined) {
        say(status, `${file.name}: expected a .txt, .md or .html file.`);
        continue;
      }
      const bytes = new Uint8Array(await file.arrayBuffer());
      await this.add(decodeText(bytes, format), format, file.name);
    }
  }

  /** Shows what the address says: the shelf, or a document. */
  async route(): Promise<void> {
    this.close();
    const id = /^#\/(.+)$/.exec(location.hash)?.[1];
    const found = id === undefined ? undefined : await this.#library.read(id);
    if (found === undefined) await this.#showShelf();
    else this.#show(found.entry, found.html);
  }

  close(): void {
    clearTimeout(this.#settling);
    this.#narrator.stop();
    this.#open = undefined;
  }

  async #showShelf(): Promise<void> {
    document.title = 'Reader';
    shelf.hidden = false;
    page.hidden = controls.hidden = true;
    const entries = await this.#library.entries();
    byId('none', HTMLElement).hidden = entries.length > 0;
    byId('entries', HTMLElement).replaceChildren(...entries.map((entry) => this.#row(entry)));
  }

  #row(entry: Entry): HTMLLIElement {
    const row = document.createElement('li');
    const link = document.createElement('a');
    link.href = `#/${entry.id}`;
    link.textContent = entry.title;
    link.addEventListener('click', () => {
      say(status, '');
    });
    const percent = document.createElement('span');
    percent.className = 'quiet';
    percent.textContent = `${Math.round(share(entry.place) * 100)} % read`;
    const remove = document.createElement('button');
    remove.type = 'button';
    remove.className = 'plain';
    remove.textContent = 'Remove';
    remove.setAttribute('aria-label', `Remove ${entry.title}`);
    remove.addEventListener('click', () => {
      void this.#library.remove(entry.id).then(() => this.#showShelf());
      say(status, `Removed: ${entry.title}`);
    });
    row.append(link, percent, remove);
    return row;
  }

  #show(entry: Entry, html: string): void {
    const { id, title, place } = entry;
    document.title = title;
    shelf.hidden = true;
    page.hidden = controls.hidden = false;
    const root = byId('article', HTMLElement);
    const article = new Article(root, fragmentOf(html), language());
    // A document that has its own heading needs no second one.
    const heading = byId('title', HTMLElement);
    heading.textContent = title;
    heading.classList.toggle('unseen', root.querySelector('h1') !== null);
    this.#open = { id, article, at: sentenceAt(article.sentences, place) };
    scrollTo(0, 0);
    this.#move(this.#open.at, 'show');
    this.#showState();
    root.focus({ preventScroll: true });
    void this.#library.update(id, { opened: Date.now() });
  }

  // Reading

  toggle(): void {
    if (this.#narrator.state === 'playing') this.#narrator.pause();
    else if (this.#narrator.state === 'paused') this.#narrator.resume();
    else if (this.#narrator.state === 'starting') {
      clearTimeout(this.#settling);
      this.#narrator.stop();
    } else this.#start();
  }

  sentenceStep(step: 1 | -1): void {
    if (this.#open !== undefined) this.go(this.#open.at + step);
  }

  paragraphStep(step: 1 | -1): void {
    if (this.#open !== undefined) this.go(paragraphStep(this.#open.article.paragraphs, this.#open.at, step));
  }

  /** Goes to a sentence: what is being read goes on there. */
  go(index: number): void {
    const open = this.#open;
    if (open?.article.sentences[index] === undefined) return;
    const { state } = this.#narrator;
    this.#move(index, 'show');
    if (state === 'paused') this.#narrator.stop();
    if (state !== 'playing' && state !== 'starting') return;
    this.#narrator.hush();
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => {
      if (this.#narrator.state !== 'idle') this.#start();
    }, SETTLE_MS);
  }

  /** Reads from a sentence on. */
  from(index: number): void {
    this.#move(index, 'show');
    this.#start();
  }

  #start(): void {
    const open = this.#open;
    if (open === undefined) return;
    clearTimeout(this.#settling);
    if (this.#loaded === undefined) {
      say(status, 'The voice is still being loaded …');
      void this.#tts.then(
        () => {
          if (this.#open === open && this.#narrator.state === 'idle') this.#start();
        },
        () => undefined,
      );
      return;
    }
    const tts = this.#loaded;
    const { voice } = this.#settings;
    say(status, '');
    this.#narrator.start((text, rate) => tts.play(text, { rate, voice }), open.article.sentences, open.at);
  }

  #move(index: number, how: 'show' | 'follow'): void {
    const open = this.#open;
    if (open === undefined) return;
    open.at = index;
    const { article, id } = open;
    article.mark(index, how);
    const place = placeAt(article.sentences, index);
    byId('progress', HTMLProgressElement).value = share(place);
    void this.#library.update(id, { place });
  }

  // Settings

  setRate(rate: number): void {
    this.#settings = { ...this.#settings, rate };
    this.#narrator.rate = rate;
    this.#showRate();
    void this.#library.set(this.#settings);
  }

  setVoice(voice: string): void {
    this.#settings = { ...this.#settings, voice };
    void this.#library.set(this.#settings);
    if (this.#narrator.state !== 'idle') this.#start();
  }

  /** The voice is there. */
  use(tts: PocketTTS): void {
    this.#loaded = tts;
    const names = tts.voices.map(({ name }) => name);
    voiceSelect.replaceChildren(...names.map((name) => new Option(name, name)));
    if (this.#settings.voice !== undefined && names.includes(this.#settings.voice)) voiceSelect.value = this.#settings.voice;
    // One of another pack.
    else this.#settings = { rate: this.#settings.rate };
  }

  #showRate(): void {
    const shown = `${Number(this.#settings.rate.toFixed(1))}×`;
    byId('rate-shown', HTMLOutputElement).textContent = shown;
    rateInput.setAttribute('aria-valuetext', shown);
  }

  #showState(): void {
    const { state } = this.#narrator;
    const busy = state === 'playing' || state === 'starting';
    controls.dataset['state'] = state;
    playButton.setAttribute('aria-label', busy ? 'Pause' : 'Play');
    playButton.title = `${busy ? 'Pause' : 'Play'} (Space)`;
  }
}

function language(): string {
  return document.documentElement.lang;
}

function explained(error: unknown): string {
  return error instanceof PocketTTSError ? `${error.message} (${error.code})` : String(error);
}

/** Keys are the reader's unless they belong to what has the focus. */
function taken(target: EventTarget | null, key: string): boolean {
  if (!(target instanceof Element)) return false;
  if (target.closest('textarea, input, select, [contenteditable]') !== null) return true;
  return key === ' ' && target.closest('button, a, summary, label') !== null;
}

async function main(): Promise<void> {
  const library = await Library.open((error) => {
    say(status, `This browser keeps nothing more here: what is new is gone with this window (${explained(error)}).`);
  });
  const tts = PocketTTS.load();
  const reader = new Reader(library, await library.settings(), tts);
  tts.then(
    (loaded) => {
      reader.use(loaded);
      performance.mark('voice-ready');
      document.documentElement.dataset['voice'] = 'ready';
    },
    (error: unknown) => {
      say(status, explained(error));
    },
  );

  const fileInput = byId('file', HTMLInputElement);
  const textInput = byId('text', HTMLTextAreaElement);
  fileInput.accept = ACCEPT;
  const failed = (error: unknown): void => {
    say(status, explained(error));
  };
  fileInput.addEventListener('change', () => {
    void reader
      .addFiles([...(fileInput.files ?? [])])
      .catch(failed)
      .then(() => {
        fileInput.value = '';
      });
  });
  byId('paste', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    const text = textInput.value;
    if (text.trim() === '') {
      say(status, 'There is no text yet.');
      textInput.focus();
      return;
    }
    say(status, '');
    void reader.add(text, guessFormat(text)).then((added) => {
      if (added) textInput.value = '';
    }, failed);
  });
  document.addEventListener('dragover', (event) => {
    event.preventDefault();
  });
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length > 0) void reader.addFiles(files).catch(failed);
  });

  const actions: Readonly<Record<string, () => void>> = {
    play: () => {
      reader.toggle();
    },
    back: () => {
      reader.sentenceStep(-1);
    },
    forward: () => {
      reader.sentenceStep(1);
    },
    'paragraph-back': () => {
      reader.paragraphStep(-1);
    },
    'paragraph-forward': () => {
      reader.paragraphStep(1);
    },
  };
  for (const [id, action] of Object.entries(actions)) byId(id, HTMLButtonElement).addEventListener('click', action);
  const keys: Readonly<Record<string, string>> = {
    ' ': 'play',
    ArrowLeft: 'back',
    ArrowRight: 'forward',
    ArrowUp: 'paragraph-back',
    ArrowDown: 'paragraph-forward',
  };
  document.addEventListener('keydown', (event) => {
    const action = actions[keys[event.key] ?? ''];
    if (action === undefined || page.hidden || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (taken(event.target, event.key)) return;
    event.preventDefault();
    action();
  });
  byId('article', HTMLElement).addEventListener('click', (event) => {
    // A link is followed, a selection is kept.
    if ((event.target instanceof Element && event.target.closest('a[href]') !== null) || getSelection()?.isCollapsed === false) return;
    const index = Article.at(event.target);
    if (index !== undefined) reader.from(index);
  });
  rateInput.addEventListener('input', () => {
    reader.setRate(rateInput.valueAsNumber);
  });
  voiceSelect.addEventListener('change', () => {
    reader.setVoice(voiceSelect.value);
  });
  addEventListener('hashchange', () => {
    void reader.route().catch(failed);
  });
  await reader.route();

  const offline = await keepOffline();
  document.documentElement.dataset['offline'] = offline;
  if (offline === 'ready' && status.textContent === '') say(status, 'Works without a network.');
}

main().catch((error: unknown) => {
  say(status, `The reader could not start: ${explained(error)}`);
});
