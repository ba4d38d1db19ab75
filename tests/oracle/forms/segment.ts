// SPDX-License-Identifier: Apache-2.0

import { littleEndian, type Draft } from '../draft.ts';
import { formsOf, type FormOptions, type Row } from '../form.ts';
import { STACK, UNMAPPED } from '../memory-map.ts';

const RSP = 4;
const CS = 1;
const SS = 2;
const USER_DATA = 0x2b;
const USER_CODE = 0x33;

// Linux's own descriptors, which memory-map.ts lists: 0x33 and 0x2b are the ones a program runs with; 0x08, 0x10, 0x18
// are the kernel's, 0x40 is its TSS, 0x63 is empty, 0x1003 lies beyond the limit, 0x2f is in an LDT that is not there.
const REFUSED = [0x08, 0x10, 0x18, 0x1b, 0x40, 0x63, 0x1003, 0x2f];
const DATA_SELECTORS = [USER_DATA, USER_DATA, USER_DATA, 0x28, 0x29, 0x2a, 0x33, 0x30, 0x23];
const NULLS = [0, 1, 2, 3];

/**
 * A selector for a data segment register. Null is left out for FS and GS, whose bases it clears on Intel's processors
 * only; what SS takes is left out for MOV, which would put off the trap that the oracle waits for.
 */
function dataSelector(d: Draft, register: number): number {
  const { random } = d;
  if (random.chance(20)) return random.pick(REFUSED);
  if (register === SS) return random.pick([...NULLS, 0x28, 0x33]);
  return random.pick(register < 4 && random.chance(30) ? NULLS : DATA_SELECTORS);
}

/** The bases of FS and GS are something, so that loading them shows. */
function randomBases(d: Draft): void {
  d.state.fsBase = BigInt.asUintN(46, d.random.u64());
  d.state.gsBase = BigInt.asUintN(46, d.random.u64());
}

function putSelector(d: Draft, selector: number, offset: readonly number[] = []): void {
  d.targetBytes = Uint8Array.from([...offset, selector & 0xff, selector >> 8]);
  if (d.rm !== undefined)
    d.setRegister(d.rm, (d.state.general[d.rm] & ~0xffffn & 0xffff_ffff_ffff_ffffn) | BigInt(selector));
}

function prepareLoad(d: Draft): void {
  randomBases(d);
  d.reg = d.random.chance(90) ? d.random.pick([0, SS, 3, 4, 5]) : d.random.pick([CS, 6, 7]);
  putSelector(d, dataSelector(d, d.reg));
  d.plain = true;
}

/** Not across two pages that are both missing: which half is read first is the processor's choice. */
const farPointer = (d: Draft, selector: number): void => {
  if (d.target > BigInt(UNMAPPED) && (d.target & 0xfffn) > 0xff0n) d.target -= 16n;
  const offset = d.random.u64();
  putSelector(d, selector, littleEndian(offset, d.size));
};

/** LSS, LFS, LGS: the register written also gets the offset. */
const loadFar = (register: number): FormOptions => ({
  rm: 'memory',
  prepare: (d) => {
    randomBases(d);
    farPointer(d, register === SS && d.random.chance(60) ? USER_DATA : dataSelector(d, register));
    d.plain = true;
  },
});

/** As `sizes: 'wd'`, with the pointer's length in memory: offset and selector. */
function farRows(mnemonic: string, code: string, options: FormOptions): Row[] {
  return [
    [mnemonic, code, { ...options, sizes: 'w', memory: 4 }],
    [mnemonic, code, { ...options, sizes: 'd', memory: 6 }],
  ];
}

const inspect: FormOptions = {
  memory: 2,
  prepare: (d) => putSelector(d, d.random.pick([...REFUSED, ...DATA_SELECTORS, ...NULLS])),
};

/** A code segment to go to: this one, mostly. Never the 32-bit one, from which no signal brings a program back whole. */
function codeSelector(d: Draft): number {
  return d.random.chance(75) ? USER_CODE : d.random.pick([...REFUSED, ...NULLS, USER_DATA, 0x30, 0x31]);
}

/** Near the edges of the stack only where nothing else can fault: which comes first is the processor's choice. */
function prepareStack(d: Draft, image: readonly number[], edges: boolean): void {
  const pointer = edges ? d.chooseStackPointer() : BigInt(STACK + 0x400 + d.random.below(0x1800));
  d.setRegister(RSP, pointer);
  d.patch(pointer, Uint8Array.from([...image, ...d.random.bytes(8)]));
}

