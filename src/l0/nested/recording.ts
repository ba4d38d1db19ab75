// SPDX-License-Identifier: Apache-2.0
// What L0 notes for whoever asks later why L1's VM entry failed: who wrote the fields of L1's VMCSs.

import type { EntryRule } from '../../arch/vmx/entry-check-row.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { MSR_ENTRY_SIZE } from '../../arch/vmx/msr-load-rules.ts';
import { addressAt } from '../../arch/vmx/vmcs-view.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { FailedMsr } from '../../trace/failed-entry.ts';
import type { FieldWriters, RegionWriters } from '../../trace/field-writers.ts';
import type { Recorder } from '../../trace/recorder.ts';
import { readNatural } from '../vmcs-access.ts';
import type { NestedVcpu } from './nested-vcpu.ts';

const L1 = 1;

/**
 * VMWRITEs of L1 that exit are noted here. Those that VMCS shadowing lets pass the processor notes for the shadow VMCS;
 * the two are joined when the VMCS stops being current and when an entry fails.
 */
export class NestedRecording {
  readonly #recorder: Recorder;
  readonly #writers: FieldWriters | undefined;
  #rip = 0;
  #cr3 = 0;

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
    this.#writers = recorder.writers;
  }

  /** L1's VMPTRLD made another VMCS current. */
  loaded(nested: NestedVcpu): void {
    nested.vmcs12.writers = this.#writers?.region('L1', nested.vmcs12.pointer);
    this.#shadow(nested)?.forget();
  }
  /** L1's VMCS stops being current. */
  released(nested: NestedVcpu): void {
    this.#join(nested);
    nested.vmcs12.writers = undefined;
  }
  cleared(_nested: NestedVcpu, pointer: PhysicalAddress): void {
    const writers = this.#writers;
    writers?.region('L1', pointer).cleared(writers.instructions());
  }
  /** L1's VMWRITE exited, and has been carried out. */
  wrote({ vmcs12, vcpu }: NestedVcpu, offset: number): void {
    const writers = this.#writers;
    if (writers === undefined) return;
    vmcs12.writers?.wrote(offset, vcpu.rip, writers.instructions(), vmcs12.low(offset), vmcs12.high(offset));
  }
  /** Before an exit to L1 saves anything. */
  exiting({ vmcs12 }: NestedVcpu): void {
    if (this.#writers !== undefined) vmcs12.exitedAt = this.#writers.instructions();
  }

  /** L1's VMLAUNCH or VMRESUME begins; vmcs01 is current. */
  entering({ vcpu }: NestedVcpu): void {
    this.#rip = vcpu.rip;
    this.#cr3 = readNatural(vcpu.processor, OFFSET.GUEST_CR3);
  }
  /** It broke a rule. `msr` is the entry of the list, from 1, that failed. */
  failed(nested: NestedVcpu, rule: EntryRule, msr = 0): void {
    const { vmcs12, vcpu, basic } = nested;
    this.#join(nested);
    this.#recorder.failedEntry?.({
      ...{ level: L1, processor: vcpu.index, rule, rip: this.#rip, cr3: this.#cr3 },
      instruction: basic.launch ? 'VMLAUNCH' : 'VMRESUME',
      vmcs: basic.current ? vmcs12 : undefined,
      writers: vmcs12.writers,
      msr: msr === 0 ? undefined : failedMsr(nested, msr),
    });
  }

  #join(nested: NestedVcpu): void {
    const shadow = this.#shadow(nested);
    if (shadow !== undefined) nested.vmcs12.writers?.join(shadow);
  }
  #shadow({ shadow }: NestedVcpu): RegionWriters | undefined {
    return shadow === undefined ? undefined : this.#writers?.region('machine', shadow.region);
  }
}

function failedMsr({ vmcs12, vcpu }: NestedVcpu, number: number): FailedMsr {
  const { memory } = vcpu.machine;
  const entry = addressAt(vmcs12, OFFSET.VM_ENTRY_MSR_LOAD_ADDR) + (number - 1) * MSR_ENTRY_SIZE;
  const [index, low, high] = [memory.read32(entry), memory.read32(entry + 8), memory.read32(entry + 12)];
  return { number, index, low, high };
}
