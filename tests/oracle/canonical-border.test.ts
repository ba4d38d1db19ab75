// SPDX-License-Identifier: Apache-2.0
// Accesses across the end of the lower canonical addresses. What is expected is what an AMD EPYC gave a program; QEMU looks
// at the first byte only.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCpuUnderTest } from './adapter.ts';
import { CODE, NON_CANONICAL } from './memory-map.ts';
import { createUserState } from './records.ts';

const [RAX, RDI] = [0, 7];
const LOAD = [0x48, 0x8b, 0x08];
const STORE = [0x48, 0x89, 0x08];
const STOSD = [0xab];
const [PAGE_FAULT, GENERAL_PROTECTION] = [14, 13];
const cpu = createCpuUnderTest();

function vector(code: readonly number[], address: bigint): number | undefined {
  const state = createUserState();
  state.rip = BigInt(CODE);
  state.rflags = 2n;
  state.general[RAX] = state.general[RDI] = address;
  cpu.writeMemory(state.rip, Uint8Array.from(code));
  cpu.set(state);
  const result = cpu.step();
  return result.kind === 'fault' ? result.vector : undefined;
}

for (const [name, code, bytes] of [
  ['a load', LOAD, 8n],
  ['a store', STORE, 8n],
  ['STOSD', STOSD, 4n],
] as const)
  // prettier-ignore
  test(`${name} whose end is not canonical is #GP, where the whole is it may be #PF`, () => {
    assert.equal(vector(code, NON_CANONICAL - bytes), PAGE_FAULT);
    for (let beyond = 1n; beyond <= bytes; beyond++)
      assert.equal(vector(code, NON_CANONICAL - bytes + beyond), GENERAL_PROTECTION, `${beyond} bytes beyond`);
  });
