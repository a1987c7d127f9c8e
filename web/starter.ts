// The starter voice, an asset of the package: fetched when it is used, file by file. Each URL is written in one piece: so
// bundlers find the file, copy it and put its final place here. Its pack.json is in the script.

/** Put in by build.mjs: models/starter/pack.json. */
declare const STARTER_PACK: string;

export interface StarterFiles {
  readonly manifest: string;
  readonly files: Readonly<Record<string, () => URL>>;
}

export const starter: StarterFiles = {
  manifest: STARTER_PACK,
  files: {
    'model.safetensors': () => new URL('../models/starter/model.safetensors', import.meta.url),
    'tokenizer.model': () => new URL('../models/starter/tokenizer.model', import.meta.url),
    'voices/slt.safetensors': () => new URL('../models/starter/voices/slt.safetensors', import.meta.url),
  },
};
