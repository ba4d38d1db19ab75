// SPDX-License-Identifier: Apache-2.0

import { hex, hexBytes } from '../../src/base/hex.ts';
import { closeExtended, closeSingle } from './approximate.ts';
import type { Allowance, Case, Outcome } from './case.ts';
import type { CpuUnderTest, StepResult, UserState } from './cpu-under-test.ts';
import { backgroundOf, REGIONS } from './memory-map.ts';

const NAMES = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
];
// prettier-ignore
const FLAGS: readonly (readonly [number, string])[] = [
  [0x001, 'cf'], [0x004, 'pf'], [0x010, 'af'], [0x040, 'zf'], [0x080, 'sf'], [0x100, 'tf'], [0x200, 'if'], [0x400, 'df'], [0x800, 'of'], [0x40000, 'ac'],
];
const flagNames = (value: number): string =>
  FLAGS.filter(([bit]) => value & bit)
    .map(([, name]) => name)
    .join(' ');
/** TF and RF are the oracle's own. */
const ORACLE_FLAGS = 0x10100;
/** Vectors that push an error code a program can see the meaning of. */
const WITH_ERROR_CODE = new Set([12, 13, 14, 17]);
/** x87 images, far pointers and stack frames are read in parts, in an order of the processor's choice. */
const SEVERAL = /^(f|l[sfg]s |callf|jmpf|retf|iret)/;
const REPEAT_LIMIT = 10_000;

/** One thing that differs, as text. */
type Mismatch = { readonly what: string; readonly expected: string; readonly got: string };

export type Difference = { readonly case: Case; readonly mismatches: readonly Mismatch[] };

const backgrounds = REGIONS.map(backgroundOf);
/** What memory holds afterwards: the same arrays for all cases. */
const found = REGIONS.map(({ length }) => new Uint8Array(length));
const prepared = new WeakSet<CpuUnderTest>();

/** Runs the case on the processor under test; what differs from `expected`, or undefined. Memory is the background before and after. */
export function compare(test: Case, cpu: CpuUnderTest): Difference | undefined {
  if (!prepared.has(cpu)) {
    REGIONS.forEach((region, n) => cpu.writeMemory(BigInt(region.start), backgrounds[n]));
    prepared.add(cpu);
  }
  eachMappedPart(test, (address, bytes) => cpu.writeMemory(BigInt(address), bytes));
  cpu.set(test.state);
  const result = stepWhole(test, cpu);
  const mismatches: Mismatch[] = [];
  compareFault(test, result, mismatches);
  compareState(test.expected, cpu.get(), test.allowance, mismatches);
  compareMemory(test, cpu, mismatches);
  return mismatches.length > 0 ? { case: test, mismatches } : undefined;
}

/** Code and patches, cut to what is mapped. */
function eachMappedPart(test: Case, visit: (address: number, bytes: Uint8Array) => void): void {
  const parts = [{ address: test.state.rip, bytes: test.code }, ...test.memory];
  for (const { address, bytes } of parts) {
    for (const region of REGIONS) {
      const offset = region.start - Number(address);
      const from = Math.max(0, offset);
      const to = Math.min(bytes.length, offset + region.length);
      if (from < to) visit(Number(address) + from, bytes.subarray(from, to));
    }
  }
}

function stepWhole(test: Case, cpu: CpuUnderTest): StepResult {
  if (test.stream) return cpu.run();
  for (let n = 0; ; n++) {
    const result = cpu.step();
    if (result.kind === 'fault' || !test.repeat || n > REPEAT_LIMIT || cpu.get().rip !== test.state.rip) return result;
  }
}

function compareFault(test: Case, got: StepResult, mismatches: Mismatch[]): void {
  const expected = test.expected.fault;
  const want = expected ? `vector ${expected.vector}` : 'completed';
  const have = got.kind === 'fault' ? `vector ${got.vector}` : 'completed';
  if (want !== have) {
    mismatches.push({ what: 'result', expected: want, got: have });
    return;
  }
  if (!expected || got.kind !== 'fault') return;
  const compared = ~test.allowance.errorCode;
  if (WITH_ERROR_CODE.has(expected.vector) && (expected.errorCode ^ (got.errorCode ?? 0)) & compared) {
    mismatches.push({ what: 'error code', expected: hex(expected.errorCode), got: hex(got.errorCode ?? 0) });
  }
  // Which byte of an access a page fault reports is the processor's choice where several lie in the page.
  const page = (address = 0n): bigint => address >> 12n;
  const several = SEVERAL.test(test.form);
  if (
    expected.vector === 14 &&
    (several ? page(expected.address) !== page(got.address) : expected.address !== got.address)
  ) {
    mismatches.push({ what: 'fault address', expected: hex(expected.address), got: hex(got.address ?? 0n) });
  }
}