/** Far JMP and CALL through memory. What CALL has pushed when its second push faults is the processor's choice too. */
const transfer: FormOptions = {
  rm: 'memory',
  prepare: (d) => {
    prepareStack(d, [], false);
    farPointer(d, codeSelector(d));
    d.plain = true;
  },
};

const target = (d: Draft): bigint => BigInt.asUintN(Math.min(46, d.size * 8), d.random.u64());

function prepareFarReturn(d: Draft): void {
  const code = codeSelector(d);
  prepareStack(d, [...littleEndian(target(d), d.size), ...littleEndian(BigInt(code), d.size)], code === USER_CODE);
  d.immediates = [BigInt(d.random.below(0x400))];
}

/** The flags a program may set, without TF, VM and NT; IF stays as CPL 3 leaves it. */
const POPPABLE = 0xcd5n;

function prepareInterruptReturn(d: Draft): void {
  const flags = (d.random.u64() & POPPABLE) | 0x202n | (d.random.chance(20) ? 0x40000n : 0n);
  const stack = d.random.chance(85) ? USER_DATA : d.random.pick([...REFUSED, ...NULLS, USER_CODE, 0x28]);
  const code = codeSelector(d);
  const image = [target(d), BigInt(code), flags, d.random.u64() & 0x3fff_ffff_ffffn, BigInt(stack)];
  prepareStack(
    d,
    image.flatMap((value) => littleEndian(value, d.size)),
    code === USER_CODE && stack === USER_DATA,
  );
}

function prepareBase(d: Draft): void {
  randomBases(d);
  if (d.rm !== undefined && d.random.chance(70))
    d.setRegister(d.rm, BigInt.asUintN(64, BigInt.asIntN(48, d.random.u64())));
}

const baseRows: Row[] = ['rdfsbase', 'rdgsbase', 'wrfsbase', 'wrgsbase'].flatMap((mnemonic, n): Row[] =>
  ['', 'REX.W '].map((rex): Row => [
    mnemonic,
    `F3 ${rex}0F AE /${n}`,
    { rm: 'register', prepare: n < 2 ? prepareBase : prepareWrite },
  ]),
);

/** What a program could not have in user space stays out: the kernel would refuse to run with it. */
function prepareWrite(d: Draft): void {
  randomBases(d);
  const value = d.random.u64() & 0x7fff_ffff_ffffn;
  if (d.rm !== undefined) d.setRegister(d.rm, d.random.chance(90) ? value : value | (1n << 47n));
}

// prettier-ignore
export const SEGMENT_FORMS = formsOf('segment', [
  ['mov',  '8C /r',     { sizes: 'wdq', memory: 2, prepare: (d) => { d.reg = d.random.below(8); } }],
  ['mov',  '8E /r',     { memory: 2, prepare: prepareLoad }],
  ...farRows('lss', '0F B2 /r', loadFar(SS)),
  ...farRows('lfs', '0F B4 /r', loadFar(4)),
  ...farRows('lgs', '0F B5 /r', loadFar(5)),
  // See: SDM 3.3 LAR: of the second doubleword, bits 19:16 are undefined.
  ['lar',  '0F 02 /r',  { sizes: 'wdq', ...inspect, allow: (d) => { d.allowance.generalBits = { register: d.reg, bits: 0xf0000n }; } }],
  ['lsl',  '0F 03 /r',  { sizes: 'wdq', ...inspect }],
  ['verr', '0F 00 /4',  inspect],
  ['verw', '0F 00 /5',  inspect],
  ...baseRows,
  ...farRows('callf', 'FF /3', transfer),
  ...farRows('jmpf',  'FF /5', transfer),
  ['retf', 'CB',        { sizes: 'wdq', prepare: prepareFarReturn }],
  ['retf', 'CA iw',     { sizes: 'wdq', prepare: prepareFarReturn }],
  ['iret', 'CF',        { sizes: 'wdq', prepare: prepareInterruptReturn }],
]);

/** PUSH and POP of FS and GS, for the group of stack operations. */
export function selectorOnStack(register: number): (d: Draft) => void {
  return (d) => {
    randomBases(d);
    const selector = dataSelector(d, register);
    prepareStack(d, [selector & 0xff, selector >> 8], selector === USER_DATA);
  };
}
