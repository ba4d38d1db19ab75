// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { JitMode } from '../../src/machine/cpu/jit/jit.ts';
import { AT, Bench } from './bench.ts';
import { randomProgram } from './random-program.ts';
import { machineState } from './state.ts';

const PROGRAMS = 60;
const ROUNDS = 40;

function run(program: Uint8Array, jit: JitMode, slice: number) {
  const bench = new Bench({ code: {}, jit });
  bench.pc.machine.memory.write(AT.code, program);
  bench.run(2_000_000, slice);
  return { state: machineState(bench.pc.machine), regions: bench.unit.decoding.jit.counts.regions };
}

// Random code, interpreted, against the same code compiled: as soon as it is warm, and block by block before it runs.
describe('compiled code does what interpreted code does, and counts as it counts', () => {
  for (const jit of ['soon', 'eager'] as const) {
    test(`${PROGRAMS} random programs, ${jit}`, () => {
      let regions = 0;
      for (let seed = 1; seed <= PROGRAMS; seed++) {
        const program = randomProgram(seed, AT.code, ROUNDS);
        const compiled = run(program, jit, seed % 3 === 0 ? 997 : 2_000_000);
        regions += compiled.regions;
        assert.deepEqual(compiled.state, run(program, 'off', 2_000_000).state, `seed ${seed}`);
      }
      assert.ok(regions >= PROGRAMS, `${regions} regions were compiled`);
    });
  }
});
