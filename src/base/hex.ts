// SPDX-License-Identifier: Apache-2.0

/** `0x1f` style; `digits` pads with zeroes on the left. Negative numbers are shown as 64-bit two's complement. */
export function hex(value: number | bigint, digits = 1): string {
  const wide = BigInt(value);
  const unsigned = wide < 0n ? BigInt.asUintN(64, wide) : wide;
  return `0x${unsigned.toString(16).padStart(digits, '0')}`;
}

/** Bytes as `0f 01 c1`. */
export function hexBytes(bytes: Iterable<number>): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}
