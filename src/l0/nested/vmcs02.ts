// SPDX-License-Identifier: Apache-2.0
// The VMCS with which the hardware runs L2. It is made of vmcs01 and vmcs12 by the table of field origins, row by row:
// values are worked out while vmcs01 is current, and written when vmcs02 is.

import { REVISION_ID_OFFSET } from '../../arch/vmx/encoding.ts';
import { fieldExists } from '../../arch/vmx/capabilities.ts';
import { OFFSET, fieldNamed } from '../../arch/vmx/fields.ts';
import type { Halves, HostMemory, HostPhysical, RootProcessor } from '../../hardware/vmx.ts';
import type { Composition } from './composition.ts';
import { FIELD_ORIGINS } from './field-origins.ts';
import type { Compose, FieldOrigin } from './field-origins.ts';
import type { Vmcs12 } from './vmcs12.ts';

interface PlannedRow {
  readonly offset: number;
  readonly compose: Compose;
  readonly each: boolean;
}

export class Vmcs02 {
  readonly address: HostPhysical;
  readonly #processor: RootProcessor;
  /** Written at most once for as long as the region lives. */
  readonly #once: readonly PlannedRow[];
  readonly #rows: readonly PlannedRow[];
  /** Offsets of guest state that an exit to L1 copies back as it is. */
  readonly #saved: readonly number[];
  readonly #values: Uint32Array;
  readonly #chosen: Uint8Array;
  readonly #halves: Halves = { low: 0, high: 0 };
  #complete = false;

  /** `address`: a page of zeroes, L0's own. */
  constructor(processor: RootProcessor, memory: HostMemory, address: HostPhysical) {
    const exists = ({ field, compose }: FieldOrigin): boolean =>
      compose !== undefined && fieldExists(processor.capabilities, fieldNamed(field));
    const planned = FIELD_ORIGINS.filter(exists).map(({ field, compose, written }) => ({
      offset: OFFSET[field],
      compose: compose as Compose,
      written,
      each: written === 'each',
    }));
    this.#processor = processor;
    this.address = address;
    this.#once = planned.filter(({ written }) => written === 'once');
    this.#rows = planned.filter(({ written }) => written === 'each' || written === 'changed');
    this.#saved = FIELD_ORIGINS.filter((origin) => origin.saved && exists(origin)).map(({ field }) => OFFSET[field]);
    const most = Math.max(this.#once.length + this.#rows.length, 1);
    this.#values = new Uint32Array(2 * most);
    this.#chosen = new Uint8Array(most);
    memory.write32(address + REVISION_ID_OFFSET, processor.capabilities.IA32_VMX_BASIC?.low ?? 0);
  }

  /** vmcs01 is current, and still is afterwards: works out every value that is to be written. */
  compose(composition: Composition, vmcs12: Vmcs12): void {
    this.#plan().forEach((row, i) => {
      this.#chosen[i] = row.each || !this.#complete || vmcs12.hasChanged(row.offset) ? 1 : 0;
      if (this.#chosen[i] === 0) return;
      row.compose(composition, this.#halves);
      this.#values[2 * i] = this.#halves.low;
      this.#values[2 * i + 1] = this.#halves.high;
    });
  }

  /** Makes vmcs02 current, and writes what `compose` worked out. */
  write(): void {
    const processor = this.#processor;
    const plan = this.#plan();
    if (!this.#complete) processor.vmclear(this.address);
    processor.vmptrld(this.address);
    for (let i = 0; i < plan.length; i++) {
      if (this.#chosen[i] === 0) continue;
      const { offset } = plan[i];
      const low = this.#values[2 * i];
      const high = this.#values[2 * i + 1];
      if (processor.readLow(offset) !== low || processor.readHigh(offset) !== high) processor.write(offset, low, high);
    }
    this.#complete = true;
  }

  /** vmcs02 is current: guest state goes back into vmcs12. */
  saveGuestState(to: Vmcs12): void {
    const processor = this.#processor;
    for (const offset of this.#saved) to.saveField(offset, processor.readLow(offset), processor.readHigh(offset));
  }

  /** After a snapshot was restored, nothing is taken for granted. */
  forget(): void {
    this.#complete = false;
  }

  #plan(): readonly PlannedRow[] {
    return this.#complete ? this.#rows : this.#all;
  }
  get #all(): readonly PlannedRow[] {
    return [...this.#once, ...this.#rows];
  }
}
