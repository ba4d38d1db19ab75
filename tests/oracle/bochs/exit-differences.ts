// SPDX-License-Identifier: Apache-2.0
// Two logs of L1, ours and that of Bochs, exit by exit; and where they may differ, with the reason.
import { readLog, reasonOf } from '../../nested/log.ts';
import { LOGGED } from '../../nested/runs.ts';

// prettier-ignore
const NAMES: readonly string[] = [
  'TSC', 'mark', 'RAX', 'RCX', 'RDX', 'RBX', 'RSI', 'RDI', 'RBP', 'CR2', 'DR6', "L1's CR0", "L1's CR4", "L1's DR7", "L1's EFER",
  ...LOGGED.map(({ name }) => name),
];
const RIP = NAMES.indexOf('GUEST_RIP');

interface Context {
  readonly reason: string;
  /** Fields of our log by name. */
  readonly ours: (name: string) => bigint;
}
interface Allowed {
  readonly field: string;
  readonly why: string;
  readonly when: (ours: bigint, theirs: bigint, context: Context) => boolean;
}

const always = (): boolean => true;
const FAULTS = new Set(['EXCEPTION_NMI', 'EPT_VIOLATION', 'EPT_MISCONFIG', 'APIC_ACCESS']);
/** Reasons for which the field is defined. See: SDM 28.2.5 Information for VM Exits Due to Instruction Execution. */
// prettier-ignore
const WITH_INFORMATION = new Set([
  'GDTR_IDTR', 'LDTR_TR', 'INVEPT', 'INVPCID', 'INVVPID', 'VMCLEAR', 'VMPTRLD', 'VMPTRST', 'VMON', 'VMREAD', 'VMWRITE', 'RDRAND', 'IO_INSTRUCTION',
]);
const INTERRUPTING = new Set(['EXTERNAL_INTERRUPT', 'PREEMPTION_TIMER']);
/** RDRAND: bits 6:3 and 12:11 are defined. */
const RDRAND_BITS = 0x1878n;
const RF = 0x10000n;
const TIMER_CONTROL = 0x40n;
const MTF_CONTROL = 0x8000000n;
const errorCodeValid = (information: bigint): boolean => (information & 0x800n) !== 0n;
const isSoftwareException = (information: bigint): boolean => ((information >> 8n) & 7n) >= 4n;

// prettier-ignore
export const ALLOWED: readonly Allowed[] = [
  { field: 'TSC', why: 'how long instructions take', when: always },
  { field: 'RDX', why: 'the capability MSR of Haswell that L1 read last', when: (_, __, { reason }) => reason === 'INVALID_STATE' },
  { field: 'VM_EXIT_INSTRUCTION_LEN', why: 'undefined for failed entries and hardware exceptions',
    when: (_, __, { reason, ours }) => reason === 'INVALID_STATE' || (reason === 'EXCEPTION_NMI' && !isSoftwareException(ours('VM_EXIT_INTR_INFO'))) },
  { field: 'VMX_INSTRUCTION_INFO', why: 'undefined for this reason: Bochs leaves what was there', when: (_, __, { reason }) => !WITH_INFORMATION.has(reason) },
  { field: 'VMX_INSTRUCTION_INFO', why: 'undefined bits', when: (ours, theirs, { reason }) => reason === 'RDRAND' && ((ours ^ theirs) & RDRAND_BITS) === 0n },
  { field: 'VMX_INSTRUCTION_INFO', why: 'undefined for IN and OUT', when: (_, __, { reason }) => reason === 'IO_INSTRUCTION' },
  { field: 'GUEST_RFLAGS', why: 'Bochs saves no RF for faults (SDM 28.3.3 Saving RIP, RSP, RFLAGS, and SSP)', when: (ours, theirs, { reason }) => FAULTS.has(reason) && (ours ^ theirs) === RF && (ours & RF) !== 0n },
  { field: 'GUEST_LINEAR_ADDRESS', why: 'undefined for misconfigurations', when: (_, __, { reason }) => reason === 'EPT_MISCONFIG' },
  { field: 'IDT_VECTORING_ERROR_CODE', why: 'undefined: the event has none', when: (_, __, { ours }) => !errorCodeValid(ours('IDT_VECTORING_INFO_FIELD')) },
  { field: 'VM_ENTRY_EXCEPTION_ERROR_CODE', why: 'L1 copies the one above', when: always },
  { field: 'RAX', why: 'port 80h: a page register of the DMA controller in Bochs', when: (ours, theirs) => (ours & 0xffn) === 0xffn && (theirs & 0xffn) === 0n },
  { field: 'RBX', why: 'the same, copied in real-address mode', when: (ours, theirs) => (ours & 0xffn) === 0xffn && (theirs & 0xffn) === 0n },
  { field: 'RCX', why: 'how far a loop came until the timer', when: (_, __, { reason }) => INTERRUPTING.has(reason) },
  { field: 'GUEST_ACTIVITY_STATE', why: 'Bochs has left HLT when it saves the state (SDM 28.3.4 Saving Non-Register State)', when: (ours, theirs, { reason }) => reason === 'EXTERNAL_INTERRUPT' && ours === 1n && theirs === 0n },
  { field: 'PIN_BASED_VM_EXEC_CONTROL', why: 'L1 has not switched the timer off yet, or has', when: (ours, theirs) => (ours ^ theirs) === TIMER_CONTROL },
  { field: 'CPU_BASED_VM_EXEC_CONTROL', why: 'Bochs 2.7 has no monitor trap flag', when: (ours, theirs) => (ours ^ theirs) === MTF_CONTROL },
  { field: 'GUEST_PENDING_DBG_EXCEPTIONS', why: 'Bochs has BS pending before the instruction under TF was executed', when: (ours, theirs, { reason }) => reason === 'CPUID' && ours === 0n && theirs === 0x4000n },
  { field: 'GUEST_CS_AR_BYTES', why: 'Bochs makes CS a data segment in real-address mode', when: (ours, theirs) => ours === 0x9bn && theirs === 0x93n },
];

