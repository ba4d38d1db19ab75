// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Operation, parseSignature } from './operation.ts';

test('a signature is read into kinds and widths', () => {
  assert.deepEqual(parseSignature('r64m8i32'), [
    { kind: 'r', bits: 64 },
    { kind: 'm', bits: 8 },
    { kind: 'i', bits: 32 },
  ]);
});

test('a load after a commit is refused: it could fault with a register already changed', () => {
  const operation = new Operation('r64m64');
  operation.write(0, operation.constant('i64', 1));
  assert.throws(() => operation.read(1), /would not be precise/);
});

test('a fault after a store is refused', () => {
  const operation = new Operation('m32r32');
  operation.write(0, operation.read(1));
  assert.throws(() => operation.fault(operation.constant('i1', 1), 13), /would not be precise/);
});

test('an escape after a commit is refused: microcode would do half of the instruction twice', () => {
  const operation = new Operation('x128m64');
  operation.writePlace({ slot: 0 }, operation.constant('i64', 1), false);
  assert.throws(() => operation.escape(operation.constant('i1', 1)), /would not be precise/);
  assert.throws(() => operation.loadOrEscape('f64', operation.operandAddress()), /would not be precise/);
});

test('flags count as a commit', () => {
  const operation = new Operation('r32m32');
  const a = operation.read(0);
  operation.flagsOfLogic(a);
  assert.throws(() => operation.read(1), /would not be precise/);
});

test('operands of different width do not mix', () => {
  const operation = new Operation('r32r64');
  assert.throws(() => operation.read(0).add(operation.read(1)), /add of i32 and i64/);
});

test('a 32-bit register write extends, a 16-bit one does not', () => {
  for (const [signature, extend] of [
    ['r32', true],
    ['r16', false],
  ] as const) {
    const operation = new Operation(signature);
    operation.write(0, operation.read(0));
    const write = operation.statements.at(-1);
    assert.ok(write?.kind === 'write');
    assert.equal(write.extend, extend);
  }
});