function compareState(outcome: Outcome, got: UserState, allowance: Allowance, mismatches: Mismatch[]): void {
  const { state: expected } = outcome;
  const check = (what: string, want: number | bigint, have: number | bigint): void => {
    if (want !== have) mismatches.push({ what, expected: hex(want), got: hex(have) });
  };
  const { generalBits } = allowance;
  NAMES.forEach((name, n) => {
    const compared = generalBits?.register === n ? ~generalBits.bits : -1n;
    if (!((allowance.general >> n) & 1)) check(name, expected.general[n] & compared, got.general[n] & compared);
  });
  check('rip', expected.rip, got.rip);
  compareFlags(Number(expected.rflags), Number(got.rflags), allowance, mismatches);
  check('fs base', expected.fsBase, got.fsBase);
  check('gs base', expected.gsBase, got.gsBase);
  ['ds', 'es', 'fs', 'gs'].forEach((name, n) => check(name, notNull(expected.selectors[n]), notNull(got.selectors[n])));
  check('mxcsr', expected.mxcsr, got.mxcsr);
  check('fcw', expected.fcw, got.fcw);
  check('fsw', expected.fsw & ~allowance.fsw, got.fsw & ~allowance.fsw);
  check('ftw', expected.ftw, got.ftw);
  compareRegisters('st', 10, 8, expected.st, got.st, allowance, mismatches);
  compareRegisters('xmm', 16, 16, expected.xmm, got.xmm, allowance, mismatches);
}

/** What RPL a null selector had is lost when the kernel returns to the program. */
const notNull = (selector: number): number => (selector < 4 ? 0 : selector);

function compareFlags(expected: number, got: number, allowance: Allowance, mismatches: Mismatch[]): void {
  const compared = ~(allowance.rflags | ORACLE_FLAGS);
  if (((expected ^ got) & compared) === 0) return;
  const show = (value: number): string => `${hex(value & compared)} ${flagNames(value & compared)}`;
  mismatches.push({ what: 'rflags', expected: show(expected), got: show(got) });
}

function compareRegisters(
  name: 'st' | 'xmm',
  length: number,
  count: number,
  expected: Uint8Array,
  got: Uint8Array,
  allowance: Allowance,
  mismatches: Mismatch[],
): void {
  for (let n = 0; n < count; n++) {
    const want = expected.subarray(16 * n, 16 * n + length);
    const have = got.subarray(16 * n, 16 * n + length);
    if (equal(want, have) || isClose(name, want, have, allowance)) continue;
    mismatches.push({ what: `${name}${n} (little-endian)`, expected: hexBytes(want), got: hexBytes(have) });
  }
}

function isClose(name: 'st' | 'xmm', want: Uint8Array, have: Uint8Array, { approximate }: Allowance): boolean {
  if (!approximate || (approximate.element === 'extended') !== (name === 'st')) return false;
  if (name === 'st') return closeExtended(want, have, approximate.relative);
  return [0, 4, 8, 12].every((at) =>
    closeSingle(want.subarray(at, at + 4), have.subarray(at, at + 4), approximate.relative),
  );
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  for (let n = 0; n < a.length; n++) if (a[n] !== b[n]) return false;
  return true;
}

/** All regions against background + case + expected writes; then puts the background back. */
function compareMemory(test: Case, cpu: CpuUnderTest, mismatches: Mismatch[]): void {
  REGIONS.forEach((region, index) => {
    if (region.execute) return;
    const got = cpu.readMemory(BigInt(region.start), region.length, found[index]);
    const expected = expectedRegion(test, index);
    const different = Buffer.compare(got, expected) !== 0;
    if (different) reportMemory(test, region.start, expected, got, mismatches);
    if (different || expected !== backgrounds[index]) cpu.writeMemory(BigInt(region.start), backgrounds[index]);
  });
  const restore = (address: number, bytes: Uint8Array): void => {
    const index = REGIONS.findIndex(
      (region) => region.execute && address >= region.start && address < region.start + region.length,
    );
    if (index < 0) return;
    const offset = address - REGIONS[index].start;
    cpu.writeMemory(BigInt(address), backgrounds[index].subarray(offset, offset + bytes.length));
  };
  eachMappedPart(test, restore);
}

