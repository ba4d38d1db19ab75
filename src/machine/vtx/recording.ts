// SPDX-License-Identifier: Apache-2.0
import { OFFSET } from '../../arch/vmx/fields.ts';
import { noRecorder } from '../../trace/recorder.ts';
import type { Recorder } from '../../trace/recorder.ts';
import type { VmxUnit } from './vmx-unit.ts';

const { GUEST_RIP, EXIT_QUALIFICATION, IDT_VECTORING_INFO_FIELD, VM_EXIT_INTR_INFO, VM_EXIT_INTR_ERROR_CODE } = OFFSET;
/** A hypervisor on the machine itself is level 1; what it runs is level 2. */
const GUEST_LEVEL = 2;
const TWO_32 = 0x100000000;

/** Entries and exits of guests of software on the machine. An owner in TypeScript records its own. */
export class VmxRecording {
  private readonly recorder: Recorder;
  private readonly nanoseconds: () => number;

  constructor(recorder: Recorder = noRecorder, nanoseconds: () => number = () => 0) {
    this.recorder = recorder;
    this.nanoseconds = nanoseconds;
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

/** A natural-width field as a signed Number: exact for canonical addresses. */
function wide({ vmcs }: VmxUnit, field: number): number {
  return (vmcs.high(field) | 0) * TWO_32 + vmcs.low(field);
}
