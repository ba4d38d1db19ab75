// SPDX-License-Identifier: Apache-2.0
// L0 emulates an instruction of L2, and one of its accesses exits, by EPT12 or the APIC-access page of vmcs12: the exit that
// the processor would have made. See: SDM 29.3.3 EPT-Induced VM Exits, Table 28-7 Exit Qualification for EPT Violations,
// Table 28-6 Exit Qualification for APIC-Access VM Exits from Linear Accesses and Guest-Physical Accesses

import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { compose } from '../../arch/vmx/bit-field.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { RFLAGS_RF } from '../../arch/vmx/state-bits.ts';
import { APIC_ACCESS } from '../../arch/vmx/qualifications.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { ForbiddenAccess } from '../nested-hooks.ts';
import { EPT } from '../paging/ept-format.ts';
import { exitInformation } from './exit-information.ts';
import type { ExitInformation } from './exit-information.ts';
import { leaveL2 } from './leave-l2.ts';
import type { NestedVcpu } from './nested-vcpu.ts';

const { GUEST_LINEAR_ADDRESS, GUEST_PHYSICAL_ADDRESS, VM_EXIT_INSTRUCTION_LEN } = OFFSET;
const LINEAR_VALID = 1 << 7;
const TRANSLATED = 1 << 8;
const EPTP_ACCESSED_DIRTY = 1 << 6;
const PAGE_BYTES = 0x1000;
const APIC_ACCESS_TYPE = { read: 0, write: 1, guestPhysical: 15 } as const;
const TWO_32 = 0x1_0000_0000;

/** With accessed and dirty flags in EPT12, an access to a paging structure counts as a write, and is reported as both. */
export function neededFor({ eptp12 }: NestedVcpu, needed: number, structure: boolean): number {
  return structure && (eptp12.low & EPTP_ACCESSED_DIRTY) !== 0 ? EPT.READ | EPT.WRITE : needed;
}

/** vmcs02 is current, with the exit for which L0 emulates; the instruction has been counted. */
export function leaveByAccess(nested: NestedVcpu, access: ForbiddenAccess): void {
  const { vcpu } = nested;
  vcpu.rflags |= RFLAGS_RF;
  const at = toL1Physical(nested, access);
  const exit = at < 0 ? exitByEpt12(nested, access) : exitByApicAccess(at, access);
  exit.instructionLength = vcpu.processor.readLow(VM_EXIT_INSTRUCTION_LEN);
  leaveL2(nested, exit, true);
}

/** -1: EPT12 forbids it. */
function toL1Physical(nested: NestedVcpu, { address, needed, structure }: ForbiddenAccess): PhysicalAddress {
  const { ept12, eptp12, multiDimensional } = nested;
  return ept12 ? multiDimensional.translate(eptp12, address, neededFor(nested, needed, structure)) : address;
}

function exitByEpt12(nested: NestedVcpu, { address, needed, linear, structure }: ForbiddenAccess): ExitInformation {
  const { vcpu, multiDimensional, eptp12 } = nested;
  const { processor } = vcpu;
  const wanted = neededFor(nested, needed, structure);
  const outcome = multiDimensional.violation(eptp12, address, wanted);
  const qualificationLow = wanted | (multiDimensional.permissions12 << 3) | LINEAR_VALID | (structure ? 0 : TRANSLATED);
  processor.write(GUEST_PHYSICAL_ADDRESS, address >>> 0, Math.floor(address / TWO_32));
  processor.write(GUEST_LINEAR_ADDRESS, linear >>> 0, Math.floor(linear / TWO_32) >>> 0);
  return outcome === 'misconfiguration'
    ? exitInformation(EXIT_REASON.EPT_MISCONFIG)
    : exitInformation(EXIT_REASON.EPT_VIOLATION, { qualificationLow });
}

function exitByApicAccess(at: PhysicalAddress, { needed, structure }: ForbiddenAccess): ExitInformation {
  const linear = (needed & EPT.WRITE) !== 0 ? APIC_ACCESS_TYPE.write : APIC_ACCESS_TYPE.read;
  const qualificationLow = compose(APIC_ACCESS, {
    OFFSET: at % PAGE_BYTES,
    ACCESS_TYPE: structure ? APIC_ACCESS_TYPE.guestPhysical : linear,
  });
  return exitInformation(EXIT_REASON.APIC_ACCESS, { qualificationLow });
}
