// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { opcodeTable } from '../../../arch/instructions/table.ts';
import { Memory } from '../../memory/memory.ts';
import { JIT_DEFAULT, Jit } from '../jit/jit.ts';
import { Engine } from '../interpreter/engine.ts';
import { DESCRIPTIONS, formsOf } from '../interpreter/forms.ts';
import type { Form } from '../interpreter/forms.ts';
import { emitInterpreter } from '../interpreter/module.ts';
import { STATUS } from '../interpreter/record.ts';
import { Routines } from '../microcode/routines.ts';
import { SSE_FLOAT_MICROCODE } from '../microcode/sse-float.ts';
import { MODE } from '../mode.ts';
import { Processor } from '../processor.ts';
import { CR0, CR4, EFER } from '../register-bits.ts';
import { isSseFloat, sseFloatInstruction } from '../sse-float/table.ts';
import { SseFloatUnit } from '../sse-float/unit.ts';
import type { SseFloatInstruction } from '../sse-float/unit.ts';
import { CS, DS, ES, FS, GS, SS, STATE, generalOffset } from '../state.ts';
import { Translator } from '../translation/translator.ts';

/** For float.test.ts: described floating point and the exact unit, side by side. */

// --- a processor in 64-bit mode that counts what microcode does ----------------------------------------------------

const PML4 = 0x1000;
export const CODE = 0x10000;
export const DATA = 0x20000;
/** Mapped, and no RAM. */
export const DEVICE = 0x600000;
const PAGES = { present: 3, large: 0x83 };

export const bus = { reads: 0, readMemory: () => (bus.reads++, 0), writeMemory: () => {}, readPort: () => 0xff, writePort: () => {} }; // prettier-ignore
export const memory = new Memory(1, 4 << 20, 0xb0000000);
export const allForms = formsOf(DESCRIPTIONS);
const modules = emitInterpreter(0, memory.layout.codeTable, allForms);
export const cpu = new Processor(0, memory, bus);
/** How often microcode was asked. */
export let helped = 0;
const counted = Object.entries(SSE_FLOAT_MICROCODE).map(([name, routine]) => [
  name,
  (...args: Parameters<typeof routine>) => (helped++, routine(...args)),
]);
const routines = new Routines([Object.fromEntries(counted)]);
const features = { has: () => true } as unknown as ReadonlySet<string>;
const translator = new Translator(memory, modules.places, routines, features, (host) =>
  cpu.mmu.buffers.dropWriteTags(host),
);
const jit = new Jit(JIT_DEFAULT.mode, memory, translator, modules.places);
const engine = new Engine(cpu, translator, modules, routines.list, () => STATUS.exit, jit);

function enterLongMode(): void {
  const entry = (address: number, value: number): void =>
    memory.write(address, new Uint8Array(BigUint64Array.of(BigInt(value)).buffer));
  entry(PML4, 0x2000 | PAGES.present);
  entry(0x2000, 0x3000 | PAGES.present);
  entry(0x3000, PAGES.large);
  entry(0x3000 + 24, DEVICE | PAGES.large);
  cpu.mmu.codePages = translator.store.codePages;
  cpu.set32(STATE.cr0, CR0.PE | CR0.MP | CR0.NE | CR0.ET | CR0.PG);
  cpu.set32(STATE.cr4, CR4.PAE | CR4.OSFXSR | CR4.OSXMMEXCPT);
  cpu.set32(STATE.efer, EFER.LME | EFER.LMA);
  cpu.set64(STATE.cr3, BigInt(PML4));
  cpu.setSegment(CS, 8, 0, 0xffffffff, 0xa09b);
  for (const segment of [SS, DS, ES, FS, GS]) cpu.setSegment(segment, 0x10, 0, 0xffffffff, 0xc093);
  cpu.rflags = 2;
  cpu.modeChanged();
  cpu.mmu.pagingChanged();
}
enterLongMode();

// --- forms and their encodings -----------------------------------------------------------------------------------

export interface Case {
  readonly form: Form;
  readonly mnemonic: string;
  /** The general register has 64 bits. */
  readonly wide: boolean;
  /** Where its code lies. */
  readonly rip: number;
  readonly immediate: number;
  /** Without the microcode's own fast path. */
  readonly exact: SseFloatInstruction;
}

const PREFIXES: Readonly<Record<number, readonly number[]>> = { 0: [], 1: [0x66], 2: [0xf3], 3: [0xf2] };
const MAPS = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];
export const MODRM = { registers: 0xc1, memory: 0x06 };
const RAX = 0;
const RCX = 1;
const RSI = 6;

