// SPDX-License-Identifier: Apache-2.0
// Does the comparison see everything? While it runs, one bit after the other of each field is turned over in the place
// where L1 would read it, at exits all over the run, fields included that L1 never asks for; the comparison must name
// that exit, that field and both values, and nothing else. Then the bit is put right, and the run goes on.
import { assert } from '../../src/base/assert.ts';
import type { FieldWidth } from '../../src/arch/vmx/encoding.ts';
import type { VmcsField } from '../../src/arch/vmx/fields.ts';
import type { Difference, RecordedExits } from './exit-sequence.ts';
import { NestedWatch } from './exit-watch.ts';
import type { Layout, UnderL0 } from './seen-exit.ts';

const BITS: { readonly [Width in FieldWidth]: number } = { u16: 16, u32: 32, u64: 64, natural: 64 };

/** An error: one bit of a field, at one exit. */
export interface BitError {
  readonly exit: number;
  readonly field: VmcsField;
  readonly bit: number;
}

/** xorshift32: what the errors are drawn with. `state` is not 0. */
export function random(state: number): (below: number) => number {
  let x = state >>> 0;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x = (x ^ (x << 5)) >>> 0;
    return x % below;
  };
}

/** Each bit of each field once, at exits drawn from `count`. */
export function everyBit({ fields }: Layout, count: number, seed: number): BitError[] {
  const draw = random(seed);
  return fields.flatMap((field) =>
    Array.from({ length: BITS[field.width] }, (_, bit) => ({ exit: draw(count), field, bit })),
  );
}

/** Turns the bit over where L1 would read it. */
export function flip(seen: UnderL0, { field, bit }: BitError): void {
  const { words, index } = seen.place(field);
  words[index + (bit >> 5)] ^= 1 << (bit & 31);
}

/** Whether the comparison said exactly this. */
export function names({ exit, field, bit }: BitError, found: readonly Difference[]): boolean {
  const [only] = found;
  return (
    found.length === 1 &&
    only.exit === exit &&
    only.name === field.name &&
    (only.bare ^ only.under) === 1n << BigInt(bit)
  );
}

export class BitErrorWatch extends NestedWatch {
  /** Errors that the comparison did not name, or not alone. */
  readonly missed: BitError[] = [];
  made = 0;
  /** The last exit with an error. */
  last = -1;
  readonly #byExit = new Map<number, BitError[]>();

  constructor(layout: Layout, recorded: RecordedExits, errors: readonly BitError[]) {
    super(layout, recorded);
    for (const error of errors) this.#byExit.set(error.exit, [...(this.#byExit.get(error.exit) ?? []), error]);
  }

  protected override look(seen: UnderL0): readonly Difference[] {
    const found = super.look(seen);
    const exit = this.compared.count - 1;
    for (const error of found.length === 0 ? (this.#byExit.get(exit) ?? []) : []) {
      flip(seen, error);
      if (!names(error, super.look(seen))) this.missed.push(error);
      flip(seen, error);
      this.made++;
      this.last = exit;
      assert(super.look(seen).length === 0, 'the bit was put right');
    }
    return found;
  }
}
