// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';

import type { CaseInput } from '../oracle/case.ts';
import type { CpuUnderTest, StepResult } from '../oracle/cpu-under-test.ts';
import { backgroundOf, REGIONS } from '../oracle/memory-map.ts';
import type { ReferenceProcessor } from './processor.ts';

const INT3 = 3;
const LONGEST = 5000;

function prepare(cpu: CpuUnderTest, { code, state, memory }: CaseInput): void {
  for (const region of REGIONS) cpu.writeMemory(BigInt(region.start), backgroundOf(region));
  for (const { address, bytes } of memory) cpu.writeMemory(address, bytes);
  cpu.writeMemory(state.rip, code);
  cpu.set(state);
}

export const memoryOf = (cpu: CpuUnderTest): Uint8Array[] =>
  REGIONS.map(({ start, length }) => cpu.readMemory(BigInt(start), length));

/** Registers and flags, the undefined ones too: both evaluate the same description. */
function assertSameState(one: CpuUnderTest, other: CpuUnderTest, where: string): void {
  const [a, b] = [one.get(), other.get()];
  assert.deepEqual({ ...a, rflags: a.rflags | 2n }, { ...b, rflags: b.rflags | 2n }, where);
}

const faultOf = (result: StepResult): unknown =>
  result.kind === 'fault' ? [result.vector, result.vector === 14 ? [result.errorCode, result.address] : []] : undefined;

/** The reference does nothing where no description tells: it takes over what the other did. */
function takeOver(reference: ReferenceProcessor, cpu: CpuUnderTest): void {
  reference.set(cpu.get());
  for (const { start, length, write } of REGIONS)
    if (write) reference.writeMemory(BigInt(start), cpu.readMemory(BigInt(start), length));
}

/** Both, instruction by instruction, to INT3 or a fault. Gives how many there were, and how many microcode did. */
export function lockstep(
  stream: CaseInput,
  interpreter: CpuUnderTest,
  reference: ReferenceProcessor,
): [number, number] {
  let outside = 0;
  prepare(interpreter, stream);
  prepare(reference, stream);
  for (let n = 1; n < LONGEST; n++) {
    const where = `stream ${stream.index}, instruction ${n} at ${interpreter.get().rip.toString(16)}`;
    const expected = reference.step();
    const got = interpreter.step();
    if (got.kind === 'fault' && got.vector === INT3) return [n, outside];
    if (reference.outside === undefined) {
      assert.deepEqual(faultOf(got), faultOf(expected), where);
      assertSameState(interpreter, reference, where);
    } else {
      outside++;
      takeOver(reference, interpreter);
    }
    if (got.kind === 'fault') return [n, outside];
  }
  return assert.fail(`stream ${stream.index} comes to no end`);
}

/** A program on both, each at its own speed: the same end. */
export function assertSameEnd(stream: CaseInput, one: CpuUnderTest, other: CpuUnderTest): void {
  const results = [one, other].map((cpu) => {
    prepare(cpu, stream);
    return faultOf(cpu.run());
  });
  assert.deepEqual(results[0], results[1], `stream ${stream.index}`);
  assertSameState(one, other, `stream ${stream.index}`);
  assert.deepEqual(memoryOf(one), memoryOf(other), `memory after stream ${stream.index}`);
}