function makeCase({ form, immediate }: { form: Form; immediate: number }, index: number): Case {
  const [mnemonic, signature] = form.key.split(':');
  const row = opcodeTable.find((each) => each.mnemonic === mnemonic && each.mandatoryPrefix >= 0 && each.map !== 0);
  assert.ok(row, mnemonic);
  const wide = signature.includes('r64') || (mnemonic.startsWith('CVTSI2') && signature.includes('m64'));
  const modrm = signature.includes('m') ? MODRM.memory : MODRM.registers;
  const rip = CODE + index * 16;
  const bytes = [
    ...PREFIXES[row.mandatoryPrefix],
    ...(wide ? [0x48] : []),
    ...MAPS[row.map],
    row.opcode,
    modrm,
    immediate,
  ];
  memory.write(rip, Uint8Array.from(bytes));
  const { fast: _fast, ...exact } = sseFloatInstruction(mnemonic, wide);
  return { form, mnemonic, wide, rip, immediate, exact };
}

export const IMMEDIATES = 16;
export const cases = allForms
  .filter((form) => isSseFloat(form.key.split(':')[0]))
  .flatMap((form) =>
    Array.from({ length: form.signature.endsWith('i8') ? IMMEDIATES : 1 }, (_, immediate) => ({ form, immediate })),
  )
  .map(makeCase);
/** The forms of registers and of memory compute the same. */
export const groups = Map.groupBy(
  cases,
  ({ mnemonic, wide, form, immediate }) =>
    mnemonic + (wide ? ' 64' : '') + (form.signature.endsWith('i8') ? ` ${immediate}` : ''),
);

// --- one instruction, here and there -----------------------------------------------------------------------------

export const ORDINARY = 0x1fa0;
/** Nothing inexact has happened yet. */
export const UNROUNDED = 0x1f80;
const ALL_FLAGS = 0x8d5;
const SIMD_EXCEPTION = 19;

/** The destination, and 16 bytes on the source. */
export const operands = new DataView(new ArrayBuffer(32));
export const operandBytes = new Uint8Array(operands.buffer);
const unit = new SseFloatUnit(new ArrayBuffer(32));
const expected = new Uint8Array(unit.view.buffer);

export function run({ form, rip }: Case, mxcsr: number, address = DATA): void {
  const xmm = STATE.xmm;
  cpu.bytes.set(operandBytes, xmm);
  cpu.setReg64(RAX, operands.getBigUint64(0, true));
  cpu.setReg64(RCX, operands.getBigUint64(16, true));
  cpu.setReg64(RSI, BigInt(address));
  if (form.signature.includes('m')) memory.u8.set(operandBytes.subarray(16), memory.host(DATA));
  cpu.set32(STATE.mxcsr, mxcsr);
  cpu.rflags = ALL_FLAGS | 2;
  cpu.rip = rip;
  cpu.faulted = false;
  cpu.words[STATE.mode >> 2] |= MODE.single;
  cpu.words[STATE.remaining >> 2] = 1;
  engine.run();
}

/** What differs from the exact unit's answer, which `expected` and `unit` hold; '' for nothing. */
function difference({ exact }: Case, faulted: boolean): string {
  if (cpu.faulted !== faulted || (faulted && cpu.faultVector !== SIMD_EXCEPTION)) return 'fault';
  if (cpu.get32(STATE.mxcsr) !== unit.mxcsr) return `MXCSR ${cpu.get32(STATE.mxcsr).toString(16)}`;
  const flags = exact.destination === 'flags' && !faulted ? unit.eflags : ALL_FLAGS;
  if (cpu.arithmeticFlags !== flags) return `flags ${cpu.arithmeticFlags.toString(16)}`;
  const general = exact.destination === 'general';
  const at = general ? generalOffset(RAX) : STATE.xmm;
  for (let i = 0; i < (general ? 8 : 16); i++) if (cpu.bytes[at + i] !== expected[i]) return `byte ${i}`;
  return '';
}

