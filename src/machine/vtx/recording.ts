// SPDX-License-Identifier: Apache-2.0
import type { EntryRule } from '../../arch/vmx/entry-check-row.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { MSR_ENTRY_SIZE } from '../../arch/vmx/msr-load-rules.ts';
import { addressAt } from '../../arch/vmx/vmcs-view.ts';
import type { Instruction } from '../../decode/instruction.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { FailedMsr } from '../../trace/failed-entry.ts';
import type { FieldWriters, RegionWriters } from '../../trace/field-writers.ts';
import { noRecorder } from '../../trace/recorder.ts';
import type { Recorder } from '../../trace/recorder.ts';
import { readPhysical32 } from './vmcs.ts';
import type { Vmcs } from './vmcs.ts';
import type { VmxUnit } from './vmx-unit.ts';

const { GUEST_RIP, EXIT_QUALIFICATION, IDT_VECTORING_INFO_FIELD, VM_EXIT_INTR_INFO, VM_EXIT_INTR_ERROR_CODE } = OFFSET;
/** A hypervisor on the machine itself is level 1; what it runs is level 2. */
const GUEST_LEVEL = 2;
const TWO_32 = 0x100000000;

/** Entries and exits of guests of software on the machine. An owner in TypeScript records its own. */
export class VmxRecording {
  /** Of the shadow VMCS that non-root operation wrote last. */
  private shadow: RegionWriters | undefined;
  private shadowAddress = -1;
  private readonly recorder: Recorder;
  private readonly nanoseconds: () => number;

  constructor(recorder: Recorder = noRecorder, nanoseconds: () => number = () => 0) {
    this.recorder = recorder;
    this.nanoseconds = nanoseconds;
  }

  /** VMPTRLD by software on the machine. An owner's own VMCSs have no instruction that wrote them. */
  loaded(unit: VmxUnit, address: PhysicalAddress): void {
    unit.vmcs.writers = unit.owner === undefined ? this.recorder.writers?.region('machine', address) : undefined;
  }
  cleared(unit: VmxUnit, address: PhysicalAddress): void {
    const { writers } = this.recorder;
    if (unit.owner === undefined) writers?.region('machine', address).cleared(writers.instructions());
  }
  /** VMWRITE has written a field of the current VMCS or, from non-root operation, of the shadow VMCS. */
  wrote(unit: VmxUnit, vmcs: Vmcs, offset: number, { length }: Instruction): void {
    const { writers } = this.recorder;
    if (writers === undefined) return;
    const region = vmcs === unit.vmcs ? vmcs.writers : this.shadowRegion(unit.shadowAddress, writers);
    region?.wrote(offset, unit.cpu.rip - length, writers.instructions(), vmcs.low(offset), vmcs.high(offset));
  }
  /** Before a VM exit saves anything. */
  exiting({ vmcs }: VmxUnit): void {
    if (vmcs.writers !== undefined) vmcs.exitedAt = this.recorder.writers?.instructions() ?? 0;
  }
  private shadowRegion(address: PhysicalAddress, writers: FieldWriters): RegionWriters {
    if (this.shadow !== undefined && this.shadowAddress === address) return this.shadow;
    this.shadowAddress = address;
    return (this.shadow = writers.region('machine', address));
  }

  /** VMLAUNCH or VMRESUME by software on the machine broke a rule. `msr` is the entry of the list, from 1, that failed. */
  failed(unit: VmxUnit, rule: EntryRule, msr = 0): void {
    unit.lastEntryFailure = rule;
    if (unit.owner !== undefined) return;
    const { vmcs, cpu, basic } = unit;
    this.recorder.failedEntry?.({
      ...{ level: GUEST_LEVEL - 1, processor: cpu.index, rule },
      ...{ rip: unit.enteringRip, cr3: unit.enteringCr3 },
      instruction: basic.launch ? 'VMLAUNCH' : 'VMRESUME',
      vmcs: basic.current ? vmcs : undefined,
      writers: basic.current ? vmcs.writers : undefined,
      msr: msr === 0 ? undefined : failedMsr(unit, msr),
    });
  }

  entered(unit: VmxUnit): void {
    if (unit.owner !== undefined) return;
    const vcpu = unit.cpu.index;
    this.recorder.entry(GUEST_LEVEL, vcpu, this.nanoseconds());
    if (!this.recorder.tracing) return;
    this.recorder.event('kvm_entry', 1, vcpu, this.nanoseconds(), { vcpu_id: vcpu, rip: wide(unit, GUEST_RIP) });
  }

  /** The exit's information is in the current VMCS. `reason` with its flags. */
  exited(unit: VmxUnit, reason: number): void {
    if (unit.owner !== undefined) return;
    const vcpu = unit.cpu.index;
    this.recorder.exit(GUEST_LEVEL, vcpu, reason >>> 0, wide(unit, GUEST_RIP), this.nanoseconds());
    if (!this.recorder.tracing) return;
    this.recorder.event('kvm_exit', 1, vcpu, this.nanoseconds(), {
      vcpu_id: vcpu,
      exit_reason: reason >>> 0,
      guest_rip: wide(unit, GUEST_RIP),
      info1: wide(unit, EXIT_QUALIFICATION),
      info2: unit.vmcs.low(IDT_VECTORING_INFO_FIELD),
      intr_info: unit.vmcs.low(VM_EXIT_INTR_INFO),
      error_code: unit.vmcs.low(VM_EXIT_INTR_ERROR_CODE),
    });
  }
}

function failedMsr({ vmcs, cpu: { memory } }: VmxUnit, number: number): FailedMsr {
  const entry = addressAt(vmcs, OFFSET.VM_ENTRY_MSR_LOAD_ADDR) + (number - 1) * MSR_ENTRY_SIZE;
  const [low, high] = [readPhysical32(memory, entry + 8), readPhysical32(memory, entry + 12)];
  return { number, index: readPhysical32(memory, entry), low, high };
}

/** A natural-width field as a signed Number: exact for canonical addresses. */
function wide({ vmcs }: VmxUnit, field: number): number {
  return (vmcs.high(field) | 0) * TWO_32 + vmcs.low(field);
}
