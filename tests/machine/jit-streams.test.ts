// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { JitMode } from '../../src/machine/cpu/jit/jit.ts';
import { RSP } from '../../src/machine/cpu/state.ts';
import { AT, Bench } from './bench.ts';
import { randomProgram } from './random-program.ts';
import { machineState } from './state.ts';

const PROGRAMS = 150;
const ROUNDS = 40;
const RAM = 4 << 20;
/** Where programs keep their data: each begins with zeros. */
const DATA = { from: 0x20000, to: 0x40000 };

/** One machine runs programs one after the other, each in the place of the one before: to make a machine takes longer. */
class Programs {
  private readonly bench: Bench;

  constructor(jit: JitMode) {
    this.bench = new Bench({ code: {}, jit, ramBytes: RAM });
  }

  get counts() {
    return this.bench.unit.decoding.jit.counts;
  }

  run(program: Uint8Array, slice: number): ReturnType<typeof machineState> {
    const { bench } = this;
    const { machine } = bench.pc;
    machine.memory.write(DATA.from, new Uint8Array(DATA.to - DATA.from));
    machine.memory.write(AT.code, program);
    bench.cpu.setReg64(RSP, BigInt(AT.stack));
    bench.cpu.rflags = 2;
    bench.goTo(AT.code);
    assert.equal(bench.run(2_000_000, slice), 'idle');
    return machineState(machine);
  }
}

// Random code, interpreted, against the same code compiled: as soon as it is warm, and block by block before it runs.
describe('compiled code does what interpreted code does, and counts as it counts', () => {
  for (const jit of ['soon', 'eager'] as const) {
    test(`${PROGRAMS} random programs, ${jit}`, () => {
      const compiled = new Programs(jit);
      const interpreted = new Programs('off');
      for (let seed = 1; seed <= PROGRAMS; seed++) {
        const program = randomProgram(seed, AT.code, ROUNDS);
        const state = compiled.run(program, seed % 3 === 0 ? 997 : 2_000_000);
        assert.deepEqual(state, interpreted.run(program, 2_000_000), `seed ${seed}`);
      }
      const { regions, dropped } = compiled.counts;
      assert.ok(regions >= PROGRAMS, `${regions} regions were compiled`);
      assert.ok(dropped >= PROGRAMS - 1, `${dropped} regions were dropped with their program`);
      assert.equal(interpreted.counts.regions, 0);
    });
  }
});
