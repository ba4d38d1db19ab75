// SPDX-License-Identifier: Apache-2.0
// Bits of a 32-bit half as rows, for whatever the manual draws as a table of bit positions.

export interface BitField {
  /** Lowest bit, 0..31. */
  readonly low: number;
  /** 1..32 bits; low + width <= 32. */
  readonly width: number;
  readonly title: string;
  /** Names of the values, where they have names. */
  readonly values?: { readonly [value: number]: string };
}

export type BitLayout = { readonly [name: string]: BitField };

function mask(field: BitField): number {
  return field.width === 32 ? 0xffffffff : 2 ** field.width - 1;
}

/** The value of one field of a 32-bit half, 0..2^width-1. */
export function extract(field: BitField, half: number): number {
  return ((half >>> field.low) & mask(field)) >>> 0;
}

/** A 32-bit half (unsigned) with the named fields set and all others 0. Values beyond a field's width are cut. */
export function compose<const Layout extends BitLayout>(
  layout: Layout,
  values: { readonly [Name in keyof Layout]?: number },
): number {
  let half = 0;
  for (const name of Object.keys(values)) half |= ((values[name] ?? 0) & mask(layout[name])) << layout[name].low;
  return half >>> 0;
}

/** All fields of a 32-bit half by name. */
export function decompose<const Layout extends BitLayout>(
  layout: Layout,
  half: number,
): { -readonly [Name in keyof Layout]: number } {
  return Object.fromEntries(Object.keys(layout).map((name) => [name, extract(layout[name], half)])) as never;
}
