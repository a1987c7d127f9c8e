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

const ENGLISH =
  "Hello world. I am Kyutai's Pocket TTS. I'm fast enough to run on small CPUs. I hope you'll like me.";

const OTHERS: Readonly<Record<string, string>> = {
  dutch: 'Goedendag. Deze stem ontstaat hier, op uw computer. Ze heeft geen netwerk nodig.',
  french: "Bonjour. Cette voix est calculée ici, sur votre ordinateur. Elle n'a besoin d'aucun réseau.",
  german: 'Guten Tag. Diese Stimme entsteht hier, auf diesem Rechner. Sie braucht dafür kein Netz.',
  italian: 'Buongiorno. Questa voce nasce qui, sul suo computer. Non ha bisogno della rete.',
  portuguese: 'Bom dia. Esta voz é criada aqui, no seu computador. Ela não precisa de rede.',
  spanish: 'Buenos días. Esta voz se crea aquí, en su ordenador. No necesita ninguna red.',
};

/** What is spoken when no text is given, by the name of the model; English where it names no other language. */
export function defaultText(model = ''): string {
  return Object.entries(OTHERS).find(([language]) => model.includes(language))?.[1] ?? ENGLISH;
}

/**
 * The recording that a configuration without voices speaks with when none is named, as in the reference: the voices of the
 * official models are states of these models alone.
 */
export const CONFIG_VOICE = 'hf://kyutai/tts-voices/alba-mackenna/casual.wav';
