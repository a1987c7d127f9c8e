import { nodeResolve } from '@rollup/plugin-node-resolve';
import { importMetaAssets } from '@web/rollup-plugin-import-meta-assets';

export default {
  input: 'main.js',
  output: { dir: 'dist', format: 'es' },
  // The second teaches Rollup what other bundlers do by themselves: new URL('file', import.meta.url) is an asset.
  plugins: [nodeResolve({ browser: true }), importMetaAssets()],
};
