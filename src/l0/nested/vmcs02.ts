// SPDX-License-Identifier: Apache-2.0
// The VMCS with which the hardware runs L2. It is made of vmcs01 and vmcs12 by the table of field origins, row by row:
// values are worked out while vmcs01 is current, and written when vmcs02 is.

import { REVISION_ID_OFFSET } from '../../arch/vmx/encoding.ts';
import { fieldExists } from '../../arch/vmx/capabilities.ts';
import { OFFSET, fieldNamed } from '../../arch/vmx/fields.ts';
import type { VmcsView } from '../../arch/vmx/vmcs-view.ts';
import type { Halves, HostMemory, HostPhysical, RootProcessor } from '../../hardware/vmx.ts';
import type { Composition } from './composition.ts';
import { CONTROLS_01, FIELD_ORIGINS } from './field-origins.ts';
import type { Compose, FieldOrigin, WrittenWhen } from './field-origins.ts';
import type { Vmcs12 } from './vmcs12.ts';

interface PlannedRow {
  readonly offset: number;
  readonly compose: Compose;
  readonly written: WrittenWhen;
}

export class Vmcs02 {
  readonly address: HostPhysical;
  readonly #processor: RootProcessor;
  /** All rows that are ever written, and those that are written more than once. */
  readonly #all: readonly PlannedRow[];
  readonly #rows: readonly PlannedRow[];
  /** What `controls` rows are made of in vmcs01: offsets, and the halves that the last composition found. */
  readonly #offsets01: readonly number[];
  readonly #controls01: Uint32Array;
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
    }));
    this.#processor = processor;
    this.address = address;
    this.#all = planned;
    this.#rows = planned.filter(({ written }) => written !== 'once');
    this.#offsets01 = CONTROLS_01.map((field) => OFFSET[field]);
    this.#controls01 = new Uint32Array(2 * CONTROLS_01.length);
    this.#saved = FIELD_ORIGINS.filter((origin) => origin.saved && exists(origin)).map(({ field }) => OFFSET[field]);
    this.#values = new Uint32Array(2 * planned.length);
    this.#chosen = new Uint8Array(planned.length);
    memory.write32(address + REVISION_ID_OFFSET, processor.capabilities.IA32_VMX_BASIC?.low ?? 0);
  }

  /** vmcs01 is current, and still is afterwards: works out every value that is to be written. */
  compose(composition: Composition, vmcs12: Vmcs12): void {
    const plan = this.#plan();
    const controls01 = this.#controls01Changed(composition.v01);
    const controls = controls01 || vmcs12.controlsChanged;
    for (let i = 0; i < plan.length; i++) {
      const row = plan[i];
      const chosen = !this.#complete || isDue(row, controls, vmcs12);
      this.#chosen[i] = chosen ? 1 : 0;
      if (!chosen) continue;
      row.compose(composition, this.#halves);
      this.#values[2 * i] = this.#halves.low;
      this.#values[2 * i + 1] = this.#halves.high;
    }
  }

  #controls01Changed(v01: VmcsView): boolean {
    const found = this.#controls01;
    let changed = false;
    for (let i = 0; i < this.#offsets01.length; i++) {
      const low = v01.low(this.#offsets01[i]);
      const high = v01.high(this.#offsets01[i]);
      changed ||= found[2 * i] !== low || found[2 * i + 1] !== high;
      found[2 * i] = low;
      found[2 * i + 1] = high;
    }
    return changed;
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
}

function isDue({ written, offset }: PlannedRow, controls: boolean, vmcs12: Vmcs12): boolean {
  if (written === 'controls') return controls;
  return written === 'each' || vmcs12.hasChanged(offset);
}
