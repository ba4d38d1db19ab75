// SPDX-License-Identifier: Apache-2.0

import { assert } from '../base/assert.ts';
import { hex } from '../base/hex.ts';

/** One field of a packed little-endian structure: name, width in bytes, value (a number, or bytes of that width). */
export type FieldRow = readonly [field: string, width: number, value: number | ArrayLike<number>];

/** Packs the rows, in order, without padding. Numbers up to 2^53-1. */
export function structure(rows: readonly FieldRow[]): Uint8Array {
  const bytes = new Uint8Array(rows.reduce((size, row) => size + row[1], 0));
  let at = 0;
  for (const [field, width, value] of rows) {
    if (typeof value === 'number') {
      putNumber(bytes, at, width, value, field);
    } else {
      assert(value.length === width, `${field} has ${value.length} bytes, not ${width}`);
      bytes.set(value, at);
    }
    at += width;
  }
  return bytes;
}

/** Writes `value` at byte `at`, little-endian, `width` bytes. */
export function putNumber(bytes: Uint8Array, at: number, width: number, value: number, field: string): void {
  assert(
    Number.isSafeInteger(value) && value >= 0 && value < 2 ** (8 * width),
    `${field} = ${value} in ${width} bytes`,
  );
  assert(at + width <= bytes.length, `${field} at ${hex(at)} is outside its structure`);
  for (let index = 0, rest = value; index < width; index++, rest = Math.floor(rest / 256))
    bytes[at + index] = rest % 256;
}

export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

export const alignUp = (value: number, alignment: number): number => Math.ceil(value / alignment) * alignment;
export const alignDown = (value: number, alignment: number): number => Math.floor(value / alignment) * alignment;
