// Lint rules of everything in JavaScript and TypeScript.
import js from '@eslint/js';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['dist/', 'build/', 'node_modules/', '.toolchain/', '.cache/', '.reference/', 'wasi/', 'wasm/'] },
  js.configs.recommended,
  {
    files: ['**/*.{js,mjs}'],
    languageOptions: {
      globals: Object.fromEntries(
        [
          'process',
          'console',
          'Buffer',
          'URL',
          'fetch',
          'performance',
          'crypto',
          'TextEncoder',
          'TextDecoder',
          'WebAssembly',
          'AbortController',
          'AbortSignal',
          'document',
          'self',
          'Worker',
          'setTimeout',
          'clearTimeout',
          'setInterval',
          'clearInterval',
          'setImmediate',
        ].map((name) => [name, 'readonly']),
      ),
    },
  },
  {
    // Examples that are copied: what pages and extensions have.
    files: ['tests/bundlers/*/**/*.js'],
    languageOptions: { globals: { Blob: 'readonly', FormData: 'readonly', chrome: 'readonly' } },
  },
  {
    files: ['web/**/*.{ts,mts}'],
    extends: [...tseslint.configs.strictTypeChecked, ...tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      'no-restricted-syntax': [
        'error',
        { selector: 'TSEnumDeclaration', message: 'Use a union of strings.' },
        { selector: 'ExportDefaultDeclaration', message: 'Export by name.' },
      ],
    },
  },
  { files: ['web/**/*.d.mts'], rules: { 'no-restricted-syntax': 'off' } },
);
