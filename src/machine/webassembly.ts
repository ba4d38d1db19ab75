// SPDX-License-Identifier: Apache-2.0

/**
 * The part of the WebAssembly JavaScript API that the engine uses. `types: []` leaves the name undeclared, and the DOM
 * library would bring `document` with it; so the shapes are written here, once, and the value is the host's own object.
 */

export type WasmValueType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';

/** What a module imports and exports; i32 arrives as a Number, i64 as a BigInt. */
export type WasmFunction = (...values: never[]) => unknown;
export type WasmExternal = WasmFunction | WasmMemory | WasmTable | WasmGlobal;
export type WasmImports = Record<string, Record<string, WasmExternal | number>>;

/** Compiled code without state; can be sent to a worker. */
export interface WasmModule {
  readonly wasmModuleBrand?: never;
}

export interface WasmInstance {
  readonly exports: Record<string, WasmExternal>;
}

export interface WasmMemory {
  /** Replaced by a new object when the memory grows; never keep it across a grow. */
  readonly buffer: ArrayBuffer;
  /** Pages of 64 KiB; returns the old count. */
  grow(pages: number): number;
}

/** Of functions. Null marks an empty slot, and drops the last reference to a dead module. */
export interface WasmTable {
  readonly length: number;
  get(index: number): WasmFunction | null;
  set(index: number, value: WasmFunction | null): void;
  /** Returns the old length. */
  grow(by: number): number;
}

export interface WasmGlobal {
  value: number | bigint;
}

/** Sizes in pages of 64 KiB. A shared memory needs a maximum. */
export interface WasmMemoryDescription {
  initial: number;
  maximum?: number;
  shared?: boolean;
}

export interface WasmTableDescription {
  element: 'anyfunc';
  initial: number;
  maximum?: number;
}

export interface WasmGlobalDescription {
  value: WasmValueType;
  mutable?: boolean;
}

export interface WebAssemblyApi {
  /** Compiles on the calling thread. Bytes that do not validate throw a CompileError: a bug of our emitter. */
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  readonly Instance: new (module: WasmModule, imports?: WasmImports) => WasmInstance;
  readonly Memory: new (description: WasmMemoryDescription) => WasmMemory;
  readonly Table: new (description: WasmTableDescription) => WasmTable;
  readonly Global: new (description: WasmGlobalDescription, value: number | bigint) => WasmGlobal;
  validate(bytes: Uint8Array): boolean;
  /** Compiles off the calling thread. */
  compile(bytes: Uint8Array): Promise<WasmModule>;
}

export const WebAssembly = (globalThis as unknown as { readonly WebAssembly: WebAssemblyApi }).WebAssembly;

const compiled = new WeakMap<Uint8Array, WasmModule>();

/** The module of these bytes, which must never change: compiled once, however many machines have instances of it. */
export function moduleOf(bytes: Uint8Array): WasmModule {
  let module = compiled.get(bytes);
  if (module === undefined) compiled.set(bytes, (module = new WebAssembly.Module(bytes)));
  return module;
}
