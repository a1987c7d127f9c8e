// A document on the page: its sentences as spans, the one that is spoken marked and kept in sight.
import { sentencesOf } from './segments.js';

/** What begins and ends a paragraph. */
const BLOCKS = new Set(
  ('ADDRESS ARTICLE BLOCKQUOTE CAPTION DD DETAILS DIV DL DT FIGCAPTION FIGURE H1 H2 H3 H4 H5 H6 HR LI MAIN OL P PRE SECTION ' +
  'SUMMARY TABLE TBODY TD TFOOT TH THEAD TR UL').split(' '),
);

/** The texts of each paragraph, in order. */
function paragraphsOf(root: Node): Text[][] {
  const paragraphs: Text[][] = [];
  let open: Text[] = [];
  const close = (): void => {
    if (open.length > 0) paragraphs.push(open);
    open = [];
  };
  const walk = (node: Node): void => {
    for (const child of node.childNodes) {
      if (child instanceof Text) open.push(child);
      else if (child instanceof HTMLBRElement) {
        // A line of its own for the sentences: words on both sides are two.
        const space = new Text('\n');
        child.after(space);
      } else if (child instanceof Element) {
        const block = BLOCKS.has(child.tagName);
        // Readings above characters are said twice otherwise.
        if (child.tagName === 'RT' || child.tagName === 'RP') continue;
        if (block) close();
        walk(child);
        if (block) close();
      }
    }
  };
  walk(root);
  close();
  return paragraphs;
}

/** A sentence, or its part in one text. */
function spanOf(text: string, index: number): HTMLElement {
  const span = document.createElement('span');
  span.className = 'sentence';
  span.dataset['index'] = String(index);
  span.append(text);
  return span;
}

export class Article {
  readonly #spans: HTMLElement[][] = [];
  readonly sentences: string[] = [];
  /** The paragraph of each sentence. */
  readonly paragraphs: number[] = [];
  #marked: number | undefined;

  /** Shows `content` in `root`. */
  constructor(root: HTMLElement, content: DocumentFragment, language: string) {
    root.replaceChildren(content);
    for (const [paragraph, texts] of paragraphsOf(root).entries()) {
      const whole = texts.map(({ data }) => data).join('');
      const ranges = sentencesOf(whole, language);
      let next = 0;
      let offset = 0;
      for (const text of texts) {
        const { data } = text;
        const { length } = data;
        // The text anew, in one go: cut off piece by piece, a long one would be copied once for every sentence.
        const parts = new DocumentFragment();
        let cut = 0;
        for (; next < ranges.length; next++) {
          const range = ranges[next];
          if (range === undefined || range.begin >= offset + length) break;
          const from = Math.max(range.begin - offset, 0);
          const to = Math.min(range.end - offset, length);
          if (from < to) {
            const index = this.sentences.length + next;
            const span = spanOf(data.slice(from, to), index);
            (this.#spans[index] ??= []).push(span);
            parts.append(data.slice(cut, from), span);
            cut = to;
          }
          // It goes on in the next text.
          if (range.end > offset + length) break;
        }
        parts.append(data.slice(cut));
        if (cut > 0) text.replaceWith(parts);
        offset += length;
      }
      for (const { begin, end } of ranges) {
        this.sentences.push(whole.slice(begin, end));
        this.paragraphs.push(paragraph);
      }
    }
  }

  /** The sentence that was clicked on. */
  static at(target: EventTarget | null): number | undefined {
    const index = target instanceof Element ? target.closest<HTMLElement>('.sentence')?.dataset['index'] : undefined;
    return index === undefined ? undefined : Number(index);
  }

  /**
   * Marks a sentence. It is brought into sight, with `follow` only when the last one was in sight: whoever has scrolled away
   * is left in peace.
   */
  mark(index: number, how: 'show' | 'follow'): void {
    const before = this.#marked === undefined ? undefined : this.#spans[this.#marked];
    const follow = how === 'show' || before === undefined || before.some(inSight);
    for (const span of before ?? []) {
      span.classList.remove('now');
      span.removeAttribute('aria-current');
    }
    this.#marked = index;
    const spans = this.#spans[index] ?? [];
    for (const span of spans) {
      span.classList.add('now');
      span.setAttribute('aria-current', 'true');
    }
    const [first] = spans;
    if (first === undefined || !follow || (how === 'follow' && spans.every(inTheMiddle))) return;
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
    first.scrollIntoView({ block: 'center', behavior: still || how === 'show' ? 'auto' : 'smooth' });
  }
}

function inSight(span: HTMLElement): boolean {
  const { top, bottom } = span.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}

/** Away from the edges, and from the controls at the bottom. */
function inTheMiddle(span: HTMLElement): boolean {
  const { top, bottom } = span.getBoundingClientRect();
  return top > innerHeight * 0.12 && bottom < innerHeight * 0.68;
}
