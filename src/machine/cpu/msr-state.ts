// SPDX-License-Identifier: Apache-2.0
import { assert } from '../../base/assert.ts';
import { msrRows } from '../../arch/msrs.ts';
import type { MsrDescription, MsrRow } from '../../arch/msrs.ts';

/** How often software asked for a register that does not exist. */
export interface UnknownMsr {
  reads: number;
  writes: number;
}

/** The model-specific registers of one processor: which there are, and the values of those that live nowhere else. */
export class MsrState {
  /** By index, for the run's summary. */
  readonly unknown = new Map<number, UnknownMsr>();
  /** In the order of the rows. */
  readonly values: BigUint64Array;
  private readonly rows: readonly MsrRow[];
  private readonly slots = new Map<number, number>();

  constructor(description: MsrDescription) {
    this.rows = msrRows(description);
    this.rows.forEach((row, slot) => this.slots.set(row.index, slot));
    this.values = new BigUint64Array(this.rows.length);
    this.reset();
  }

  /** Power-up values. */
  reset(): void {
    this.rows.forEach((row, slot) => (this.values[slot] = row.reset));
  }

  row(index: number): MsrRow | undefined {
    const slot = this.slots.get(index);
    return slot === undefined ? undefined : this.rows[slot];
  }

  /** Of a register that exists. */
  get(index: number): bigint {
    return this.values[this.slot(index)];
  }
  set(index: number, value: bigint): void {
    this.values[this.slot(index)] = value;
  }

  noteUnknown(index: number, kind: keyof UnknownMsr): void {
    const count = this.unknown.get(index) ?? { reads: 0, writes: 0 };
    count[kind]++;
    this.unknown.set(index, count);
  }

  private slot(index: number): number {
    const slot = this.slots.get(index);
    assert(slot !== undefined, `MSR ${index.toString(16)} exists`);
    return slot;
  }
}
