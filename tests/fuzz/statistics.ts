// SPDX-License-Identifier: Apache-2.0
// What a run of the fuzzer has done: how many steps, how far entries came, what made L2 exit, which rules were broken.
import { ENTRY_CHECKS } from '../../src/arch/vmx/entry-checks.ts';
import { exitReason } from '../../src/arch/vmx/exit-reasons.ts';
import { exitFields, readLog } from './log.ts';
import type { Outcome } from './pair.ts';
import type { Program } from './program.ts';

const ENTRY = /VMLAUNCH|VMRESUME|entry behind/;
const FAILED_ENTRY = 0x80000000n;
const ZF = 0x40n;

export class Statistics {
  programs = 0;
  /** Steps that L1 executed: each one action of a program, whatever came of it. */
  steps = 0;
  undefinedPrograms = 0;
  attempted = 0;
  reachedL2 = 0;
  notDone = 0;
  gaps = 0;
  overwriting = 0;
  open = 0;
  lost = 0;
  readonly exits = new Map<string, number>();
  readonly errors = new Map<number, number>();
  readonly rules = new Map<string, number>();
  readonly vectors = new Map<number, number>();

  add(program: Program, outcome: Outcome): void {
    this.programs++;
    this.steps += outcome.stepsDone;
    if (!program.defined) this.undefinedPrograms++;
    if (outcome.gap) this.gaps++;
    if (outcome.overwrites) this.overwriting++;
    if (outcome.open) this.open++;
    if (outcome.lost) this.lost++;
    if (outcome.end.kind !== 'done') this.notDone++;
    for (const id of outcome.rules) count(this.rules, id);
    for (const record of readLog(outcome.log)) {
      const what = program.steps[record.step]?.what ?? '';
      const entry = ENTRY.test(what);
      if (entry) this.attempted++;
      if (record.kind === 'event') count(this.vectors, Number(record.words[3]));
      if (record.kind === 'exit') this.addExit(exitFields(program, record).get('VM_EXIT_REASON') ?? 0n, entry);
      if (record.kind === 'step' && what === 'VMREAD VM_INSTRUCTION_ERROR' && (record.words[1] & (ZF | 1n)) === 0n)
        count(this.errors, Number(record.words[2]));
    }
  }

  private addExit(reason: bigint, entry: boolean): void {
    const failed = reason >= FAILED_ENTRY;
    if (entry && !failed) this.reachedL2++;
    const name = exitReason(Number(reason & 0xffffn))?.name ?? `reason ${reason}`;
    count(this.exits, failed ? `${name}, failed entry` : name);
  }

  get shareReached(): number {
    return this.attempted === 0 ? 0 : this.reachedL2 / this.attempted;
  }

  table(): string {
    const rows: [string, string][] = [
      ['steps', `${this.steps}`],
      [
        'programs',
        `${this.programs}, of them undefined ${this.undefinedPrograms}, beyond L0's emulator ${this.gaps}, with differences that the manual allows ${this.open}, overwritten by L2 ${this.lost}, overwriting VMCSs ${this.overwriting}, not run to their end ${this.notDone}`,
      ],
      ['attempted entries', `${this.attempted}`],
      ['reached L2', `${this.reachedL2} (${(100 * this.shareReached).toFixed(1)} %)`],
      ['exits', sorted(this.exits)],
      ['VM-instruction errors', sorted(this.errors)],
      ['events in L1, by vector', sorted(this.vectors)],
      ['entry rules broken', `${this.rules.size} of ${ENTRY_CHECKS.length}`],
    ];
    return rows.map(([name, value]) => `${name.padEnd(24)} ${value}`).join('\n');
  }
}

function count<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function sorted(counts: ReadonlyMap<string | number, number>): string {
  return [...counts]
    .toSorted(([, a], [, b]) => b - a)
    .map(([key, value]) => `${key} ${value}`)
    .join(', ');
}
