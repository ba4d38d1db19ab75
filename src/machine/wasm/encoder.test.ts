// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Memory } from '../memory/memory.ts';
import { WebAssembly } from '../webassembly.ts';
import { FunctionCode, I32, ModuleBuilder } from './encoder.ts';
import type { FunctionType } from './encoder.ts';

const NOTHING: FunctionType = { parameters: [], results: [] };
const UNREACHABLE = 0;

/** A module of three functions that trap: one with a name only, one without any, one that is exported. */
function trapping(): Uint8Array<ArrayBuffer> {
  const builder = new ModuleBuilder('traps');
  builder.importFunction('unused', { parameters: [I32], results: [] });
  const trap = () => {
    const code = new FunctionCode(NOTHING);
    code.byte(UNREACHABLE);
    return code;
  };
  builder.define(NOTHING, trap(), undefined, 'inner trap');
  builder.define(NOTHING, trap());
  builder.define(NOTHING, trap(), 'outer');
  return builder.encode();
}

const withLength = (bytes: readonly number[]): number[] => [bytes.length, ...bytes];
const text = (name: string): number[] => withLength([...Buffer.from(name)]);

test('a module ends with its name and those of its functions, by index, for profiles', () => {
  const functions = [2, 1, ...text('inner trap'), 3, ...text('outer')];
  const section = [0, ...withLength([...text('name'), 0, ...withLength(text('traps')), 1, ...withLength(functions)])];
  assert.deepEqual([...trapping().slice(-section.length)], section);
});

test('the host takes them: stack traces show them', () => {
  const { wasm } = new Memory(1, 1 << 20, 0xc0000000);
  const module = new WebAssembly.Module(trapping());
  const { outer } = new WebAssembly.Instance(module, { e: { m: wasm, unused: () => {} } }).exports;
  const shown = (error: Error): boolean => /at traps\.outer \(wasm:\/\/wasm\/traps-/.test(error.stack ?? '');
  assert.throws(outer as () => void, shown);
});
