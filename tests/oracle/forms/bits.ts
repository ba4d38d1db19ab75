// SPDX-License-Identifier: Apache-2.0

import type { Draft } from '../draft.ts';
import { AF, CF, OF, PF, SF, formsOf, type Row } from '../form.ts';
import { DATA } from '../memory-map.ts';

/** The count a shift uses: masked to 5 bits, 6 for 64-bit operands. */
function countOf(d: Draft, raw: number): number {
  return raw & (d.size === 8 ? 63 : 31);
}

const byImmediate = (d: Draft): number => countOf(d, d.immediate);
const byCl = (d: Draft): number => countOf(d, Number(d.state.general[1] & 0xffn));
const byOne = (): number => 1;

type Count = (d: Draft) => number;

/** See: SDM 4.3 SAL/SAR/SHL/SHR (flags affected). SAR keeps CF defined at any count. */
const shiftUndefined =
  (count: Count, arithmetic: boolean) =>
  (d: Draft): number => {
    const n = count(d);
    if (n === 0) return 0;
    return AF | (n === 1 ? 0 : OF) | (!arithmetic && n >= d.size * 8 ? CF : 0);
  };
const rotateUndefined =
  (count: Count) =>
  (d: Draft): number =>
    count(d) <= 1 ? 0 : OF;
const doubleUndefined =
  (count: Count) =>
  (d: Draft): number =>
    count(d) === 0 ? 0 : AF | (count(d) === 1 ? 0 : OF);

