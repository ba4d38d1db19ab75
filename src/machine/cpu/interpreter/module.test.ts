// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WebAssembly } from '../../webassembly.ts';
import { DESCRIPTIONS, formsOf } from './forms.ts';
import { emitInterpreter } from './module.ts';

const modules = emitInterpreter(0, 0x100000, formsOf(DESCRIPTIONS));

test('the big function stays within what the optimizer takes in its stride', () => {
  assert.ok(modules.handlers <= 600, `${modules.handlers} handlers`);
  assert.ok(modules.mainSize <= 100_000, `${modules.mainSize} bytes`);
});

test('both modules are valid WebAssembly', () => {
  assert.ok(WebAssembly.validate(modules.main));
  assert.ok(WebAssembly.validate(modules.cold));
});

test('no form is described twice', () => {
  const keys = formsOf(DESCRIPTIONS).map((form) => form.key);
  assert.equal(new Set(keys).size, keys.length);
});

test('a second processor gets code of its own, of the same shape', () => {
  const other = emitInterpreter(1, 0x100000, formsOf(DESCRIPTIONS));
  assert.deepEqual([...other.places.keys()], [...modules.places.keys()]);
  assert.notDeepEqual(other.main, modules.main);
});