/** Exits that one of the two makes alone. */
// prettier-ignore
const ALONE: Readonly<Record<string, string>> = {
  EXTERNAL_INTERRUPT: 'the timer ran out between other instructions',
  PREEMPTION_TIMER:   'the timer ran out between other instructions',
  MONITOR_TRAP_FLAG:  'Bochs 2.7 has no monitor trap flag',
};

export interface LogComparison {
  /** Exits that both made. */
  readonly compared: number;
  readonly reasons: ReadonlySet<string>;
  /** How often each row of ALLOWED, or ALONE, was needed. */
  readonly allowed: ReadonlyMap<string, number>;
  readonly differences: readonly string[];
}

/** A value that differs as it did at the exit before is no new difference. */
export function compareLogs(oursWords: BigUint64Array, theirsWords: BigUint64Array): LogComparison {
  const [ours, theirs] = [readLog(oursWords), readLog(theirsWords)];
  const reasons = new Set<string>();
  const allowed = new Map<string, number>();
  const differences: string[] = [];
  const allow = (why: string): void => void allowed.set(why, (allowed.get(why) ?? 0) + 1);
  const flags = (words: BigUint64Array): string => words.subarray(1).join(' ');
  if (flags(ours.before) !== flags(theirs.before))
    differences.push('RFLAGS and errors of VMX instructions before the first exit');
  let carried = new Map<string, string>();
  let compared = 0;
  for (const [mine, other] of aligned(ours.exits, theirs.exits)) {
    const shown = mine ?? other!;
    const reason = reasonOf(shown);
    if (mine === undefined || other === undefined) {
      if (ALONE[reason] === undefined) differences.push(`${where(shown)}: only ${mine ? 'ours' : 'theirs'}`);
      else allow(`${reason}: ${ALONE[reason]}`);
      continue;
    }
    compared++;
    reasons.add(reason);
    carried = compareExit(mine, other, carried, allow, differences);
  }
  return { compared, reasons, allowed, differences };
}

function compareExit(
  mine: BigUint64Array,
  other: BigUint64Array,
  carried: ReadonlyMap<string, string>,
  allow: (why: string) => void,
  differences: string[],
): Map<string, string> {
  const now = new Map<string, string>();
  const context: Context = { reason: reasonOf(mine), ours: (name) => mine[NAMES.indexOf(name)] };
  NAMES.forEach((field, n) => {
    if (mine[n] === other[n]) return;
    const pair = `${mine[n].toString(16)}, theirs ${other[n].toString(16)}`;
    now.set(field, pair);
    if (carried.get(field) === pair) return;
    const row = ALLOWED.find((each) => each.field === field && each.when(mine[n], other[n], context));
    if (row === undefined) differences.push(`${where(mine)}: ${field} ${pair}`);
    else allow(`${field}: ${row.why}`);
  });
  return now;
}

function where(exit: BigUint64Array): string {
  return `${reasonOf(exit)} at ${exit[RIP].toString(16)}`;
}

type Exits = readonly BigUint64Array[];

/** Exits at the same place for the same reason belong together; of two that do not, the one that comes up sooner waits. */
function* aligned(ours: Exits, theirs: Exits): Generator<[BigUint64Array | undefined, BigUint64Array | undefined]> {
  const [mine, other] = [ours.map(where), theirs.map(where)];
  let [i, j] = [0, 0];
  while (i < mine.length || j < other.length) {
    if (mine[i] === other[j]) {
      yield [ours[i++], theirs[j++]];
      continue;
    }
    const distance = (list: readonly string[], from: number, wanted: string | undefined): number => {
      const at = wanted === undefined ? -1 : list.indexOf(wanted, from);
      return at < 0 ? Infinity : at - from;
    };
    const [ahead, behind] = [distance(mine, i, other[j]), distance(other, j, mine[i])];
    if (i < mine.length && (j >= other.length || ahead <= behind)) yield [ours[i++], undefined];
    else yield [undefined, theirs[j++]];
  }
}
