// SPDX-License-Identifier: Apache-2.0

import type { Draft } from '../draft.ts';
import { formsOf, type FormOptions, type Row } from '../form.ts';
import { DATA } from '../memory-map.ts';
import type { DataKind } from '../values.ts';

const RDI = 7;
/** Intel bounds the error of RCPPS and RSQRTPS by 1.5 * 2^-12; two implementations differ by no more than twice that. */
const APPROXIMATE_SINGLE = 1 / 1024;

const xmm = (memory: number, more: FormOptions = {}): FormOptions => ({
  reg: 'xmm',
  registers: 'xmm',
  memory,
  ...more,
});
const aligned = (data: DataKind = 'vector', more: FormOptions = {}): FormOptions =>
  xmm(16, { align: 16, data, ...more });
const byte = (value: number): string => value.toString(16).toUpperCase().padStart(2, '0');

// ---- floating-point arithmetic: NP = ps, 66 = pd, F3 = ss, F2 = sd ----

// prettier-ignore
const ARITHMETIC: readonly (readonly [string, number])[] = [
  ['sqrt', 0x51], ['add', 0x58], ['mul', 0x59], ['sub', 0x5c], ['min', 0x5d], ['div', 0x5e], ['max', 0x5f],
];

/** The four forms of an operation, all of whose operands have the same type. */
function fourForms(name: string, opcode: number, tail = ''): Row[] {
  const code = `0F ${byte(opcode)} /r${tail}`;
  return [
    [`${name}ps`, code, aligned('f32')],
    [`${name}pd`, `66 ${code}`, aligned('f64')],
    [`${name}ss`, `F3 ${code}`, xmm(4, { data: 'f32' })],
    [`${name}sd`, `F2 ${code}`, xmm(8, { data: 'f64' })],
  ];
}

const pairForms = (name: string, opcode: number, tail = ''): Row[] => fourForms(name, opcode, tail).slice(0, 2);

const approximate = (d: Draft): void => {
  d.allowance.approximate = { element: 'single', relative: APPROXIMATE_SINGLE };
};

/** REX.W is allowed, and makes no difference or widens the general register. */
export const wide = (mnemonic: string, code: string, options: FormOptions): Row[] => [
  [mnemonic, code, options],
  [mnemonic, code.replace('0F', 'REX.W 0F'), options],
];

const general: FormOptions = { reg: 'general', registers: 'xmm' };
const fromGeneral: FormOptions = { reg: 'xmm', registers: 'general' };
const toMmx: FormOptions = { reg: 'mmx', registers: 'xmm' };

