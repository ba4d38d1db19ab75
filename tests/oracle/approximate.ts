// SPDX-License-Identifier: Apache-2.0

/** An 80-bit value as sign, exponent and significand, exact in a BigInt scaled by 2^exponent. */
function extended(bytes: Uint8Array): { head: number; significand: bigint } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { head: view.getUint16(8, true), significand: view.getBigUint64(0, true) };
}

/** Whether two 10-byte x87 values are within `relative` of each other. NaNs and infinities must be equal. */
export function closeExtended(expected: Uint8Array, got: Uint8Array, relative: number): boolean {
  const a = extended(expected);
  const b = extended(got);
  if (a.head === b.head && a.significand === b.significand) return true;
  if ((a.head ^ b.head) & 0x8000 || (a.head & 0x7fff) === 0x7fff || (b.head & 0x7fff) === 0x7fff) return false;
  const base = Math.min(a.head & 0x7fff, b.head & 0x7fff);
  const shiftA = (a.head & 0x7fff) - base;
  const shiftB = (b.head & 0x7fff) - base;
  if (shiftA > 64 || shiftB > 64) return false;
  const x = a.significand << BigInt(shiftA);
  const y = b.significand << BigInt(shiftB);
  return Number(x > y ? x - y : y - x) <= relative * Number(x);
}

/** Whether two 4-byte values are within `relative` of each other. NaNs and infinities must be equal to the bit. */
export function closeSingle(expected: Uint8Array, got: Uint8Array, relative: number): boolean {
  const a = new DataView(expected.buffer, expected.byteOffset, 4);
  const b = new DataView(got.buffer, got.byteOffset, 4);
  if (a.getUint32(0, true) === b.getUint32(0, true)) return true;
  const x = a.getFloat32(0, true);
  const y = b.getFloat32(0, true);
  return Number.isFinite(x) && Number.isFinite(y) && Math.abs(x - y) <= relative * Math.abs(x);
}