/** Runs all forms of a group on the operands; gives how often microcode was asked. */
export function compare(group: readonly Case[], mxcsr: number): number {
  expected.set(operandBytes);
  const faulted = unit.execute(group[0].exact, 0, 16, group[0].immediate, mxcsr);
  const before = helped;
  for (const each of group) {
    run(each, mxcsr);
    const found = difference(each, faulted);
    if (found === '') continue;
    const hex = Buffer.from(operandBytes).toString('hex');
    assert.fail(`${each.form.key} of ${hex}, MXCSR ${mxcsr.toString(16)}: ${found}, not ${Buffer.from(expected.subarray(0, 16)).toString('hex')} ${unit.mxcsr.toString(16)} ${unit.eflags}`); // prettier-ignore
  }
  return helped - before;
}

// --- operands ----------------------------------------------------------------------------------------------------

/** Deterministic: xorshift32. */
let seed = 0x2545f491;
export function random(below: number): number {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return (seed >>> 0) % below;
}
const pick = (...choices: readonly number[]): number => choices[random(choices.length)];

interface Width {
  readonly bytes: 4 | 8;
  readonly bias: number;
}
export const WIDTH = { single: { bytes: 4, bias: 127 }, double: { bytes: 8, bias: 1023 } } as const;

/** The elements that a mnemonic's source has: floating point of a width, or integers. */
export function elements(mnemonic: string): Width | undefined {
  if (/^CVT(SI|DQ)2/.test(mnemonic)) return undefined;
  const converted = /^CVTT?([PS][SD])2/.exec(mnemonic)?.[1] ?? mnemonic.slice(-2);
  return converted.endsWith('S') ? WIDTH.single : WIDTH.double;
}

function put(at: number, width: Width, exponent: number): void {
  const field = Math.max(0, Math.min(width.bias * 2 + 1, exponent));
  const sign = random(2) * 0x80000000;
  const [low, high] = [
    pick(0, -1, 1, random(0x100000000)),
    pick(0, -1, random(0x100000000), random(16) << (width.bytes === 8 ? 16 : 19)),
  ];
  const place = width.bytes === 8 ? 20 : 23;
  const top = sign + field * 2 ** place + ((high >>> 0) % 2 ** place);
  operands.setUint32(at + width.bytes - 4, top, true);
  if (width.bytes === 8) operands.setInt32(at, low, true);
}

/** An exponent field: usual, any, at the ends, or where conversions have theirs. */
function anyExponent({ bias }: Width): number {
  const kind = random(8);
  if (kind < 3) return bias + random(20) - 10;
  if (kind < 5) return random(bias * 2 + 2);
  if (kind < 6) return pick(0, 0, 0, 1, 2, bias * 2 - 1, bias * 2, bias * 2 + 1);
  return bias + pick(0, 22, 23, 24, 29, 30, 31, 51, 52, 53, 61, 62, 63, 127, 128, -125, -126, -127, -149, -150);
}

/** Two lanes; often so that a product, a quotient or a difference of them comes near the format's ends. */
function putPair(at: number, width: Width): void {
  const { bias, bytes } = width;
  const a = anyExponent(width);
  put(at, width, a);
  const end = pick(-1, 0, 1, 2, bias * 2 - 1, bias * 2, bias * 2 + 1);
  const kind = random(6);
  if (kind === 0) put(at + 16, width, bias + end - a);
  else if (kind === 1) put(at + 16, width, bias - end + a);
  else if (kind === 2) put(at + 16, width, a + random(3) - 1);
  else put(at + 16, width, anyExponent(width));
  if (random(10) === 0) operandBytes.copyWithin(at + 16, at, at + bytes);
  for (const side of [at, at + 16]) if (random(12) === 0) operands.setUint32(side + bytes - 4, random(2) * 0x80000000, true); // prettier-ignore
  for (const side of [at, at + 16]) if (bytes === 8 && random(4) === 0) operands.setUint32(side, 0, true);
}

function putIntegers(): void {
  for (let at = 0; at < 32; at += 4) operands.setInt32(at, random(0x100000000) >> random(32), true);
  if (random(2) === 0) operands.setInt32(20, operands.getInt32(16, true) >> 31, true);
}

/** All kinds of operands. */
export function putAny(width: Width | undefined): void {
  if (width === undefined) return putIntegers();
  for (let at = 0; at < 16; at += width.bytes) putPair(at, width);
}

/** Numbers whose arithmetic stays far from everything special. */
export function putPlain(width: Width | undefined): void {
  if (width === undefined) return putIntegers();
  for (let at = 0; at < 32; at += width.bytes) put(at, width, width.bias + random(20) - 10);
}

/** Roots of positive numbers only. */
export function makePositive(): void {
  for (let at = 3; at < 32; at += 4) operandBytes[at] &= 0x7f;
}
