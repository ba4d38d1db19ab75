// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FunctionCode, I32, ModuleBuilder } from './encoder.ts';
import type { FunctionType } from './encoder.ts';

const NOTHING: FunctionType = { parameters: [], results: [] };
const UNREACHABLE = 0;

/** A module of three functions that trap: one with a name only, one without any, one that is exported. */
function trapping(): WebAssembly.Module {
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
  return new WebAssembly.Module(builder.encode());
}

test('a module says its name and those of its functions, by index, for profiles', () => {
  const [section] = WebAssembly.Module.customSections(trapping(), 'name');
  const bytes = Buffer.from(section!);
  const functions = [2, 1, 10, ...Buffer.from('inner trap'), 3, 5, ...Buffer.from('outer')];
  assert.deepEqual([...bytes], [0, 6, 5, ...Buffer.from('traps'), 1, functions.length, ...functions]);
});

test('the host takes them: stack traces show them', () => {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const { outer } = new WebAssembly.Instance(trapping(), { e: { m: memory, unused: () => {} } }).exports;
  const stack = (error: Error): boolean => /at traps\.outer \(wasm:\/\/wasm\/traps-/.test(error.stack ?? '');
  assert.throws(outer as () => void, stack);
});