// prettier-ignore
const floatRows: Row[] = [
  ...ARITHMETIC.flatMap(([name, opcode]) => fourForms(name, opcode)),
  ...fourForms('cmp', 0xc2, ' ib').map(([name, code, options]): Row => [name, code, { ...options, prepare: (d) => { d.immediates = [BigInt(d.random.below(8))]; } }]),
  ...['and', 'andn', 'or', 'xor'].flatMap((name, n) => pairForms(name, 0x54 + n)),
  ...pairForms('unpckl', 0x14), ...pairForms('unpckh', 0x15), ...pairForms('shuf', 0xc6, ' ib'),
  ['rsqrtps',  '0F 52 /r',       aligned('f32', { allow: approximate })],
  ['rsqrtss',  'F3 0F 52 /r',    xmm(4, { data: 'f32', allow: approximate })],
  ['rcpps',    '0F 53 /r',       aligned('f32', { allow: approximate })],
  ['rcpss',    'F3 0F 53 /r',    xmm(4, { data: 'f32', allow: approximate })],
  ['ucomiss',  '0F 2E /r',       xmm(4, { data: 'f32' })],
  ['ucomisd',  '66 0F 2E /r',    xmm(8, { data: 'f64' })],
  ['comiss',   '0F 2F /r',       xmm(4, { data: 'f32' })],
  ['comisd',   '66 0F 2F /r',    xmm(8, { data: 'f64' })],
  ['haddpd',   '66 0F 7C /r',    aligned('f64')],
  ['haddps',   'F2 0F 7C /r',    aligned('f32')],
  ['hsubpd',   '66 0F 7D /r',    aligned('f64')],
  ['hsubps',   'F2 0F 7D /r',    aligned('f32')],
  ['addsubpd', '66 0F D0 /r',    aligned('f64')],
  ['addsubps', 'F2 0F D0 /r',    aligned('f32')],
  ['roundps',  '66 0F 3A 08 /r ib', aligned('f32', { prepare: roundingImmediate })],
  ['roundpd',  '66 0F 3A 09 /r ib', aligned('f64', { prepare: roundingImmediate })],
  ['roundss',  '66 0F 3A 0A /r ib', xmm(4, { data: 'f32', prepare: roundingImmediate })],
  ['roundsd',  '66 0F 3A 0B /r ib', xmm(8, { data: 'f64', prepare: roundingImmediate })],
  ['dpps',     '66 0F 3A 40 /r ib', aligned('f32-finite', { prepare: allMasked })],
  ['dppd',     '66 0F 3A 41 /r ib', aligned('f64-finite', { prepare: allMasked })],
  ['insertps', '66 0F 3A 21 /r ib', xmm(4, { data: 'f32' })],
  ...wide('extractps', '66 0F 3A 17 /r ib', { reg: 'xmm', registers: 'general', memory: 4, data: 'f32' }),
  ['cvtps2pd', '0F 5A /r',       xmm(8, { data: 'f32' })],
  ['cvtpd2ps', '66 0F 5A /r',    aligned('f64')],
  ['cvtss2sd', 'F3 0F 5A /r',    xmm(4, { data: 'f32' })],
  ['cvtsd2ss', 'F2 0F 5A /r',    xmm(8, { data: 'f64' })],
  ['cvtdq2ps', '0F 5B /r',       aligned('vector', { prepare: anyMxcsr })],
  ['cvtps2dq', '66 0F 5B /r',    aligned('f32')],
  ['cvttps2dq', 'F3 0F 5B /r',   aligned('f32')],
  ['cvttpd2dq', '66 0F E6 /r',   aligned('f64')],
  ['cvtdq2pd', 'F3 0F E6 /r',    xmm(8, { data: 'vector' })],
  ['cvtpd2dq', 'F2 0F E6 /r',    aligned('f64')],
  ['cvtsi2ss', 'F3 0F 2A /r',        { ...fromGeneral, memory: 4, prepare: anyMxcsr }],
  ['cvtsi2ss', 'F3 REX.W 0F 2A /r',  { ...fromGeneral, memory: 8, prepare: anyMxcsr }],
  ['cvtsi2sd', 'F2 0F 2A /r',        { ...fromGeneral, memory: 4, prepare: anyMxcsr }],
  ['cvtsi2sd', 'F2 REX.W 0F 2A /r',  { ...fromGeneral, memory: 8, prepare: anyMxcsr }],
  ['cvttss2si', 'F3 0F 2C /r',       { ...general, memory: 4, data: 'f32' }],
  ['cvttss2si', 'F3 REX.W 0F 2C /r', { ...general, memory: 4, data: 'f32' }],
  ['cvttsd2si', 'F2 0F 2C /r',       { ...general, memory: 8, data: 'f64' }],
  ['cvttsd2si', 'F2 REX.W 0F 2C /r', { ...general, memory: 8, data: 'f64' }],
  ['cvtss2si',  'F3 0F 2D /r',       { ...general, memory: 4, data: 'f32' }],
  ['cvtss2si',  'F3 REX.W 0F 2D /r', { ...general, memory: 4, data: 'f32' }],
  ['cvtsd2si',  'F2 0F 2D /r',       { ...general, memory: 8, data: 'f64' }],
  ['cvtsd2si',  'F2 REX.W 0F 2D /r', { ...general, memory: 8, data: 'f64' }],
  // From memory, one vendor's CVTPI2PS switches to MMX and the other's does not; CVTPI2PD nowhere does.
  ['cvtpi2ps',  '0F 2A /r',      { reg: 'xmm', registers: 'mmx', rm: 'register', prepare: anyMxcsr }],
  ['cvtpi2pd',  '66 0F 2A /r',   { reg: 'xmm', registers: 'mmx', memory: 8, prepare: anyMxcsr }],
  ['cvttps2pi', '0F 2C /r',      { ...toMmx, memory: 8, data: 'f32' }],
  ['cvttpd2pi', '66 0F 2C /r',   { ...toMmx, memory: 16, align: 16, data: 'f64' }],
  ['cvtps2pi',  '0F 2D /r',      { ...toMmx, memory: 8, data: 'f32' }],
  ['cvtpd2pi',  '66 0F 2D /r',   { ...toMmx, memory: 16, align: 16, data: 'f64' }],
  ...wide('movmskps', '0F 50 /r',    { ...general, rm: 'register' }),
  ...wide('movmskpd', '66 0F 50 /r', { ...general, rm: 'register' }),
  ['ldmxcsr',   '0F AE /2',      { rm: 'memory', memory: 4, prepare: mxcsrInMemory }],
  ['stmxcsr',   '0F AE /3',      { rm: 'memory', memory: 4, prepare: anyMxcsr }],
];

