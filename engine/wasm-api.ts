// Owns the part of the WebAssembly JavaScript interface (W3C, core 2.0) that the engine uses: the language library
// configured for this project does not declare it.

export type WasmModule = object;
export type WasmMemory = Readonly<{ buffer: SharedArrayBuffer; grow(pages: number): number }>;
export type WasmGlobal = { value: number };

type WasmApi = Readonly<{
  Module: new (bytes: Uint8Array) => WasmModule;
  Instance: new (
    module: WasmModule,
    imports: Readonly<{ env: Readonly<{ memory: WasmMemory }> }>,
  ) => Readonly<{ exports: unknown }>;
  Memory: new (limits: Readonly<{ initial: number; maximum: number; shared: boolean }>) => WasmMemory;
}>;

export const wasmApi: WasmApi = (globalThis as unknown as { WebAssembly: WasmApi }).WebAssembly;
