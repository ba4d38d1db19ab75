// SPDX-License-Identifier: Apache-2.0
// What the monitor wrote down: records of steps, of events in L1 and of exits; monitor.asm has their shapes.
import { exitReason } from '../../src/arch/vmx/exit-reasons.ts';
import type { VmcsField } from '../../src/arch/vmx/fields.ts';
import { LAYOUT, PARAMETER, RAM_BYTES, STEP_BYTES, STEP_CODE } from './layout.ts';
import { allFields, someFields } from './logged-fields.ts';
import { shownCapabilities } from './machines.ts';
import type { Side } from './machines.ts';
import type { Program } from './program.ts';

const PAGE = 0x1000;
const KINDS = { 1: 'step', 2: 'event', 3: 'exit' } as const;
const STEP_SIZE = 56;
const EVENT_SIZE = 88;
const EXIT_HEAD = 192;
const RESUME_FLAG = 0x10000n;
const FAILED_ENTRY = 0x80000000n;

export interface LogRecord {
  readonly kind: 'step' | 'event' | 'exit';
  /** The step that it belongs to. */
  readonly step: number;
  /** 8-byte words, the first of them kind and step. */
  readonly words: readonly bigint[];
}

// prettier-ignore
const WORDS = {
  step: ['', 'RFLAGS', 'RAX', 'RBX', 'RCX', 'RDX', 'TSC'],
  event: ['', 'RDX', 'RAX', 'vector', 'error code', 'RIP', 'CS', 'RFLAGS', 'RBX', 'CR2', 'TSC'],
  exit: ['', 'RAX', 'RBX', 'RCX', 'RDX', 'RBP', 'RDI', 'RSI', 'R8', 'R9', 'R10', 'R11', 'R12', 'R13', 'R14', 'R15', 'CR0', 'CR4', 'CR2', 'CR8', 'RFLAGS', 'TSC', 'DR7', 'CS and SS'],
} as const;

/** A number of PARAMETERS as it is now. */
export const parameter = (side: Side, at: number): number => {
  const page = side.pages[LAYOUT.PARAMETERS / PAGE];
  return new DataView(page.buffer, page.byteOffset).getUint32(at, true);
};

/** A copy; at most what there is room for. */
export function logOf(side: Side): Uint8Array {
  const end = Math.min(RAM_BYTES, Math.max(LAYOUT.LOG, parameter(side, PARAMETER.log)));
  return Buffer.concat(side.pages.slice(LAYOUT.LOG / PAGE, Math.ceil(end / PAGE))).subarray(0, end - LAYOUT.LOG);
}

/** The records of a log; what is not one ends it. */
export function readLog(log: Uint8Array): LogRecord[] {
  const view = new DataView(log.buffer, log.byteOffset, log.byteLength);
  const records: LogRecord[] = [];
  let step = 0;
  for (let at = 0; at + 8 <= log.length;) {
    const kind = KINDS[view.getUint32(at, true) as keyof typeof KINDS];
    if (kind === undefined) break;
    const second = view.getUint32(at + 4, true);
    const size = kind === 'step' ? STEP_SIZE : kind === 'event' ? EVENT_SIZE : second;
    if (size < STEP_SIZE || at + size > log.length) break;
    const words = Array.from({ length: size >> 3 }, (_, i) => view.getBigUint64(at + 8 * i, true));
    const code = kind === 'exit' ? 0 : second;
    const inSteps = code >= LAYOUT.STEPS && code < LAYOUT.FIELD_LISTS;
    if (inSteps) step = Math.floor((code - LAYOUT.STEPS - STEP_CODE) / STEP_BYTES);
    else if (kind === 'exit') step++;
    records.push({ kind, step, words });
    at += size;
  }
  return records;
}

/** The fields that an exit's record ends with, by how many there are. */
export function fieldsOf(program: Program, record: LogRecord): readonly string[] {
  const { some, all } = loggedNames(program);
  return record.words.length - EXIT_HEAD / 8 === all.length ? all : some;
}

const known = new Map<string, { readonly some: readonly string[]; readonly all: readonly string[] }>();

function loggedNames(program: Program): { readonly some: readonly string[]; readonly all: readonly string[] } {
  const key = `${program.profile} ${program.paging}`;
  const there = known.get(key);
  if (there !== undefined) return there;
  const capabilities = shownCapabilities(program);
  const namesOf = (fields: readonly VmcsField[]): string[] => fields.map(({ name }) => name);
  const made = { some: namesOf(someFields(capabilities)), all: namesOf(allFields(capabilities)) };
  known.set(key, made);
  return made;
}

/** The fields of an exit's record. */
export function exitFields(program: Program, record: LogRecord): ReadonlyMap<string, bigint> {
  return new Map(fieldsOf(program, record).map((name, i) => [name, record.words[EXIT_HEAD / 8 + i]]));
}

