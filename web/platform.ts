// Classes of browsers in public types, by name: where the DOM library is among a project's types they are its own, elsewhere
// (a Node project without it) they are `unknown`, and the project compiles all the same.

type Instance<Name extends string> =
  typeof globalThis extends Readonly<Record<Name, { readonly prototype: infer T }>> ? T : unknown;

export type AnyAudioContext = Instance<'BaseAudioContext'>;
export type AnyAudioNode = Instance<'AudioNode'>;
export type AnyLockManager = Instance<'LockManager'>;
/** Also of Node, which has the class, but no type of this name. */
export type Port = Instance<'MessagePort'>;
/** What is handed over with a message. */
export type Transfer = ArrayBuffer | Port;

type Wasm = typeof globalThis extends { readonly WebAssembly: infer T } ? T : unknown;

/** A compiled module. */
export type WasmModule = Wasm extends { readonly Module: { readonly prototype: infer T } } ? T : unknown;
export type WasmInstance = Wasm extends { readonly Instance: { readonly prototype: infer T } } ? T : unknown;
export type WasmImports = Wasm extends { readonly Instance: new (module: never, imports?: infer T) => unknown }
  ? Exclude<T, undefined>
  : unknown;