/** The background itself where the case touches nothing, else a copy with patches, then writes. */
function expectedRegion(test: Case, index: number): Uint8Array {
  const { start, length } = REGIONS[index];
  let bytes = backgrounds[index];
  for (const change of [...test.memory, ...test.expected.writes]) {
    const offset = Number(change.address) - start;
    const from = Math.max(0, -offset);
    const to = Math.min(change.bytes.length, length - offset);
    if (from >= to) continue;
    if (bytes === backgrounds[index]) bytes = bytes.slice();
    bytes.set(change.bytes.subarray(from, to), offset + from);
  }
  return bytes;
}

function reportMemory(test: Case, start: number, expected: Uint8Array, got: Uint8Array, mismatches: Mismatch[]): void {
  const allowed = (address: number): boolean =>
    test.allowance.memory.some(
      (range) => address >= Number(range.address) && address < Number(range.address) + range.length,
    );
  for (let at = 0; at < expected.length; at++) {
    if (expected[at] === got[at] || allowed(start + at)) continue;
    const end = Math.min(at + 16, expected.length);
    const show = (bytes: Uint8Array): string => hexBytes(bytes.subarray(at, end));
    mismatches.push({ what: `memory at ${hex(start + at)}`, expected: show(expected), got: show(got) });
    at = end;
  }
}

/** The difference for people: the case with what it found, and each mismatch. `instruction` is its disassembly. */
export function describe(difference: Difference, instruction = ''): string {
  const { case: test, mismatches } = difference;
  const { state } = test;
  const lines = [`${test.form} #${test.index}: ${hexBytes(test.code)}  ${instruction}`.trimEnd()];
  const general = NAMES.map((name, n) => `${name.padStart(3)} ${hex(state.general[n], 16)}`);
  for (let n = 0; n < 16; n += 4) lines.push(`  in  ${general.slice(n, n + 4).join('  ')}`);
  lines.push(
    `  in  rip ${hex(state.rip)}  rflags ${flagNames(Number(state.rflags))}  fs ${hex(state.fsBase)}  gs ${hex(state.gsBase)}  mxcsr ${hex(state.mxcsr)}`,
  );
  lines.push(`  in  fcw ${hex(state.fcw)}  fsw ${hex(state.fsw)}  ftw ${hex(state.ftw)}`);
  if (state.ftw)
    for (let n = 0; n < 8; n++) lines.push(`  in  st${n} ${hexBytes(state.st.subarray(16 * n, 16 * n + 10))}`);
  if (test.form.includes('0F')) lines.push(...vectorLines(state));
  for (const { address, bytes } of test.memory)
    lines.push(`  in  memory at ${hex(address)}: ${hexBytes(bytes.subarray(0, 64))}`);
  for (const { what, expected, got } of mismatches)
    lines.push(`  ${what}: expected ${expected}`, `  ${' '.repeat(what.length)}       got ${got}`);
  return lines.join('\n');
}

/** What the processor answered, as far as it changed anything. */
export function describeOutcome({ state, expected }: Case): string {
  const { fault, state: after, writes } = expected;
  const lines = fault
    ? [`  out fault: vector ${fault.vector}, error code ${hex(fault.errorCode)}, address ${hex(fault.address)}`]
    : [];
  const changes: Mismatch[] = [];
  const nothing = { rflags: 0, general: 0, fsw: 0, memory: [], errorCode: 0 };
  compareState({ state: after, writes }, state, nothing, changes);
  for (const { what, expected: value } of changes) lines.push(`  out ${what} ${value}`);
  for (const { address, bytes } of writes) lines.push(`  out memory at ${hex(address)}: ${hexBytes(bytes)}`);
  return lines.join('\n');
}

/** The XMM registers that a case filled. */
function vectorLines(state: UserState): string[] {
  const lines: string[] = [];
  for (let n = 0; n < 16; n++) {
    const bytes = state.xmm.subarray(16 * n, 16 * n + 16);
    if (bytes.some((byte, at) => byte !== (((16 * n + at) * 37 + 11) & 0xff)))
      lines.push(`  in  xmm${n} ${hexBytes(bytes)}`);
  }
  return lines;
}