function roundingImmediate(d: Draft): void {
  d.immediates = [BigInt(d.random.below(16))];
}

/** Which partial sum faults first is not defined enough to compare. */
function allMasked(d: Draft): void {
  d.state.mxcsr |= 0x1f80;
}

function anyMxcsr(d: Draft): void {
  const { random } = d;
  const masks = random.chance(85) ? 0x1f80 : random.u32() & 0x1f80;
  d.state.mxcsr = random.chance(30) ? 0x1fa0 : masks | (random.u32() & 0x6000) | (random.u32() & 0x3f);
}

/** Bits 31:16 are reserved and #GP; bit 17 is another vendor's, so it is left out. */
function mxcsrInMemory(d: Draft): void {
  const value = (d.random.u32() & 0xffff) | (d.random.chance(15) ? 0x10000 << (2 + d.random.below(14)) : 0);
  d.targetBytes = Uint8Array.from([0, 8, 16, 24], (shift) => (value >>> shift) & 0xff);
}

// ---- moves ----

// prettier-ignore
const moveRows: Row[] = [
  ['movups',  '0F 10 /r',     xmm(16)],  ['movups',  '0F 11 /r',     xmm(16)],
  ['movupd',  '66 0F 10 /r',  xmm(16)],  ['movupd',  '66 0F 11 /r',  xmm(16)],
  ['movss',   'F3 0F 10 /r',  xmm(4)],   ['movss',   'F3 0F 11 /r',  xmm(4)],
  ['movsd',   'F2 0F 10 /r',  xmm(8)],   ['movsd',   'F2 0F 11 /r',  xmm(8)],
  ['movlps',  '0F 12 /r',     xmm(8)],   ['movlps',  '0F 13 /r',     xmm(8, { rm: 'memory' })],
  ['movlpd',  '66 0F 12 /r',  xmm(8, { rm: 'memory' })], ['movlpd', '66 0F 13 /r', xmm(8, { rm: 'memory' })],
  ['movhps',  '0F 16 /r',     xmm(8)],   ['movhps',  '0F 17 /r',     xmm(8, { rm: 'memory' })],
  ['movhpd',  '66 0F 16 /r',  xmm(8, { rm: 'memory' })], ['movhpd', '66 0F 17 /r', xmm(8, { rm: 'memory' })],
  ['movsldup', 'F3 0F 12 /r', aligned()], ['movshdup', 'F3 0F 16 /r', aligned()], ['movddup', 'F2 0F 12 /r', xmm(8)],
  ['movaps',  '0F 28 /r',     aligned()], ['movaps',  '0F 29 /r',     aligned()],
  ['movapd',  '66 0F 28 /r',  aligned()], ['movapd',  '66 0F 29 /r',  aligned()],
  ['movdqa',  '66 0F 6F /r',  aligned()], ['movdqa',  '66 0F 7F /r',  aligned()],
  ['movdqu',  'F3 0F 6F /r',  xmm(16)],   ['movdqu',  'F3 0F 7F /r',  xmm(16)],
  ['lddqu',   'F2 0F F0 /r',  xmm(16, { rm: 'memory' })],
  ['movntps', '0F 2B /r',     aligned('vector', { rm: 'memory' })],
  ['movntpd', '66 0F 2B /r',  aligned('vector', { rm: 'memory' })],
  ['movntdq', '66 0F E7 /r',  aligned('vector', { rm: 'memory' })],
  ['movntdqa', '66 0F 38 2A /r', aligned('vector', { rm: 'memory' })],
  ['movq',    'F3 0F 7E /r',  xmm(8)],   ['movq',    '66 0F D6 /r',  xmm(8)],
  ['movd',    '66 0F 6E /r',       { ...fromGeneral, memory: 4 }],
  ['movq',    '66 REX.W 0F 6E /r', { ...fromGeneral, memory: 8 }],
  ['movd',    '66 0F 7E /r',       { ...fromGeneral, memory: 4 }],
  ['movq',    '66 REX.W 0F 7E /r', { ...fromGeneral, memory: 8 }],
  ['movq2dq', 'F3 0F D6 /r',  { reg: 'xmm', registers: 'mmx', rm: 'register' }],
  ['movdq2q', 'F2 0F D6 /r',  { reg: 'mmx', registers: 'xmm', rm: 'register' }],
  ['maskmovdqu', '66 0F F7 /r', xmm(16, { rm: 'register', prepare: prepareMaskMove })],
];

