// SPDX-License-Identifier: Apache-2.0
import { extract } from '../../arch/vmx/bit-field.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { APIC_ACCESS, EPT_VIOLATION } from '../../arch/vmx/qualifications.ts';
import { BLOCKING_BY_NMI } from '../../arch/vmx/state-bits.ts';
import { assert } from '../../base/assert.ts';
import { emulateInstruction } from '../emulator/mmio-emulator.ts';
import type { Vcpu } from '../vcpu.ts';
import { readAddress, readNatural, setBits } from '../vmcs-access.ts';
import { tripleFault } from './hlt.ts';

const { EXIT_QUALIFICATION, GUEST_PHYSICAL_ADDRESS, GUEST_INTERRUPTIBILITY_INFO } = OFFSET;
/** Access types of an APIC access that are an instruction's own: data read, data write, fetch. */
const LAST_LINEAR_ACCESS = 2;

/** EPT violation: an address of L1 where no memory is. A device's registers, or nothing at all. */
export function eptViolation(vcpu: Vcpu): void {
  const { processor, machine, state } = vcpu;
  const address = readAddress(processor, GUEST_PHYSICAL_ADDRESS);
  assert(!machine.memory.isRam(address), `EPT01 maps all memory of L1, but not ${address.toString(16)}`);
  const qualification = processor.readLow(EXIT_QUALIFICATION);
  const { recorder, time } = machine;
  if (recorder.tracing)
    recorder.event('kvm_page_fault', 0, vcpu.index, time.nanoseconds(), {
      vcpu_id: vcpu.index,
      guest_rip: readNatural(processor, OFFSET.GUEST_RIP),
      fault_address: address,
      error_code: qualification,
    });
  if (state.vectoring !== 0) return undeliverable(vcpu);
  // IRET had unblocked NMIs before it faulted, and is going to be executed again.
  if (extract(EPT_VIOLATION.NMI_UNBLOCKING, qualification) === 1)
    setBits(processor, GUEST_INTERRUPTIBILITY_INFO, BLOCKING_BY_NMI, true);
  emulateInstruction(vcpu);
}

/** An access to the page of the local APIC in its usual place; whether one is there now is for the access to find out. */
export function apicAccess(vcpu: Vcpu): void {
  const type = extract(APIC_ACCESS.ACCESS_TYPE, vcpu.processor.readLow(EXIT_QUALIFICATION));
  if (vcpu.state.vectoring !== 0 || type > LAST_LINEAR_ACCESS) return undeliverable(vcpu);
  emulateInstruction(vcpu);
}

/**
 * The guest delivers an event through tables or a stack in device memory: on real machines that ends in shutdown as
 * well. What L2 does to itself is no end of L1.
 */
function undeliverable(vcpu: Vcpu): void {
  vcpu.state.vectoring = 0;
  if (vcpu.state.level === 1) tripleFault(vcpu);
  else vcpu.machine.nested?.undeliverable(vcpu);
}

/** EPT01 is L0's own. */
export function eptMisconfiguration(vcpu: Vcpu): void {
  assert(false, `EPT01 is well-formed at ${readAddress(vcpu.processor, GUEST_PHYSICAL_ADDRESS).toString(16)}`);
}
