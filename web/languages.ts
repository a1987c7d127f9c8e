// Names of the official models (--language) and the sentence that is spoken when no text is given.

export const LANGUAGES = [
  'dutch',
  'dutch_24l',
  'english',
  'english_18m_2026-10',
  'english_18m_refl_2026-10',
  'english_2026-01',
  'english_2026-04',
  'english_2026-04_24l',
  'english_2026-09',
  'english_2026-09_2',
  'english_2026-09_24l',
  'english_2026-10',
  'english_2m_2026-10',
  'english_2m_refl_2026-10',
  'english_7m_2026-10',
  'english_7m_refl_2026-10',
  'english_drifting_26-09',
  'french',
  'french_24l',
  'german',
  'german_24l',
  'italian',
  'italian_24l',
  'portuguese',
  'portuguese_24l',
  'spanish',
  'spanish_24l',
] as const;

export const DEFAULT_TEXT =
  "Hello world. I am Kyutai's Pocket TTS. I'm fast enough to run on small CPUs. I hope you'll like me.";