export function prepareMaskMove(d: Draft): void {
  d.setRegister(RDI, BigInt(DATA + 0x400 + d.random.below(0x1800)));
}

// ---- integers ----

/** Opcodes in map 0F that have an MMX form without 66 too; see mmx.ts. */
// prettier-ignore
export const SHARED_INTEGER: readonly (readonly [string, string])[] = [
  ['punpcklbw', '60'], ['punpcklwd', '61'], ['punpckldq', '62'], ['packsswb', '63'], ['pcmpgtb', '64'], ['pcmpgtw', '65'], ['pcmpgtd', '66'],
  ['packuswb', '67'], ['punpckhbw', '68'], ['punpckhwd', '69'], ['punpckhdq', '6A'], ['packssdw', '6B'], ['pcmpeqb', '74'], ['pcmpeqw', '75'],
  ['pcmpeqd', '76'], ['psrlw', 'D1'], ['psrld', 'D2'], ['psrlq', 'D3'], ['paddq', 'D4'], ['pmullw', 'D5'], ['psubusb', 'D8'], ['psubusw', 'D9'],
  ['pminub', 'DA'], ['pand', 'DB'], ['paddusb', 'DC'], ['paddusw', 'DD'], ['pmaxub', 'DE'], ['pandn', 'DF'], ['pavgb', 'E0'], ['psraw', 'E1'],
  ['psrad', 'E2'], ['pavgw', 'E3'], ['pmulhuw', 'E4'], ['pmulhw', 'E5'], ['psubsb', 'E8'], ['psubsw', 'E9'], ['pminsw', 'EA'], ['por', 'EB'],
  ['paddsb', 'EC'], ['paddsw', 'ED'], ['pmaxsw', 'EE'], ['pxor', 'EF'], ['psllw', 'F1'], ['pslld', 'F2'], ['psllq', 'F3'], ['pmuludq', 'F4'],
  ['pmaddwd', 'F5'], ['psadbw', 'F6'], ['psubb', 'F8'], ['psubw', 'F9'], ['psubd', 'FA'], ['psubq', 'FB'], ['paddb', 'FC'], ['paddw', 'FD'],
  ['paddd', 'FE'], ['pshufb', '38 00'], ['phaddw', '38 01'], ['phaddd', '38 02'], ['phaddsw', '38 03'], ['pmaddubsw', '38 04'], ['phsubw', '38 05'],
  ['phsubd', '38 06'], ['phsubsw', '38 07'], ['psignb', '38 08'], ['psignw', '38 09'], ['psignd', '38 0A'], ['pmulhrsw', '38 0B'],
  ['pabsb', '38 1C'], ['pabsw', '38 1D'], ['pabsd', '38 1E'],
];

