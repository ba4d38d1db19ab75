// SPDX-License-Identifier: Apache-2.0
import { STATE } from '../state.ts';
import { integerType } from './graph.ts';
import type { Description, Operation, Value } from './operation.ts';

/**
 * What the descriptions of MMX and SSE instructions share. An MMX value is computed in the low half of a vector: most
 * operations work lane by lane, and then the XMM form's expression serves both.
 */

const GENERAL_PROTECTION = 13;
const FLOATING_POINT_ERROR = 16;

const FSW_SUMMARY = 0x80;
const FSW_TOP = 0x3800;

/** Which of a description's forms belong into the interpreter's big function. */
export type Hot = 'none' | 'registers' | 'all';

/** A description, split in two where only the register forms are hot. */
export function forms(
  mnemonic: string,
  signatures: readonly string[],
  describe: (o: Operation) => void,
  hot: Hot = 'none',
): Description[] {
  const isHot = (signature: string): boolean => hot === 'all' || (hot === 'registers' && !signature.includes('m'));
  return [true, false]
    .map((wanted) => ({
      mnemonic,
      signatures: signatures.filter((signature) => isHot(signature) === wanted),
      hot: wanted,
      endsBlock: false,
      describe,
    }))
    .filter((description) => description.signatures.length > 0);
}

// --- constants ---------------------------------------------------------------------------------------------------

/** 16 bytes from lanes of 1, 2 or 4 bytes, repeated as often as they fit. */
export function constant(o: Operation, laneBytes: 1 | 2 | 4, lanes: readonly number[]): Value {
  return o.vector(
    Array.from(
      { length: 16 },
      (_, i) => (lanes[Math.floor(i / laneBytes) % lanes.length] >>> ((i % laneBytes) * 8)) & 0xff,
    ),
  );
}

export function zeroVector(o: Operation): Value {
  return constant(o, 1, [0]);
}

/** 0, 1, ... 15 plus `first`. */
export function iota(first = 0): number[] {
  return Array.from({ length: 16 }, (_, i) => first + i);
}

// --- 64-bit halves -----------------------------------------------------------------------------------------------

export function low(vector: Value): Value {
  return vector.lane('i64x2_extract_lane', 0);
}
export function high(vector: Value): Value {
  return vector.lane('i64x2_extract_lane', 1);
}
/** The low halves of two vectors. */
export function join(a: Value, b: Value): Value {
  return a.shuffle(b, [...iota().slice(0, 8), ...iota(16).slice(0, 8)]);
}
/** An integer of at most 64 bits with zeros above. */
export function zeroExtended(o: Operation, value: Value): Value {
  return zeroVector(o).lane('i64x2_replace_lane', 0, value.as('i64'));
}

// --- memory operands ---------------------------------------------------------------------------------------------

/** The address of a 16-byte operand, a multiple of 16. See: SDM 4.1.1 Alignment of Words, Doublewords, Quadwords, and Double Quadwords. */
function alignedAddress(o: Operation): Value {
  const address = o.operandAddress();
  o.fault(address.as('i32').and(15).ne(0), GENERAL_PROTECTION);
  return address;
}

/** A source of 16 bytes: a register, or aligned memory. */
export function source(o: Operation, index: number): Value {
  return o.operands[index].kind === 'm' ? o.load('v128', alignedAddress(o)) : o.read(index);
}

/** Writes 16 bytes to a register or to aligned memory. */
export function writeAligned(o: Operation, index: number, value: () => Value): void {
  if (o.operands[index].kind !== 'm') return o.write(index, value());
  const probe = o.probe(16, alignedAddress(o), 'write');
  o.store(probe, value());
}

// --- MMX state ---------------------------------------------------------------------------------------------------

/** A pending x87 exception is raised before an MMX instruction does anything. */
export function checkMmx(o: Operation): void {
  o.fault(o.readState(STATE.fsw, 'i32').and(FSW_SUMMARY).ne(0), FLOATING_POINT_ERROR);
}

/** After an MMX instruction TOP is 0 and all registers count as valid (EMMS: empty). See: SDM 9.5.1 MMX Instructions and the x87 FPU Tag Word. */
export function finishMmx(o: Operation, tags = 0xff): void {
  o.writeState(STATE.fsw, o.readState(STATE.fsw, 'i32').and(~FSW_TOP));
  o.writeState(STATE.ftw, o.constant('i32', tags));
}

/** Writes an MMX register: sign and exponent of the x87 register it lies in become ones. */
export function writeMmx(o: Operation, index: 0 | 1 | 2, value: Value): void {
  o.write(index, value);
  o.writePlace({ slot: index, add: 8 }, o.constant('i16', 0xffff), false);
}

/** An instruction that touches MMX registers: `compute` reads everything, and gives what writes the result. */
export function mmxInstruction(o: Operation, compute: () => () => void): void {
  checkMmx(o);
  const commit = compute();
  commit();
  finishMmx(o);
}

// --- two-operand instructions ------------------------------------------------------------------------------------

/** The result from the destination's old value and the source. */
export type Compute = (o: Operation, a: Value, b: Value) => Value;

const XMM = ['x128x128', 'x128m128'];
const MMX = ['k64k64', 'k64m64'];

/** An operand as the low half of a vector; the other half is a copy. */
export function mmxVector(o: Operation, index: number): Value {
  return o.read(index).as('i64').simd('i64x2_splat');
}

/** XMM, XMM or aligned memory. */
export function packed(mnemonic: string, compute: Compute, hot: Hot = 'none'): Description[] {
  return forms(
    mnemonic,
    XMM,
    (o) => {
      const b = source(o, 1);
      o.write(0, compute(o, o.read(0), b));
    },
    hot,
  );
}

/** MMX, MMX or memory. What `compute` gives counts in its low half. */
export function packedMmx(mnemonic: string, compute: Compute, signatures: readonly string[] = MMX): Description[] {
  return forms(mnemonic, signatures, (o) =>
    mmxInstruction(o, () => {
      const b = mmxVector(o, 1);
      const result = low(compute(o, mmxVector(o, 0), b));
      return () => writeMmx(o, 0, result);
    }),
  );
}

/** In both widths; only the XMM forms may be hot. */
export function both(mnemonic: string, compute: Compute, hot: Hot = 'none'): Description[] {
  return [...packed(mnemonic, compute, hot), ...packedMmx(mnemonic, compute)];
}

/** In both widths, where the result's low half is made of the first operand alone: MMX joins its operands first. */
export function bothJoined(mnemonic: string, compute: Compute): Description[] {
  const joined: Compute = (o, a, b) => {
    const c = join(a, b);
    return compute(o, c, c);
  };
  return [...packed(mnemonic, compute), ...packedMmx(mnemonic, joined)];
}

/** Writes an i32 to a general register of 32 or 64 bits, or its low part to memory. */
export function writeInteger(o: Operation, index: number, value: Value): void {
  o.write(index, value.as(integerType(o.operands[index].bits)));
}
