// SPDX-License-Identifier: Apache-2.0
import { convert, fromInteger, toInteger } from '../softfloat/convert.ts';
import { ROUNDING } from '../softfloat/environment.ts';
import { BINARY32, BINARY64 } from '../softfloat/format.ts';
import type { Format } from '../softfloat/format.ts';
import { NORMAL32, NORMAL64, isPlain } from './unit.ts';
import type { SseDestination, SseFloatInstruction, SseFloatUnit } from './unit.ts';

/** A signed integer as element, by its bits. */
interface Integer {
  readonly bits: 32 | 64;
}

const I32: Integer = { bits: 32 };
const I64: Integer = { bits: 64 };
const F32 = BINARY32;
const F64 = BINARY64;

type Element = Format | Integer;

interface Conversion {
  readonly mnemonic: string;
  readonly from: Element;
  readonly to: Element;
  readonly lanes: number;
  readonly destination: SseDestination;
  /** Zeroes follow the result up to 16 bytes of an XMM register, or 8 of a general one. */
  readonly clears?: true;
}

/** A `T` in the place of the second C of the mnemonic truncates. See: SDM 11.4.1.6 SSE2 Conversion Instructions. */
// prettier-ignore
const CONVERSIONS: readonly Conversion[] = [
  { mnemonic: 'CVTPI2PS',  from: I32, to: F32, lanes: 2, destination: 'xmm' },
  { mnemonic: 'CVTPI2PD',  from: I32, to: F64, lanes: 2, destination: 'xmm' },
  { mnemonic: 'CVTSI2SS',  from: I32, to: F32, lanes: 1, destination: 'xmm' },
  { mnemonic: 'CVTSI2SD',  from: I32, to: F64, lanes: 1, destination: 'xmm' },
  { mnemonic: 'CVTPS2PI',  from: F32, to: I32, lanes: 2, destination: 'mmx' },
  { mnemonic: 'CVTTPS2PI', from: F32, to: I32, lanes: 2, destination: 'mmx' },
  { mnemonic: 'CVTPD2PI',  from: F64, to: I32, lanes: 2, destination: 'mmx' },
  { mnemonic: 'CVTTPD2PI', from: F64, to: I32, lanes: 2, destination: 'mmx' },
  { mnemonic: 'CVTSS2SI',  from: F32, to: I32, lanes: 1, destination: 'general', clears: true },
  { mnemonic: 'CVTTSS2SI', from: F32, to: I32, lanes: 1, destination: 'general', clears: true },
  { mnemonic: 'CVTSD2SI',  from: F64, to: I32, lanes: 1, destination: 'general', clears: true },
  { mnemonic: 'CVTTSD2SI', from: F64, to: I32, lanes: 1, destination: 'general', clears: true },
  { mnemonic: 'CVTPS2PD',  from: F32, to: F64, lanes: 2, destination: 'xmm' },
  { mnemonic: 'CVTPD2PS',  from: F64, to: F32, lanes: 2, destination: 'xmm', clears: true },
  { mnemonic: 'CVTSS2SD',  from: F32, to: F64, lanes: 1, destination: 'xmm' },
  { mnemonic: 'CVTSD2SS',  from: F64, to: F32, lanes: 1, destination: 'xmm' },
  { mnemonic: 'CVTDQ2PS',  from: I32, to: F32, lanes: 4, destination: 'xmm' },
  { mnemonic: 'CVTDQ2PD',  from: I32, to: F64, lanes: 2, destination: 'xmm' },
  { mnemonic: 'CVTPS2DQ',  from: F32, to: I32, lanes: 4, destination: 'xmm' },
  { mnemonic: 'CVTTPS2DQ', from: F32, to: I32, lanes: 4, destination: 'xmm' },
  { mnemonic: 'CVTPD2DQ',  from: F64, to: I32, lanes: 2, destination: 'xmm', clears: true },
  { mnemonic: 'CVTTPD2DQ', from: F64, to: I32, lanes: 2, destination: 'xmm', clears: true },
];

function isInteger(element: Element): element is Integer {
  return 'bits' in element;
}

const bytesOf = (element: Element): number => (isInteger(element) ? element.bits / 8 : element.bytes);
const truncates = (mnemonic: string): boolean => mnemonic.startsWith('CVTT');

function integer(unit: SseFloatUnit, source: number, lane: number, { bits }: Integer): bigint {
  return bits === 64 ? unit.view.getBigInt64(source, true) : BigInt(unit.view.getInt32(source + lane * 4, true));
}

function putInteger(unit: SseFloatUnit, lane: number, { bits }: Integer, value: bigint): void {
  if (bits === 64) unit.put64(lane, BigInt.asUintN(64, value));
  else unit.put32(lane, Number(value));
}

function convertElement(unit: SseFloatUnit, { mnemonic, from, to }: Conversion, source: number, lane: number): void {
  const { env } = unit;
  if (isInteger(from)) {
    if (!isInteger(to)) unit.put(lane, to, fromInteger(env, to, integer(unit, source, lane, from)));
    return;
  }
  const value = unit.element(source, lane, from);
  if (!isInteger(to)) unit.put(lane, to, convert(env, to, value));
  else putInteger(unit, lane, to, toInteger(env, value, to.bits, truncates(mnemonic) ? ROUNDING.zero : env.rounding));
}