// prettier-ignore
const SSE4: readonly (readonly [string, string])[] = [
  ['punpcklqdq', '6C'], ['punpckhqdq', '6D'], ['ptest', '38 17'], ['pmuldq', '38 28'], ['pcmpeqq', '38 29'], ['packusdw', '38 2B'],
  ['pcmpgtq', '38 37'], ['pminsb', '38 38'], ['pminsd', '38 39'], ['pminuw', '38 3A'], ['pminud', '38 3B'], ['pmaxsb', '38 3C'], ['pmaxsd', '38 3D'],
  ['pmaxuw', '38 3E'], ['pmaxud', '38 3F'], ['pmulld', '38 40'], ['phminposuw', '38 41'], ['pblendvb', '38 10'], ['blendvps', '38 14'],
  ['blendvpd', '38 15'], ['aesimc', '38 DB'], ['aesenc', '38 DC'], ['aesenclast', '38 DD'], ['aesdec', '38 DE'], ['aesdeclast', '38 DF'],
];

const EXTENDING: readonly (readonly [string, string, number])[] = ['sx', 'zx'].flatMap((kind, n) =>
  // prettier-ignore
  ([['bw', 0, 8], ['bd', 1, 4], ['bq', 2, 2], ['wd', 3, 8], ['wq', 4, 4], ['dq', 5, 8]] as const).map(
    ([widths, low, memory]) => [`pmov${kind}${widths}`, `38 ${byte(0x20 + 16 * n + low)}`, memory] as const,
  ),
);

// prettier-ignore
const IMMEDIATE: readonly (readonly [string, string])[] = [
  ['66 pshufd', '70'], ['F3 pshufhw', '70'], ['F2 pshuflw', '70'], ['66 palignr', '3A 0F'], ['66 pblendw', '3A 0E'], ['66 blendps', '3A 0C'],
  ['66 blendpd', '3A 0D'], ['66 mpsadbw', '3A 42'], ['66 pclmulqdq', '3A 44'], ['66 aeskeygenassist', '3A DF'],
];

// prettier-ignore
const SHIFTS: readonly (readonly [string, string])[] = [
  ['psrlw', '71 /2'], ['psraw', '71 /4'], ['psllw', '71 /6'], ['psrld', '72 /2'], ['psrad', '72 /4'], ['pslld', '72 /6'],
  ['psrlq', '73 /2'], ['psrldq', '73 /3'], ['psllq', '73 /6'], ['pslldq', '73 /7'],
];

export function shiftImmediate(d: Draft): void {
  d.immediates = [BigInt(d.random.chance(80) ? d.random.below(70) : d.random.below(256))];
}

/** PCMPxSTRx: short strings of few letters, so that they meet. */
function prepareStrings(d: Draft): void {
  for (const n of new Set([d.reg, d.rm ?? d.reg])) d.state.xmm.set(letters(d), 16 * n);
  if (d.rm === undefined) d.targetBytes = letters(d);
  for (const n of [0, 2])
    if (d.random.chance(80)) d.setRegister(n, BigInt.asUintN(64, BigInt(d.random.below(40) - 20)));
  d.reserved.add(0).add(2);
}

function letters(d: Draft): Uint8Array {
  return Uint8Array.from({ length: 16 }, () =>
    d.random.chance(10) ? 0 : d.random.chance(10) ? 0x80 : 0x61 + d.random.below(3),
  );
}