function names(program: Program, record: LogRecord): readonly string[] {
  return record.kind === 'exit' ? [...WORDS.exit, ...fieldsOf(program, record)] : WORDS[record.kind];
}

const hex = (value: bigint | undefined): string => value?.toString(16) ?? 'nothing';

function told(program: Program, record: LogRecord | undefined): string {
  if (record === undefined) return 'nothing more';
  if (record.kind === 'step') return 'the next step';
  if (record.kind === 'event') return `an event by vector ${record.words[3]}, error code ${hex(record.words[4])}`;
  const at = EXIT_HEAD / 8 + fieldsOf(program, record).indexOf('VM_EXIT_REASON');
  const reason = Number(record.words[at]);
  return `an exit by ${exitReason(reason & 0xffff)?.name ?? reason}${reason >= 0x80000000 ? ' (failed entry)' : ''}`;
}

/**
 * Whether a word differs only in RFLAGS.RF where one level of VT-x cannot tell. An EPT violation saves RF as 1 and not as
 * it was (SDM 28.3.3 Saving RIP, RSP, RFLAGS, and SSP); L2 goes on with that after a miss of EPT02, and where then a
 * double or triple fault comes of it, RF is seen as it is.
 */
function onlyResumeFlag(program: Program, record: LogRecord, name: string, bare: bigint, l0: bigint): boolean {
  if (name !== 'GUEST_RFLAGS' || (bare ^ l0) !== RESUME_FLAG) return false;
  const fields = fieldsOf(program, record);
  const field = (wanted: string): bigint => record.words[EXIT_HEAD / 8 + fields.indexOf(wanted)];
  const reason = field('VM_EXIT_REASON');
  const doubleFault = (field('VM_EXIT_INTR_INFO') & 0x800000ffn) === 0x80000008n;
  return (
    reason === 2n || reason >= FAILED_ENTRY || doubleFault || (field('IDT_VECTORING_INFO_FIELD') & 0x80000000n) !== 0n
  );
}

/** Whether RF was already allowed to differ at the exit before, so that an L2 which has executed nothing since may still have it so. */
function carriesResumeFlag(program: Program, bare: LogRecord, l0: LogRecord, carried: boolean): boolean {
  if (bare.kind !== 'exit') return carried;
  const at = names(program, bare).indexOf('GUEST_RFLAGS');
  return at >= 0 && bare.words[at] !== l0.words[at];
}

function same(program: Program, bare: LogRecord | undefined, l0: LogRecord | undefined, carried: boolean): boolean {
  if (bare === undefined || l0 === undefined || bare.words.length !== l0.words.length) return false;
  return bare.words.every((word, i) => {
    if (word === l0.words[i]) return true;
    if (bare.kind !== 'exit') return false;
    const name = names(program, bare)[i];
    if (carried && name === 'GUEST_RFLAGS' && (word ^ l0.words[i]) === RESUME_FLAG) return true;
    return onlyResumeFlag(program, bare, name, word, l0.words[i]);
  });
}

export interface Difference {
  /** The number of the record that differs; Infinity when all records are the same. */
  readonly record: number;
  readonly message: string;
  /** The pages of L1's memory that differ, if nothing else does. */
  readonly pages?: readonly number[] | undefined;
}

/** The first thing that the two logs disagree about. */
export function firstDifference(program: Program, bareSide: Side, l0Side: Side): Difference | undefined {
  const [bareLog, l0Log] = [logOf(bareSide), logOf(l0Side)];
  if (Buffer.compare(bareLog, l0Log) === 0) return undefined;
  const [bare, l0] = [readLog(bareLog), readLog(l0Log)];
  let carried = false;
  const at = Array.from({ length: Math.max(bare.length, l0.length) }, (_, i) => i).find((i) => {
    if (!same(program, bare[i], l0[i], carried)) return true;
    carried = carriesResumeFlag(program, bare[i], l0[i], carried);
    return false;
  });
  if (at === undefined) return undefined;
  const step = (bare[at] ?? l0[at]).step;
  const where = `record ${at}, step ${step} (${program.steps[step]?.what ?? '?'})`;
  if (bare[at]?.kind !== l0[at]?.kind)
    return {
      record: at,
      message: `${where}: ${told(program, bare[at])} on the bare machine, ${told(program, l0[at])} under L0`,
    };
  const different = names(program, bare[at])
    .map((name, i) => ({ name, bare: bare[at].words[i], l0: l0[at].words[i] }))
    .filter((row) => row.bare !== row.l0)
    .map((row) => `${row.name} ${hex(row.bare)} bare, ${hex(row.l0)} under L0`);
  return { record: at, message: `${where}, ${told(program, bare[at])}: ${different.slice(0, 6).join('; ')}` };
}
