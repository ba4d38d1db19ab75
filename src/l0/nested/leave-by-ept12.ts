// SPDX-License-Identifier: Apache-2.0
// L0 emulates an instruction of L2, and EPT12 forbids one of its accesses: the exit that the processor would have made.
// See: SDM 29.3.3 EPT-Induced VM Exits, Table 28-7 Exit Qualification for EPT Violations

import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import type { ForbiddenAccess } from '../nested-hooks.ts';
import { EPT } from '../paging/ept-format.ts';
import { exitInformation } from './exit-information.ts';
import { leaveL2 } from './leave-l2.ts';
import type { NestedVcpu } from './nested-vcpu.ts';

const { GUEST_LINEAR_ADDRESS, GUEST_PHYSICAL_ADDRESS, VM_EXIT_INSTRUCTION_LEN } = OFFSET;
const LINEAR_VALID = 1 << 7;
const TRANSLATED = 1 << 8;
const EPTP_ACCESSED_DIRTY = 1 << 6;
const RFLAGS_RF = 1 << 16;
const TWO_32 = 0x1_0000_0000;

/** With accessed and dirty flags in EPT12, an access to a paging structure counts as a write, and is reported as both. */
export function neededFor({ eptp12 }: NestedVcpu, needed: number, structure: boolean): number {
  return structure && (eptp12.low & EPTP_ACCESSED_DIRTY) !== 0 ? EPT.READ | EPT.WRITE : needed;
}

/** vmcs02 is current, with the exit for which L0 emulates; the instruction has been counted. */
export function leaveByEpt12(nested: NestedVcpu, { address, needed, linear, structure }: ForbiddenAccess): void {
  const { vcpu, multiDimensional, eptp12 } = nested;
  const { processor } = vcpu;
  const wanted = neededFor(nested, needed, structure);
  const outcome = multiDimensional.violation(eptp12, address, wanted);
  const qualificationLow = wanted | (multiDimensional.permissions12 << 3) | LINEAR_VALID | (structure ? 0 : TRANSLATED);
  processor.write(GUEST_PHYSICAL_ADDRESS, address >>> 0, Math.floor(address / TWO_32));
  processor.write(GUEST_LINEAR_ADDRESS, linear >>> 0, Math.floor(linear / TWO_32) >>> 0);
  vcpu.rflags |= RFLAGS_RF;
  const instructionLength = processor.readLow(VM_EXIT_INSTRUCTION_LEN);
  const exit =
    outcome === 'misconfiguration'
      ? exitInformation(EXIT_REASON.EPT_MISCONFIG, { instructionLength })
      : exitInformation(EXIT_REASON.EPT_VIOLATION, { instructionLength, qualificationLow });
  leaveL2(nested, exit, true);
}
