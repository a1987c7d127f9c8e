// The parts of models/packs.json, as the bundler hands them over.
declare module '*/packs.json' {
  interface Address {
    readonly repository: string;
    readonly revision: string;
    readonly path: string;
  }
  interface Entry extends Address {
    readonly role: 'weights' | 'tokenizer';
    readonly kind?: 'sentencepiece' | 'json';
    /** The gated weights, which can make voices from recordings. */
    readonly cloning?: true;
    readonly bytes?: number;
    readonly sha256?: string;
  }
  interface Official {
    readonly name: string;
    readonly default_voice: string;
    readonly files: readonly Entry[];
    readonly config: Readonly<Record<string, unknown>>;
  }
  export const reference: string;
  export const hub: string;
  export const repositories: Readonly<Record<string, { readonly gated: boolean; readonly terms: string }>>;
  export const voice_files: Address;
  export const voices: readonly { readonly name: string; readonly source: string; readonly license?: string }[];
  export const packs: readonly Official[];
}
