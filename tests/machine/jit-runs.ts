// SPDX-License-Identifier: Apache-2.0
// A program three times: interpreted, compiled as soon as it is warm, and compiled block by block before it runs.
import assert from 'node:assert/strict';
import type { JitMode } from '../../src/machine/cpu/jit/jit.ts';
import { assemble, dword } from './assembler.ts';
import { AT, Bench } from './bench.ts';
import type { BenchOptions } from './bench.ts';
import { machineState } from './state.ts';

export interface Program extends Omit<BenchOptions, 'code' | 'jit' | 'handlers'> {
  /** For assembler.ts, from AT.code on; ends with HLT. */
  readonly text: string;
  /** Vector to the label of its handler. */
  readonly handlers?: Readonly<Record<number, string>>;
  readonly prepare?: (run: Run) => void;
  /** Before each slice. */
  readonly between?: (run: Run, slice: number) => void;
  /** Ticks of a slice; one slice for all where it is not said. */
  readonly slice?: number;
}

const LIMIT = 3_000_000;
const RAM = 4 << 20;

/** One run of a program to its HLT. */
export class Run extends Bench {
  readonly labels: Readonly<Record<string, number>>;

  constructor(program: Program, jit: JitMode) {
    const { text, handlers = {}, ...options } = program;
    const { pieces, labels } = assemble(AT.code, text);
    const gates = Object.entries(handlers).map(([vector, label]) => [vector, labels[label]]);
    super({ ramBytes: RAM, ...options, code: {}, jit, handlers: Object.fromEntries(gates) as Record<number, number> });
    this.labels = labels;
    for (const { address, bytes } of pieces) this.pc.machine.memory.write(address, bytes);
    program.prepare?.(this);
    this.finish(program);
  }

  get counts() {
    return this.unit.decoding.jit.counts;
  }
  get state() {
    return machineState(this.pc.machine);
  }

  private finish({ slice = LIMIT, between }: Program): void {
    let outcome = 'limit';
    for (let i = 0; outcome === 'limit' && this.pc.machine.ticks < LIMIT; i++) {
      between?.(this, i);
      outcome = this.pc.run(this.pc.machine.ticks + slice);
    }
    assert.equal(outcome, 'idle', 'it came to its HLT');
  }
}

export const COMPILED = ['soon', 'eager'] as const;

/** Runs it in all modes and slices, and compares. Gives the compiled runs, for what is to be said about them. */
export function sameAsInterpreted(program: Program, slices: readonly (number | undefined)[] = [program.slice]): Run[] {
  const expected = new Run(program, 'off');
  assert.equal(expected.counts.regions, 0);
  const runs: Run[] = [];
  for (const mode of COMPILED)
    for (const slice of slices) {
      const run = new Run({ ...program, ...(slice === undefined ? {} : { slice }) }, mode);
      assert.deepEqual(run.state, expected.state, `${mode}, slices of ${slice ?? 'any length'}`);
      // The interpreter goes through slices shorter than a block by single steps, which say nothing of heat.
      if (mode === 'eager' || slice === undefined || slice >= 100) assert.ok(run.counts.regions > 0, mode);
      runs.push(run);
    }
  return runs;
}

/** R15 rounds; RCX is a new pseudo-random number below `below` (a power of 2) in each round, RDX too but unlimited. */
export const rounds = (count: number, below: number, body: string): string => `
    41 bf ${dword(count)}                   ; mov r15d, count
    45 31 f6                               ; xor r14d, r14d
  loop:
    45 69 f6 ${dword(1664525)}              ; imul r14d, r14d, 1664525
    41 81 c6 ${dword(1013904223)}           ; add r14d, 1013904223
    44 89 f1                               ; mov ecx, r14d
    c1 e9 10                               ; shr ecx, 16
    89 ca                                  ; mov edx, ecx
    81 e1 ${dword(below - 1)}               ; and ecx, below - 1
  ${body}
  join:
    48 6b c0 0d                            ; imul rax, rax, 13
    41 ff cf                               ; dec r15d
    0f 85 >loop                            ; jnz loop
    fa f4                                  ; cli; hlt`;
