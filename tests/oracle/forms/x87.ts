// SPDX-License-Identifier: Apache-2.0

import type { Draft } from '../draft.ts';
import { formsOf, type FormOptions, type Row } from '../form.ts';
import { interestingBytes, interestingF80, type DataKind } from '../values.ts';
import { prepareMaskMove, shiftImmediate, shiftOperand, SHARED_INTEGER, wide } from './sse.ts';

const C0 = 0x100;
const C1 = 0x200;
const C2 = 0x400;
const C3 = 0x4000;
/** What most x87 instructions leave undefined; C1 tells stack direction and rounding. See: SDM 8.1.3.1 x87 FPU Floating-Point Exception Flags. */
const CONDITION = C0 | C2 | C3;
/** Transcendental results are good to about an ulp on each processor. */
const ULPS = 2 ** -60;

type StackKind = 'usual' | 'trigonometric' | 'scaled' | 'below-one' | 'small' | 'positive' | 'close';

/** A register stack of interesting values: any TOP, mostly full, rounding and precision of any kind, exceptions mostly masked. */
export function fillStack(d: Draft, kind: StackKind = 'usual'): void {
  const { random, state } = d;
  const top = random.below(8);
  state.fsw =
    (top << 11) | (random.chance(30) ? random.u32() & 0x4700 : 0) | (random.chance(20) ? random.u32() & 0x3f : 0);
  state.ftw = (kind === 'usual' || kind === 'close') && random.chance(15) ? random.u32() & 0xff : 0xff;
  const masks = random.chance(85) ? 0x3f : random.u32() & 0x3f;
  const precision = random.chance(70) ? 0x300 : random.pick([0, 0x200, 0x300]);
  state.fcw = 0x40 | masks | precision | (random.chance(50) ? random.u32() & 0xc00 : 0);
  if (state.fsw & ~state.fcw & 0x3f) state.fsw &= ~0x3f; // nothing pending
  for (let n = 0; n < 8; n++) setSt(d, n, stackValue(d, kind, n));
}

function stackValue(d: Draft, kind: StackKind, n: number): readonly [number, bigint] {
  const { random } = d;
  if (kind === 'usual') return interestingF80(random);
  if (random.chance(15)) {
    const special = interestingF80(random);
    if (isDefined(kind, n, special[0] & 0x7fff)) return special;
  }
  const significand = BigInt.asUintN(64, random.u64() | (1n << 63n));
  const sign = random.u32() & 0x8000;
  switch (kind) {
    case 'trigonometric':
      return [sign | (0x3fff - 30 + random.below(34)), significand];
    case 'scaled':
      return n === 1
        ? [sign | (0x3fff + random.below(16)), significand]
        : [sign | (0x3fff - 40 + random.below(80)), significand];
    case 'below-one':
      return [sign | (0x3fff - 1 - random.below(40)), significand];
    case 'small':
      return [sign | (0x3fff - 3 - random.below(40)), significand];
    case 'positive':
      return [0x3fff - 40 + random.below(80), significand];
    case 'close':
      return [
        sign | (0x3fff + (n === 0 ? random.below(60) : random.below(8))),
        significand & (random.chance(50) ? ~0xffff_ffffn : -1n),
      ];
  }
}

/**
 * Whether a special value has a defined result: F2XM1 and FYL2XP1 only near zero; sines of a large argument, or of one
 * next to a multiple of pi, depend on how many bits of pi the processor has; FPREM of far exponents stops part-way.
 */
function isDefined(kind: StackKind, n: number, exponent: number): boolean {
  const isNumber = exponent !== 0x7fff;
  if (kind === 'close') return exponent === 0x7fff || (exponent >= 0x3fff - 3 && exponent < 0x3fff + 60);
  if (n !== 0) return true;
  if (kind === 'trigonometric') return exponent < 0x3fff || exponent >= 0x403e;
  if (kind === 'below-one' || kind === 'small') return isNumber && exponent < 0x3ffc;
  return true;
}

function setSt(d: Draft, n: number, [head, significand]: readonly [number, bigint]): void {
  const view = new DataView(d.state.st.buffer, 16 * n);
  view.setBigUint64(0, significand, true);
  view.setUint16(8, head, true);
}

const undefinedConditions =
  (bits: number) =>
  (d: Draft): void => {
    d.allowance.fsw |= bits;
  };

