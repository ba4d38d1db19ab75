// SPDX-License-Identifier: Apache-2.0

import { assert } from '../../src/base/assert.ts';
import { STATE } from '../../src/machine/cpu/state.ts';

type Row = { readonly start: number; readonly bytes: number; value: bigint };

// prettier-ignore
const KINDS = [
  { start: STATE.general, bytes: 8, count: 16 },
  { start: STATE.xmm, bytes: 16, count: 16 },
  { start: STATE.x87, bytes: 16, count: 8 },
  ...[STATE.flagsOther, STATE.mxcsr, STATE.fcw, STATE.fsw, STATE.ftw].map((start) => ({ start, bytes: 4, count: 1 })),
];

/** The registers, one BigInt each. Descriptions name them by their place in the state block, so that is how they are found. */
export class Registers {
  readonly #rows: Row[] = KINDS.flatMap(({ start, bytes, count }) =>
    Array.from({ length: count }, (_, n) => ({ start: start + n * bytes, bytes, value: 0n })),
  );

  #row(offset: number, bits: number): Row {
    const row = this.#rows.find(({ start, bytes }) => offset >= start && offset + bits / 8 <= start + bytes);
    assert(row, `the reference has no register at ${offset.toString(16)}`);
    return row;
  }

  read(offset: number, bits: number): bigint {
    const row = this.#row(offset, bits);
    return BigInt.asUintN(bits, row.value >> BigInt(8 * (offset - row.start)));
  }

  /** Bits of the register outside the place stay. */
  write(offset: number, bits: number, value: bigint): void {
    const row = this.#row(offset, bits);
    const at = BigInt(8 * (offset - row.start));
    const mask = ((1n << BigInt(bits)) - 1n) << at;
    row.value = (row.value & ~mask) | (BigInt.asUintN(bits, value) << at);
  }
}
