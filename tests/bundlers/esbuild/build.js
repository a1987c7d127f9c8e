import metaUrl from '@chialab/esbuild-plugin-meta-url';
import { build } from 'esbuild';

await build({
  entryPoints: ['main.ts'],
  bundle: true,
  format: 'esm',
  outdir: 'dist',
  // Teaches esbuild what other bundlers do by themselves: new URL('file', import.meta.url) is an asset.
  plugins: [metaUrl()],
});