const usual = (more: FormOptions = {}): FormOptions => ({
  registers: 'x87',
  prepare: (d) => fillStack(d),
  allow: undefinedConditions(CONDITION),
  ...more,
});
/** FCOMI and its kin, and FCMOV, clear C1 by the manual, and FCOMI leaves RFLAGS alone on an unmasked #IA; AMD's processors, which made the vectors, do neither. */
const comparesToFlags = (d: Draft): void => {
  d.allowance.fsw |= CONDITION | C1;
  if ((d.state.fcw & 1) === 0) d.allowance.rflags |= 0x8d5;
};
const memory = (bytes: number, data: DataKind = 'integer'): FormOptions => usual({ rm: 'memory', memory: bytes, data });
const register = (more: FormOptions = {}): FormOptions => usual({ rm: 'register', ...more });
const fixed = (code: string, more: FormOptions = {}): FormOptions =>
  usual({ emit: () => code.split(' ').map((token) => Number.parseInt(token, 16)), ...more });

/** Results that approximate; C1 says which way they were rounded, so it is not compared either. */
function transcendental(code: string, stack: StackKind): FormOptions {
  return fixed(code, {
    prepare: (d) => {
      fillStack(d, stack);
      d.state.fcw |= 0x33f;
    },
    allow: (d) => {
      d.allowance.fsw |= C0 | C1 | C3 | (stack === 'trigonometric' ? 0 : C2);
      d.allowance.approximate = { element: 'extended', relative: ULPS };
    },
  });
}

const OPERATIONS = ['fadd', 'fmul', 'fcom', 'fcomp', 'fsub', 'fsubr', 'fdiv', 'fdivr'];
const compares = (name: string): FormOptions => (name.startsWith('fcom') ? { allow: undefinedConditions(0) } : {});

const arithmeticRows: Row[] = OPERATIONS.flatMap((name, n): Row[] => [
  [name, `D8 /${n}`, { ...memory(4, 'f32'), ...compares(name) }],
  [name, `DC /${n}`, { ...memory(8, 'f64'), ...compares(name) }],
  [name.replace('f', 'fi'), `DA /${n}`, { ...memory(4), ...compares(name) }],
  [name.replace('f', 'fi'), `DE /${n}`, { ...memory(2), ...compares(name) }],
  [name, `D8 /${n} st`, { ...register(), ...compares(name), emit: (d) => [0xd8, 0xc0 | (n << 3) | d.random.below(8)] }],
]);

const stOperand =
  (opcode: number, base: number) =>
  (d: Draft): number[] => [opcode, base + d.random.below(8)];