function clearRest(unit: SseFloatUnit, { to, lanes, destination }: Conversion): void {
  const end = destination === 'general' ? 8 : 16;
  for (let n = (lanes * bytesOf(to)) / 4; n < end / 4; n++) unit.put32(n, 0);
}

function conversion(row: Conversion): SseFloatInstruction {
  const fast = (row.from === I64 || row.to === I64 ? FAST_WIDE : FAST)[row.mnemonic];
  return {
    mnemonic: row.mnemonic,
    sourceBytes: bytesOf(row.from) * row.lanes,
    destination: row.destination,
    run(unit, _destination, source) {
      for (let lane = 0; lane < row.lanes; lane++) convertElement(unit, row, source, lane);
      if (row.clears) clearRest(unit, row);
    },
    ...(fast === undefined ? {} : { fast }),
  };
}

type Fast = NonNullable<SseFloatInstruction['fast']>;

/** Truncation to 32 bits of a scalar; inexact is already set, or nothing is dropped. */
function truncate32(unit: SseFloatUnit, value: number, destination: number): boolean {
  const result = value | 0;
  if (result !== Math.trunc(value) || (result !== value && !unit.ordinary)) return false;
  unit.i32[destination >> 2] = result;
  unit.i32[(destination >> 2) + 1] = 0;
  return true;
}

const TWO_32 = 2 ** 32;
/** Integers below 2^52 in magnitude are exact in a Number with room for halves. */
const EXACT = 2 ** 52;

/** The same to 64 bits, for values that are small enough. */
function truncate64(unit: SseFloatUnit, value: number, destination: number): boolean {
  const result = Math.trunc(value);
  if (!(Math.abs(result) < EXACT) || (result !== value && !unit.ordinary)) return false;
  unit.i32[destination >> 2] = result;
  unit.i32[(destination >> 2) + 1] = Math.floor(result / TWO_32);
  return true;
}

/** A 64-bit integer that is exact as a Number, or undefined. */
function smallInteger(unit: SseFloatUnit, source: number): number | undefined {
  const value = unit.i32[(source >> 2) + 1] * TWO_32 + (unit.i32[source >> 2] >>> 0);
  return Math.abs(value) < EXACT ? value : undefined;
}

function putSingle(unit: SseFloatUnit, value: number | undefined, destination: number): boolean {
  if (value === undefined) return false;
  const result = Math.fround(value);
  if (result !== value && !unit.ordinary) return false;
  unit.f32[destination >> 2] = result;
  return true;
}

/** The conversions that compiled C is full of. */
const FAST: Readonly<Record<string, Fast>> = {
  CVTSI2SD(unit, destination, source) {
    unit.f64[destination >> 3] = unit.i32[source >> 2];
    return true;
  },
  CVTSI2SS: (unit, destination, source) => putSingle(unit, unit.i32[source >> 2], destination),
  CVTTSD2SI: (unit, destination, source) => truncate32(unit, unit.f64[source >> 3], destination),
  CVTTSS2SI: (unit, destination, source) => truncate32(unit, unit.f32[source >> 2], destination),
  CVTDQ2PD(unit, destination, source) {
    const high = unit.i32[(source >> 2) + 1];
    unit.f64[destination >> 3] = unit.i32[source >> 2];
    unit.f64[(destination >> 3) + 1] = high;
    return true;
  },
  CVTDQ2PS(unit, destination, source) {
    if (!unit.ordinary) return false;
    for (let n = 0; n < 4; n++) unit.f32[(destination >> 2) + n] = unit.i32[(source >> 2) + n];
    return true;
  },
  CVTSS2SD(unit, destination, source) {
    const value = unit.f32[source >> 2];
    if (!isPlain(value, NORMAL32)) return false;
    unit.f64[destination >> 3] = value;
    return true;
  },
  CVTSD2SS(unit, destination, source) {
    const value = unit.f64[source >> 3];
    const result = Math.fround(value);
    if (!unit.ordinary || !isPlain(value, NORMAL64) || !isPlain(result, NORMAL32)) return false;
    if (Math.abs(result) === NORMAL32.least || (result === 0 && value !== 0)) return false;
    unit.f32[destination >> 2] = result;
    return true;
  },
};

const FAST_WIDE: Readonly<Record<string, Fast>> = {
  CVTSI2SD(unit, destination, source) {
    const value = smallInteger(unit, source);
    if (value !== undefined) unit.f64[destination >> 3] = value;
    return value !== undefined;
  },
  CVTSI2SS: (unit, destination, source) => putSingle(unit, smallInteger(unit, source), destination),
  CVTTSD2SI: (unit, destination, source) => truncate64(unit, unit.f64[source >> 3], destination),
  CVTTSS2SI: (unit, destination, source) => truncate64(unit, unit.f32[source >> 2], destination),
};

/** With a 64-bit general operand (REX.W). */
const WIDE: readonly Conversion[] = CONVERSIONS.filter(({ mnemonic }) => /^CVTT?S[SD]2SI$|^CVTSI2/.test(mnemonic)).map(
  (row) => (isInteger(row.from) ? { ...row, from: I64 } : { ...row, to: I64 }),
);

export const CONVERT: readonly SseFloatInstruction[] = CONVERSIONS.map(conversion);
export const CONVERT_WIDE: readonly SseFloatInstruction[] = WIDE.map(conversion);
