// SPDX-License-Identifier: Apache-2.0
// The delivery of an event of L2 reached what is no memory, which only devices answer.
// See: SDM Table 6-5 Conditions for Generating a Double Fault

import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { extract } from '../../arch/vmx/bit-field.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { INTERRUPTION_INFORMATION, INTERRUPTION_TYPE } from '../../arch/vmx/qualifications.ts';
import { reachedByWalk } from '../emulator/mmio-emulator.ts';
import { LinearMemory } from '../emulator/linear-memory.ts';
import type { Vcpu } from '../vcpu.ts';
import { readNatural } from '../vmcs-access.ts';
import { countsInstruction } from './clock.ts';
import { ProcessorView } from './composition.ts';
import { interruptedInjection } from './events.ts';
import { exceptionExits } from './exit-conditions.ts';
import { exitInformation, hardwareExit } from './exit-information.ts';
import type { ExitInformation } from './exit-information.ts';
import { leaveL2 } from './leave-l2.ts';
import type { NestedVcpu } from './nested-vcpu.ts';

const { GUEST_LINEAR_ADDRESS, GUEST_IDTR_BASE, GUEST_IDTR_LIMIT, GUEST_GDTR_BASE, GUEST_GDTR_LIMIT } = OFFSET;
const DOUBLE_FAULT = 8;
const PAGE_FAULT = 14;
/** A hardware exception with an error code. */
const PAGE_FAULT_INFORMATION = 0x80000b0e;

/**
 * Page tables where no memory is read as ones: most often that is a page fault by reserved bits, which makes the event
 * another, and may be L1's. All else is L2's triple fault, and counted as beyond L0.
 */
export function undeliverable(nested: NestedVcpu): void {
  const { vcpu } = nested;
  const exit = hardwareExit(new ProcessorView(vcpu.processor));
  if (countsInstruction(exit, interruptedInjection(nested))) vcpu.count();
  vcpu.state.vectoring = 0;
  const errorCode = walkFault(vcpu);
  if (errorCode < 0) beyond(vcpu);
  else if (exceptionExits(nested.vmcs12, PAGE_FAULT, errorCode)) return leaveByPageFault(nested, exit, errorCode);
  else if (faultsInstead(vcpu, exit.vectoring, errorCode)) return;
  leaveL2(nested, exitInformation(EXIT_REASON.TRIPLE_FAULT), false);
}

/**
 * Error code of the page fault, if the processor was reading a descriptor; -1: it was not, or the walk found no fault. Where
 * it writes, on the stack, L0 does not know with which privilege.
 */
function walkFault(vcpu: Vcpu): number {
  const linear = readNatural(vcpu.processor, GUEST_LINEAR_ADDRESS);
  const descriptor =
    within(vcpu, linear, GUEST_IDTR_BASE, GUEST_IDTR_LIMIT) || within(vcpu, linear, GUEST_GDTR_BASE, GUEST_GDTR_LIMIT);
  return descriptor && reachedByWalk(vcpu) ? new LinearMemory(vcpu).descriptorFault(linear) : -1;
}

function within({ processor }: Vcpu, linear: number, base: number, limit: number): boolean {
  const offset = linear - readNatural(processor, base);
  return offset >= 0 && offset <= processor.readLow(limit);
}

function leaveByPageFault(nested: NestedVcpu, exit: ExitInformation, errorCode: number): void {
  const { processor } = nested.vcpu;
  leaveL2(
    nested,
    {
      ...{ ...exit, reason: EXIT_REASON.EXCEPTION_NMI, interruption: PAGE_FAULT_INFORMATION, errorCode },
      ...{ qualificationLow: processor.readLow(GUEST_LINEAR_ADDRESS) },
      ...{ qualificationHigh: processor.readHigh(GUEST_LINEAR_ADDRESS) },
    },
    false,
  );
}

/**
 * L2 takes the page fault instead, contributory exceptions included; in place of a page fault it takes a double fault, and
 * CR2 has the second address. False: it was delivering one.
 */
function faultsInstead(vcpu: Vcpu, vectoring: number, errorCode: number): boolean {
  const { processor } = vcpu;
  const exception = extract(INTERRUPTION_INFORMATION.TYPE, vectoring) === INTERRUPTION_TYPE.hardwareException;
  const vector = exception ? extract(INTERRUPTION_INFORMATION.VECTOR, vectoring) : -1;
  if (vector === DOUBLE_FAULT) return false;
  processor.writeRegister('cr2', processor.readLow(GUEST_LINEAR_ADDRESS), processor.readHigh(GUEST_LINEAR_ADDRESS));
  if (vector === PAGE_FAULT) vcpu.raise(DOUBLE_FAULT, 0);
  else vcpu.raisePageFault(readNatural(processor, GUEST_LINEAR_ADDRESS), errorCode);
  return true;
}

function beyond({ machine: { unemulated } }: Vcpu): void {
  const what = 'delivery of an event of L2 through a device of L1';
  unemulated.set(what, (unemulated.get(what) ?? 0) + 1);
}