/** See: SDM Table 8-6 Floating-point constants and others in Volume 2 for opcodes. */
// prettier-ignore
const rows: Row[] = [
  ...(['fadd', 'fmul', '', '', 'fsubr', 'fsub', 'fdivr', 'fdiv'].flatMap((name, n): Row[] => name ? [
    [name, `DC ${(0xc0 + 8 * n).toString(16).toUpperCase()}+i`, register({ emit: stOperand(0xdc, 0xc0 + 8 * n) })],
    [`${name}p`, `DE ${(0xc0 + 8 * n).toString(16).toUpperCase()}+i`, register({ emit: stOperand(0xde, 0xc0 + 8 * n) })],
  ] : [])),
  ['fld',    'D9 /0',  memory(4, 'f32')],
  ['fld',    'DD /0',  memory(8, 'f64')],
  ['fld',    'DB /5',  memory(10, 'f80')],
  ['fld',    'D9 C0+i', register({ emit: stOperand(0xd9, 0xc0) })],
  ['fst',    'D9 /2',  memory(4)],   ['fst',  'DD /2', memory(8)],
  ['fstp',   'D9 /3',  memory(4)],   ['fstp', 'DD /3', memory(8)],  ['fstp', 'DB /7', memory(10)],
  ['fst',    'DD D0+i', register({ emit: stOperand(0xdd, 0xd0) })],
  ['fstp',   'DD D8+i', register({ emit: stOperand(0xdd, 0xd8) })],
  ['fxch',   'D9 C8+i', register({ emit: stOperand(0xd9, 0xc8) })],
  ['fild',   'DF /0',  memory(2)],   ['fild', 'DB /0', memory(4)],  ['fild', 'DF /5', memory(8)],
  ['fist',   'DF /2',  memory(2)],   ['fist', 'DB /2', memory(4)],
  ['fistp',  'DF /3',  memory(2)],   ['fistp', 'DB /3', memory(4)], ['fistp', 'DF /7', memory(8)],
  ['fisttp', 'DF /1',  memory(2)],   ['fisttp', 'DB /1', memory(4)], ['fisttp', 'DD /1', memory(8)],
  ['fbld',   'DF /4',  memory(10, 'bcd')],
  ['fbstp',  'DF /6',  memory(10)],
  ['fucom',  'DD E0+i', register({ emit: stOperand(0xdd, 0xe0), allow: undefinedConditions(0) })],
  ['fucomp', 'DD E8+i', register({ emit: stOperand(0xdd, 0xe8), allow: undefinedConditions(0) })],
  ['fucompp', 'DA E9', fixed('DA E9', { allow: undefinedConditions(0) })],
  ['fcompp', 'DE D9',  fixed('DE D9', { allow: undefinedConditions(0) })],
  ['fcomi',  'DB F0+i', register({ emit: stOperand(0xdb, 0xf0), allow: comparesToFlags })],
  ['fucomi', 'DB E8+i', register({ emit: stOperand(0xdb, 0xe8), allow: comparesToFlags })],
  ['fcomip', 'DF F0+i', register({ emit: stOperand(0xdf, 0xf0), allow: comparesToFlags })],
  ['fucomip', 'DF E8+i', register({ emit: stOperand(0xdf, 0xe8), allow: comparesToFlags })],
  ...(['b', 'e', 'be', 'u'].flatMap((name, n): Row[] => [
    [`fcmov${name}`, `DA ${(0xc0 + 8 * n).toString(16).toUpperCase()}+i`, register({ emit: stOperand(0xda, 0xc0 + 8 * n), allow: undefinedConditions(CONDITION | C1) })],
    [`fcmovn${name}`, `DB ${(0xc0 + 8 * n).toString(16).toUpperCase()}+i`, register({ emit: stOperand(0xdb, 0xc0 + 8 * n), allow: undefinedConditions(CONDITION | C1) })],
  ])),
  ['ffree',  'DD C0+i', register({ emit: stOperand(0xdd, 0xc0) })],
  ['fnop',   'D9 D0',  fixed('D9 D0')],
  ['fchs',   'D9 E0',  fixed('D9 E0')],
  ['fabs',   'D9 E1',  fixed('D9 E1')],
  ['ftst',   'D9 E4',  fixed('D9 E4', { allow: undefinedConditions(0) })],
  ['fxam',   'D9 E5',  fixed('D9 E5', { allow: undefinedConditions(0) })],
  ['fld1',   'D9 E8',  fixed('D9 E8')],   ['fldl2t', 'D9 E9', fixed('D9 E9')],  ['fldl2e', 'D9 EA', fixed('D9 EA')],
  ['fldpi',  'D9 EB',  fixed('D9 EB')],   ['fldlg2', 'D9 EC', fixed('D9 EC')],  ['fldln2', 'D9 ED', fixed('D9 ED')],
  ['fldz',   'D9 EE',  fixed('D9 EE')],
  ['fsqrt',  'D9 FA',  fixed('D9 FA')],
  ['frndint', 'D9 FC', fixed('D9 FC')],
  ['fscale', 'D9 FD',  fixed('D9 FD', { prepare: (d) => fillStack(d, 'scaled') })],
  ['fxtract', 'D9 F4', fixed('D9 F4')],
  // Only where the exponents are near does every processor finish in one step; then C0, C3, C1 are the quotient.
  ['fprem',  'D9 F8',  fixed('D9 F8', { prepare: (d) => fillStack(d, 'close'), allow: undefinedConditions(0) })],
  ['fprem1', 'D9 F5',  fixed('D9 F5', { prepare: (d) => fillStack(d, 'close'), allow: undefinedConditions(0) })],
  ['fdecstp', 'D9 F6', fixed('D9 F6')],
  ['fincstp', 'D9 F7', fixed('D9 F7')],
  // Aliases that the manual does not list; processors execute them.
  ['fcom',   'DC D0+i', register({ emit: stOperand(0xdc, 0xd0), allow: undefinedConditions(0) })],
  ['fcomp',  'DC D8+i', register({ emit: stOperand(0xdc, 0xd8), allow: undefinedConditions(0) })],
  ['fcomp',  'DE D0+i', register({ emit: stOperand(0xde, 0xd0), allow: undefinedConditions(0) })],
  ['fxch',   'DD C8+i', register({ emit: stOperand(0xdd, 0xc8) })],
  ['fxch',   'DF C8+i', register({ emit: stOperand(0xdf, 0xc8) })],
  ['fstp',   'D9 D8+i', register({ emit: stOperand(0xd9, 0xd8) })],
  ['fstp',   'DF D0+i', register({ emit: stOperand(0xdf, 0xd0) })],
  ['fstp',   'DF D8+i', register({ emit: stOperand(0xdf, 0xd8) })],
  ['ffreep', 'DF C0+i', register({ emit: stOperand(0xdf, 0xc0) })],
  ['fneni',  'DB E0',   fixed('DB E0')],
  ['fndisi', 'DB E1',   fixed('DB E1')],
  ['fnsetpm', 'DB E4',  fixed('DB E4')],
  ['f2xm1',  'D9 F0',  transcendental('D9 F0', 'below-one')],
  ['fyl2x',  'D9 F1',  transcendental('D9 F1', 'positive')],
  ['fptan',  'D9 F2',  transcendental('D9 F2', 'trigonometric')],
  ['fpatan', 'D9 F3',  transcendental('D9 F3', 'scaled')],
  ['fyl2xp1', 'D9 F9', transcendental('D9 F9', 'small')],
  ['fsincos', 'D9 FB', transcendental('D9 FB', 'trigonometric')],
  ['fsin',   'D9 FE',  transcendental('D9 FE', 'trigonometric')],
  ['fcos',   'D9 FF',  transcendental('D9 FF', 'trigonometric')],
  ['fninit', 'DB E3',  fixed('DB E3', { allow: undefinedConditions(0) })],
  ['fnclex', 'DB E2',  fixed('DB E2')],
  ['fnstsw', 'DF E0',  fixed('DF E0', { allow: undefinedConditions(0) })],
  ['fnstsw', 'DD /7',  { ...memory(2), allow: undefinedConditions(0) }],
  ['fnstcw', 'D9 /7',  memory(2)],
  ['fldcw',  'D9 /5',  usual({ rm: 'memory', memory: 2, prepare: prepareControl })],
  ['fwait',  '9B',     fixed('9B', { prepare: pendingSometimes, allow: undefinedConditions(0) })],
  ['fadd',   'pending D8 C1', fixed('D8 C1', { prepare: pendingSometimes })],
  ['fnstenv', 'D9 /6', usual({ rm: 'memory', memory: 28, allow: allowEnvironment })],
  ['fnsave', 'DD /6',  usual({ rm: 'memory', memory: 108, allow: allowEnvironment })],
  ['fnstenv', '66 D9 /6', usual({ rm: 'memory', memory: 14, allow: allowEnvironment })],
  ['fnsave', '66 DD /6', usual({ rm: 'memory', memory: 94, allow: allowEnvironment })],
  ['fldenv', '66 D9 /4', usual({ rm: 'memory', memory: 14, prepare: prepareEnvironment, allow: undefinedConditions(0) })],
  ['frstor', '66 DD /4', usual({ rm: 'memory', memory: 94, prepare: prepareEnvironment, allow: undefinedConditions(0) })],
  ['fldenv', 'D9 /4',  usual({ rm: 'memory', memory: 28, prepare: prepareEnvironment, allow: undefinedConditions(0) })],
  ['frstor', 'DD /4',  usual({ rm: 'memory', memory: 108, prepare: prepareEnvironment, allow: undefinedConditions(0) })],
  ['fxsave', '0F AE /0', usual({ rm: 'memory', memory: 512, align: 16, allow: allowImage })],
  ['fxsave64', 'REX.W 0F AE /0', usual({ rm: 'memory', memory: 512, align: 16, allow: allowImage })],
  ['fxrstor', '0F AE /1', usual({ rm: 'memory', memory: 512, align: 16, prepare: prepareImage, allow: undefinedConditions(0) })],
  ['fxrstor64', 'REX.W 0F AE /1', usual({ rm: 'memory', memory: 512, align: 16, prepare: prepareImage, allow: undefinedConditions(0) })],
];

