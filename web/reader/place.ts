// Where somebody is in a document, kept so that it is found again although sentences may be cut differently by then. Pure.

export interface Place {
  readonly sentence: number;
  /** How the sentence begins. */
  readonly words: string;
  /** Sentences in the document, then. */
  readonly of: number;
}

const WORDS = 60;

export function placeAt(sentences: readonly string[], sentence: number): Place {
  return { sentence, words: (sentences[sentence] ?? '').slice(0, WORDS), of: sentences.length };
}

/** The sentence of a place: the nearest that begins with its words, else the same share of the document. */
export function sentenceAt(sentences: readonly string[], place: Place | undefined): number {
  const last = sentences.length - 1;
  if (place === undefined || last < 0) return 0;
  const { sentence, words, of } = place;
  for (let far = 0; far <= last; far++) {
    for (const index of [sentence - far, sentence + far]) {
      if (words !== '' && sentences[index]?.startsWith(words)) return index;
    }
  }
  return Math.max(0, Math.min(last, Math.round((sentence / Math.max(1, of)) * sentences.length)));
}

/** Share of the document that is behind a place: 0 to 1. */
export function share(place: Place | undefined): number {
  return place === undefined || place.of < 2 ? 0 : Math.min(1, place.sentence / (place.of - 1));
}

/** The first sentence of the next (`step` 1) or of this or the last paragraph (-1). `paragraphs[i]` is that of sentence i. */
export function paragraphStep(paragraphs: readonly number[], from: number, step: 1 | -1): number {
  const here = paragraphs[from];
  if (here === undefined) return 0;
  if (step === 1) {
    const next = paragraphs.findIndex((paragraph, index) => index > from && paragraph !== here);
    return next < 0 ? from : next;
  }
  const first = paragraphs.indexOf(here);
  if (first < from) return first;
  const before = paragraphs[from - 1];
  return before === undefined ? 0 : paragraphs.indexOf(before);
}