// prettier-ignore
const integerRows: Row[] = [
  ...SHARED_INTEGER.map(([name, code]): Row => [name, `66 0F ${code} /r`, aligned('vector', { prepare: shiftOperand(name) })]),
  ...SSE4.map(([name, code]): Row => [name, `66 0F ${code} /r`, aligned()]),
  ...EXTENDING.map(([name, code, memory]): Row => [name, `66 0F ${code} /r`, xmm(memory)]),
  ...IMMEDIATE.map(([name, code]): Row => [name.slice(3), `${name.slice(0, 2)} 0F ${code} /r ib`, aligned()]),
  ...SHIFTS.map(([name, code]): Row => [name, `66 0F ${code} ib`, xmm(16, { rm: 'register', prepare: shiftImmediate })]),
  ...wide('pmovmskb', '66 0F D7 /r',       { ...general, rm: 'register' }),
  ...wide('pinsrw',   '66 0F C4 /r ib',    { ...fromGeneral, memory: 2 }),
  ...wide('pextrw',   '66 0F C5 /r ib',    { ...general, rm: 'register' }),
  ...wide('pextrb',   '66 0F 3A 14 /r ib', { ...fromGeneral, memory: 1 }),
  ...wide('pextrw',   '66 0F 3A 15 /r ib', { ...fromGeneral, memory: 2 }),
  ['pextrd',    '66 0F 3A 16 /r ib', { ...fromGeneral, memory: 4 }],
  ['pextrq',    '66 REX.W 0F 3A 16 /r ib', { ...fromGeneral, memory: 8 }],
  ...wide('pinsrb',   '66 0F 3A 20 /r ib', { ...fromGeneral, memory: 1 }),
  ['pinsrd',    '66 0F 3A 22 /r ib', { ...fromGeneral, memory: 4 }],
  ['pinsrq',    '66 REX.W 0F 3A 22 /r ib', { ...fromGeneral, memory: 8 }],
  ...['pcmpestrm', 'pcmpestri', 'pcmpistrm', 'pcmpistri'].flatMap((name, n): Row[] => [
    [name, `66 0F 3A ${byte(0x60 + n)} /r ib`, xmm(16, { prepare: prepareStrings })],
    ...(n < 2 ? [[name, `66 REX.W 0F 3A ${byte(0x60 + n)} /r ib`, xmm(16, { prepare: prepareStrings })] as Row] : []),
  ]),
];

/** Shift counts in a register are 64 bits: make most of them small. */
export function shiftOperand(name: string) {
  return (d: Draft): void => {
    if (!/^ps(ra|rl|ll)[wdq]$/.test(name) || d.random.chance(20)) return;
    const count = new Uint8Array(8);
    count[0] = d.random.below(70);
    if (d.rm === undefined) d.targetBytes?.set(count);
    else if (d.form.registers === 'xmm') d.state.xmm.set(count, 16 * d.rm);
    else d.state.st.set(count, 16 * ((d.rm - ((d.state.fsw >> 11) & 7)) & 7));
  };
}

/** What our engine computes without its exact unit: ordinary numbers, and MXCSR as programs have it, inexact once and for all. */
const ORDINARY = /^(add|sub|mul|div|sqrt|min|max|cmp|round|cvt|u?comi)[^h]*$/;

function ordinary(row: Row): Row[] {
  const [mnemonic, code, options = {}] = row;
  if (!ORDINARY.test(mnemonic) || mnemonic.startsWith('addsub') || !/^f(32|64)$/.test(options.data ?? '')) return [];
  const data = options.data === 'f32' ? 'f32-ordinary' : 'f64-ordinary';
  const prepare = (d: Draft): void => {
    options.prepare?.(d);
    d.state.mxcsr = d.random.chance(80) ? 0x1fa0 : 0x1f80;
  };
  return [[mnemonic, code, { ...options, data, prepare }]];
}

export const SSE_FORMS = [
  ...formsOf('sse-float', floatRows),
  ...formsOf('sse-ordinary', floatRows.flatMap(ordinary)).map((form) => ({ ...form, name: `${form.name} ordinary` })),
  ...formsOf('sse-move', moveRows),
  ...formsOf('sse-integer', integerRows),
];