/** A control word with reserved bits as processors keep them; no exception becomes pending through it. */
function prepareControl(d: Draft): void {
  fillStack(d);
  d.state.fsw &= ~0x80ff;
  const control = 0x40 | (d.random.u32() & 0x1f3f);
  d.targetBytes = Uint8Array.from([control & 0xff, control >> 8]);
}

/** An unmasked exception recorded: the next waiting instruction is #MF. */
function pendingSometimes(d: Draft): void {
  fillStack(d);
  if (d.random.chance(30)) return;
  const bit = 1 << d.random.below(6);
  d.state.fcw &= ~bit;
  d.state.fsw |= bit | 0x8080;
}

/** Last instruction and operand pointers, opcode: processors differ in when they keep them. */
function allowEnvironment(d: Draft): void {
  d.allowance.fsw |= CONDITION;
  const narrow = d.memoryLength === 14 || d.memoryLength === 94;
  d.allowance.memory.push({ address: d.target + (narrow ? 6n : 12n), length: narrow ? 8 : 16 });
}

/** FOP, FIP, FDP and MXCSR_MASK are the processor's own. See: SDM 10.5.1 FXSAVE Area. */
export function allowImage(d: Draft): void {
  d.allowance.fsw |= CONDITION;
  d.allowance.memory.push({ address: d.target + 6n, length: 18 }, { address: d.target + 28n, length: 4 });
}

