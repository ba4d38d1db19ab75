// SPDX-License-Identifier: Apache-2.0

/**
 * The bytes of the instruction being decoded. One at a time: decoding neither nests nor waits, so its place is module state.
 * Beyond the end the reader gives zeroes and remembers; the decoder looks once, at the end.
 */

let code: Uint8Array = new Uint8Array(0);
let position = 0;
let end = 0;
let overrun = false;

/** Reads `bytes` from `from` up to, not including, `to`. */
export function openBytes(bytes: Uint8Array, from: number, to: number): void {
  code = bytes;
  position = from;
  end = to;
  overrun = false;
}

/** Index of the next byte in the array given to `openBytes`. */
export function bytePosition(): number {
  return position;
}

/** Whether a byte at or beyond the end was asked for. */
export function wasOverrun(): boolean {
  return overrun;
}

export function next8(): number {
  if (position < end) return code[position++];
  overrun = true;
  return 0;
}

/** The next byte, left in place. */
export function peek8(): number {
  if (position < end) return code[position];
  overrun = true;
  return 0;
}

export function next16(): number {
  const low = next8();
  return low | (next8() << 8);
}

/** Signed. */
export function next32(): number {
  const low = next16();
  return low | (next16() << 16);
}

export function signed8(value: number): number {
  return (value << 24) >> 24;
}

export function signed16(value: number): number {
  return (value << 16) >> 16;
}
