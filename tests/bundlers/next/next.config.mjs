/** @type {import('next').NextConfig} */
const config = {
  // On the server the package runs from its own folder, where its engine and its worker are.
  serverExternalPackages: ['pocket-tts-wasm'],
};

export default config;