function prepareEnvironment(d: Draft): void {
  fillStack(d);
  const bytes = d.random.bytes(d.memoryLength);
  const view = new DataView(bytes.buffer);
  const narrow = d.memoryLength === 14 || d.memoryLength === 94;
  view.setUint16(0, 0x37f | (d.random.u32() & 0xc00), true);
  view.setUint16(narrow ? 2 : 4, d.random.u32() & 0x7f7f, true);
  for (let at = narrow ? 14 : 28; at < bytes.length; at += 10) bytes.set(interestingBytes(d.random, 'f80', 10), at);
  d.targetBytes = bytes;
}

export function prepareImage(d: Draft): void {
  fillStack(d);
  const bytes = new Uint8Array(512);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0x37f | (d.random.u32() & 0xc00), true);
  view.setUint16(2, d.random.u32() & 0x7f7f, true);
  bytes[4] = d.random.below(256);
  view.setUint32(24, (0x1f80 | (d.random.u32() & 0x603f)) + (d.random.chance(8) ? 0x40000 : 0), true);
  for (let n = 0; n < 8; n++) bytes.set(interestingBytes(d.random, 'f80', 10), 32 + 16 * n);
  for (let n = 0; n < 16; n++) bytes.set(interestingBytes(d.random, 'vector', 16), 160 + 16 * n);
  d.targetBytes = bytes;
}

// ---- MMX: the same registers, seen as eight 64-bit integers ----

const mmx = (more: FormOptions = {}): FormOptions => ({
  reg: 'mmx',
  registers: 'mmx',
  memory: 8,
  data: 'vector',
  ...more,
});

/** PHADDx and so on exist as MMX too; PMULUDQ, PADDQ and PSUBQ came with SSE2. */
// prettier-ignore
const mmxRows: Row[] = [
  ...SHARED_INTEGER.map(([name, code]): Row => [name, `0F ${code} /r`, mmx({ prepare: shiftOperand(name), ...(/^punpckl/.test(name) ? { memory: 4 } : {}) })]),
  ...(['71 /2', '71 /4', '71 /6', '72 /2', '72 /4', '72 /6', '73 /2', '73 /6'].map((code, n): Row =>
    [['psrlw', 'psraw', 'psllw', 'psrld', 'psrad', 'pslld', 'psrlq', 'psllq'][n], `0F ${code} ib`, mmx({ rm: 'register', prepare: shiftImmediate })])),
  ['movd',     '0F 6E /r',       mmx({ registers: 'general', memory: 4 })],
  ['movq',     'REX.W 0F 6E /r', mmx({ registers: 'general' })],
  ['movd',     '0F 7E /r',       mmx({ registers: 'general', memory: 4 })],
  ['movq',     'REX.W 0F 7E /r', mmx({ registers: 'general' })],
  ['movq',     '0F 6F /r',       mmx()],
  ['movq',     '0F 7F /r',       mmx()],
  ['movntq',   '0F E7 /r',       mmx({ rm: 'memory' })],
  ['pshufw',   '0F 70 /r ib',    mmx()],
  ['palignr',  '0F 3A 0F /r ib', mmx()],
  ...wide('pmovmskb', '0F D7 /r',    mmx({ reg: 'general', rm: 'register' })),
  ...wide('pinsrw',   '0F C4 /r ib', mmx({ registers: 'general', memory: 2 })),
  ...wide('pextrw',   '0F C5 /r ib', mmx({ reg: 'general', rm: 'register' })),
  ['maskmovq', '0F F7 /r',       mmx({ rm: 'register', prepare: prepareMaskMove })],
  ['emms',     '0F 77',          mmx()],
];

export const X87_FORMS = formsOf('x87', [...arithmeticRows, ...rows]);
export const MMX_FORMS = formsOf('mmx', mmxRows);