const OPERATIONS = ['rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'sal', 'sar'];

/** Counts over all eight bits, but often small, and often about the width. */
function prepareImmediateCount(d: Draft): void {
  if (d.random.chance(60)) d.immediates = [BigInt(d.random.below(d.size * 8 + 3))];
}

function prepareClCount(d: Draft): void {
  const count = d.random.chance(60) ? d.random.below(d.size * 8 + 3) : d.random.below(256);
  d.setRegister(1, (d.state.general[1] & ~0xffn) | BigInt(count));
}

const shiftRows: Row[] = OPERATIONS.flatMap((mnemonic, n): Row[] => {
  const flags = (count: Count): Count => (n < 4 ? rotateUndefined(count) : shiftUndefined(count, mnemonic === 'sar'));
  return [
    [mnemonic, `C0 /${n} ib`, { sizes: 'b', undefined: flags(byImmediate), prepare: prepareImmediateCount }],
    [mnemonic, `C1 /${n} ib`, { sizes: 'wdq', undefined: flags(byImmediate), prepare: prepareImmediateCount }],
    [mnemonic, `D0 /${n}`, { sizes: 'b', undefined: flags(byOne) }],
    [mnemonic, `D1 /${n}`, { sizes: 'wdq', undefined: flags(byOne) }],
    [mnemonic, `D2 /${n}`, { sizes: 'b', undefined: flags(byCl), prepare: prepareClCount }],
    [mnemonic, `D3 /${n}`, { sizes: 'wdq', undefined: flags(byCl), prepare: prepareClCount }],
  ];
});

/** Beyond 16 the result of a 16-bit double shift is undefined, so it is not asked for. */
function prepareDoubleImmediate(d: Draft): void {
  d.immediates = [BigInt(d.size === 2 ? d.random.below(17) | (d.random.below(8) << 5) : d.random.below(256))];
  if (d.size === 2 && (Number(d.immediates[0]) & 31) > 16) d.immediates = [16n];
}

function prepareDoubleCl(d: Draft): void {
  const count = d.size === 2 ? d.random.below(17) | (d.random.below(4) << 6) : d.random.below(256);
  d.setRegister(1, (d.state.general[1] & ~0xffn) | BigInt(count));
}

const BIT_TEST = OF | SF | AF | PF;

/** A bit offset in a register reaches any operand-sized unit around the address, forwards and backwards. */
function prepareBitOffset(d: Draft): void {
  if (d.rm !== undefined) return;
  const bits = BigInt(d.size * 8);
  const unit = BigInt(d.random.below(512) - 256);
  const offset = unit * bits + BigInt(d.random.below(d.size * 8));
  const mask = BigInt.asUintN(64, -1n << bits);
  d.setRegister(d.reg, (d.state.general[d.reg] & mask) | BigInt.asUintN(Number(bits), offset));
  const at = d.random.chance(90) ? BigInt(DATA + 0x100 + d.random.below(0x1e00)) : d.chooseAddress(d.size);
  d.patch(at, d.targetBytes as Uint8Array);
  d.targetBytes = undefined;
  d.target = BigInt.asUintN(64, at - unit * BigInt(d.size));
  if (d.size === 2) d.plain = true;
}

/** The bit offset the register already holds must not come out of an addressing register. */
const bitRows: Row[] = ['bt', 'bts', 'btr', 'btc'].flatMap((mnemonic, n): Row[] => {
  const opcode = (0xa3 + 8 * n).toString(16).toUpperCase();
  const lock = n > 0;
  return [
    [mnemonic, `0F ${opcode} /r`, { sizes: 'wdq', lock, undefined: BIT_TEST, prepare: prepareBitOffset }],
    [mnemonic, `0F BA /${4 + n} ib`, { sizes: 'wdq', lock, undefined: BIT_TEST }],
  ];
});

const SCAN = CF | OF | SF | AF | PF;
const COUNT_ZEROS = OF | SF | PF | AF;

/** With a zero source the destination is undefined in the manual (processors leave it, differing in bits 63:32). */
function allowScanOfZero(d: Draft): void {
  const zero = d.rm === undefined ? d.targetBytes?.every((byte) => byte === 0) : d.register(d.rm) === 0n;
  if (zero && d.size === 4) d.allowance.general |= 1 << d.reg;
}

// prettier-ignore
const rows: Row[] = [
  ['shld', '0F A4 /r ib', { sizes: 'wdq', undefined: doubleUndefined(byImmediate), prepare: prepareDoubleImmediate }],
  ['shld', '0F A5 /r',    { sizes: 'wdq', undefined: doubleUndefined(byCl), prepare: prepareDoubleCl }],
  ['shrd', '0F AC /r ib', { sizes: 'wdq', undefined: doubleUndefined(byImmediate), prepare: prepareDoubleImmediate }],
  ['shrd', '0F AD /r',    { sizes: 'wdq', undefined: doubleUndefined(byCl), prepare: prepareDoubleCl }],
  ['bsf',  '0F BC /r',    { sizes: 'wdq', undefined: SCAN, allow: allowScanOfZero }],
  ['bsr',  '0F BD /r',    { sizes: 'wdq', undefined: SCAN, allow: allowScanOfZero }],
  ['popcnt', 'F3 0F B8 /r',       { memory: 4 }],
  ['popcnt', 'F3 REX.W 0F B8 /r'],
  ['popcnt', '66 F3 0F B8 /r',    { memory: 2 }],
  ['tzcnt',  'F3 0F BC /r',       { memory: 4, undefined: COUNT_ZEROS }],
  ['tzcnt',  'F3 REX.W 0F BC /r', { undefined: COUNT_ZEROS }],
  ['tzcnt',  '66 F3 0F BC /r',    { memory: 2, undefined: COUNT_ZEROS }],
  ['lzcnt',  'F3 0F BD /r',       { memory: 4, undefined: COUNT_ZEROS }],
  ['lzcnt',  'F3 REX.W 0F BD /r', { undefined: COUNT_ZEROS }],
  ['lzcnt',  '66 F3 0F BD /r',    { memory: 2, undefined: COUNT_ZEROS }],
  ['andn',   'VEX.NP.0F38.W0 F2 /r', { sizes: 'dq', undefined: AF | PF }],
  ['blsr',   'VEX.NP.0F38.W0 F3 /1', { sizes: 'dq', undefined: AF | PF }],
  ['blsmsk', 'VEX.NP.0F38.W0 F3 /2', { sizes: 'dq', undefined: AF | PF }],
  ['blsi',   'VEX.NP.0F38.W0 F3 /3', { sizes: 'dq', undefined: AF | PF }],
  ['bextr',  'VEX.NP.0F38.W0 F7 /r', { sizes: 'dq', undefined: AF | PF | SF, prepare: prepareExtract }],
  ['bzhi',   'VEX.NP.0F38.W0 F5 /r', { sizes: 'dq', undefined: AF | PF, prepare: prepareIndex }],
  ['sarx',   'VEX.F3.0F38.W0 F7 /r', { sizes: 'dq' }],
  ['shlx',   'VEX.66.0F38.W0 F7 /r', { sizes: 'dq' }],
  ['shrx',   'VEX.F2.0F38.W0 F7 /r', { sizes: 'dq' }],
  ['rorx',   'VEX.F2.0F3A.W0 F0 /r ib', { sizes: 'dq', prepare: (d) => { d.vvvv = 0; } }],
  ['pdep',   'VEX.F2.0F38.W0 F5 /r', { sizes: 'dq' }],
  ['pext',   'VEX.F3.0F38.W0 F5 /r', { sizes: 'dq' }],
];

function prepareExtract(d: Draft): void {
  const control = BigInt(d.random.below(70)) | (BigInt(d.random.below(70)) << 8n);
  if (d.random.chance(80)) d.setRegister(d.vvvv, (d.state.general[d.vvvv] & ~0xffffn) | control);
}

function prepareIndex(d: Draft): void {
  if (d.random.chance(80)) d.setRegister(d.vvvv, (d.state.general[d.vvvv] & ~0xffn) | BigInt(d.random.below(70)));
}

export const BIT_FORMS = formsOf('bits', [...shiftRows, ...bitRows, ...rows]);
