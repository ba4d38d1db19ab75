// SPDX-License-Identifier: Apache-2.0
// What L1 wrote down, exit by exit, and how two logs differ, in words. See exits.inc
import { exitReason } from '../../src/arch/vmx/exit-reasons.ts';
import { LOGGED } from './runs.ts';
import type { Outcome } from './runs.ts';

/** What is in front of the fields. */
// prettier-ignore
const REGISTERS = [
  'TSC', 'mark', 'RAX', 'RCX', 'RDX', 'RBX', 'RSI', 'RDI', 'RBP', 'CR2', 'DR6', "L1's CR0", "L1's CR4", "L1's DR7", "L1's EFER",
] as const;
const NAMES: readonly string[] = [...REGISTERS, ...LOGGED.map(({ name }) => name)];
const [REASON, RIP] = [NAMES.indexOf('VM_EXIT_REASON'), NAMES.indexOf('GUEST_RIP')];
const MARK = 0x4d524b524dn;
const BASIC_REASON = 0xffffn;

export interface Log {
  /** What VMX instructions left in RFLAGS, and VM-instruction errors, before the first exit. */
  readonly before: BigUint64Array;
  /** One for each exit; what follows the fields was written after it. */
  readonly exits: readonly BigUint64Array[];
}

export function readLog(words: BigUint64Array): Log {
  const starts = [...words.keys()].filter((i) => words[i] === MARK).map((i) => i - 1);
  const exits = starts.map((start, i) => words.subarray(start, starts[i + 1]));
  return { before: words.subarray(0, starts[0]), exits };
}

export function reasonOf(exit: BigUint64Array): string {
  const number = Number(exit[REASON] & BASIC_REASON);
  return exitReason(number)?.name ?? `reason ${number}`;
}

/** Every word in which two runs differ, and where their memory does for the first time. */
export function differences(expected: Outcome, got: Outcome): string[] {
  const [a, b] = [readLog(expected.log), readLog(got.log)];
  const found = wordDifferences('before the first exit', a.before, b.before);
  for (let i = 0; i < Math.max(a.exits.length, b.exits.length); i++) {
    const [one, other] = [a.exits[i] ?? new BigUint64Array(), b.exits[i] ?? new BigUint64Array()];
    const shown = a.exits[i] ?? b.exits[i];
    found.push(...wordDifferences(`exit ${i}, ${reasonOf(shown)} at ${shown[RIP].toString(16)}`, one, other));
  }
  if (Buffer.compare(expected.memory, got.memory) === 0) return found;
  const byte = expected.memory.findIndex((value, i) => value !== got.memory[i]);
  found.push(`memory at ${byte.toString(16)}: ${expected.memory[byte]}, not ${got.memory[byte]}`);
  return found;
}

function wordDifferences(where: string, expected: BigUint64Array, got: BigUint64Array): string[] {
  const found: string[] = [];
  for (let i = 0; i < Math.max(expected.length, got.length); i++) {
    if (expected[i] === got[i]) continue;
    const [bare, under] = [expected[i], got[i]].map((word) => word?.toString(16) ?? 'nothing');
    found.push(`${where}: ${NAMES[i] ?? `word ${i}`} is ${bare}, not ${under}`);
  }
  return found;
}
