// From a pack to what speaks with it: the layout, the compiled engine, the model in one or more instances.
import type { Backend, PackLocation } from './backend.js';
import { describe, PocketTTSError } from './errors.js';
import type { Host } from './host.js';
import { chooseLayout, here } from './layout.js';
import type { Layout, LayoutOptions } from './layout.js';
import { defaultVoiceName, readManifest, retrying } from './pack.js';
import type { LoadModelOptions } from './pack.js';
import { loadRemote, StartError } from './remote.js';
import { loadRuntime } from './runtime.js';
import { abortable } from './turns.js';

export async function loadBackend(
  host: Host,
  location: PackLocation,
  options: LayoutOptions & LoadModelOptions & { readonly voice?: unknown },
): Promise<Backend> {
  // Compiled while the pack is being read. The host goes on with it after an abort: others may wait for it.
  const wasm = abortable(host.wasm(), options.signal).catch((error: unknown) => {
    if (error instanceof PocketTTSError) throw error;
    throw new PocketTTSError('unsupported', `The WebAssembly engine cannot be compiled here: ${describe(error)}`, {
      cause: error,
    });
  });
  wasm.catch(() => undefined);
  const manifest = location.manifest ?? (await readManifest(location.source, options.signal));
  const layout = chooseLayout(options, manifest, host.workers);
  // The voice that comes after the model counts from the beginning.
  const wanted = options.voice ?? defaultVoiceName(manifest);
  const voice = manifest.files.find(({ role, name }) => role === 'voice' && name === wanted);
  const load = (chosen: Layout): Promise<Backend> =>
    retrying<Backend>(location.source, () => {
      options.meter?.restart();
      if (voice?.bytes !== undefined) options.meter?.expect(voice.path, voice.bytes);
      return chosen.kind === 'here'
        ? loadRuntime(host, wasm, location, manifest, chosen, options)
        : loadRemote(host, wasm, location, manifest, chosen, options);
    });
  try {
    return await load(layout);
  } catch (error) {
    if (!(error instanceof StartError) || !layout.optional) throw error;
    return load(here(error.message));
  }
}
