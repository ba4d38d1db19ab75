// SPDX-License-Identifier: Apache-2.0
// The delivery of an event of L2 reached what is no memory, which only devices answer.
// See: SDM Table 6-5 Conditions for Generating a Double Fault

import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { extract } from '../../arch/vmx/bit-field.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { INTERRUPTION_INFORMATION, INTERRUPTION_TYPE } from '../../arch/vmx/qualifications.ts';
import { reachedByWalk } from '../emulator/mmio-emulator.ts';
import { LinearMemory } from '../emulator/linear-memory.ts';
import { readNatural } from '../vmcs-access.ts';
import { countsInstruction } from './clock.ts';
import { ProcessorView } from './composition.ts';
import { interruptedInjection } from './events.ts';
import { exitInformation, hardwareExit } from './exit-information.ts';
import { leaveL2 } from './leave-l2.ts';
import type { NestedVcpu } from './nested-vcpu.ts';

const { GUEST_LINEAR_ADDRESS } = OFFSET;
const DOUBLE_FAULT = 8;
/** Exceptions that a page fault in their delivery makes a double fault: contributory ones, and page faults. */
const DOUBLED_BY_PAGE_FAULT: ReadonlySet<number> = new Set([0, 10, 11, 12, 13, 14, 21]);

/**
 * Page tables where no memory is read as ones: most often that is a page fault by reserved bits, and a double fault if
 * an exception was delivered. All else is L2's triple fault, and where processors do otherwise counted as beyond L0.
 */
export function undeliverable(nested: NestedVcpu): void {
  const { vcpu } = nested;
  const exit = hardwareExit(new ProcessorView(vcpu.processor));
  if (countsInstruction(exit, interruptedInjection(nested))) vcpu.count();
  vcpu.state.vectoring = 0;
  const vector = hardwareExceptionOf(exit.vectoring);
  const pageFault = reachedByWalk(vcpu) && walkFaults(nested);
  if (pageFault && DOUBLED_BY_PAGE_FAULT.has(vector)) return vcpu.raise(DOUBLE_FAULT, 0);
  if (!pageFault || vector !== DOUBLE_FAULT) beyond(nested);
  leaveL2(nested, exitInformation(EXIT_REASON.TRIPLE_FAULT), false);
}

/** Its vector; -1: an interrupt, or an event of software. */
function hardwareExceptionOf(vectoring: number): number {
  const exception = extract(INTERRUPTION_INFORMATION.TYPE, vectoring) === INTERRUPTION_TYPE.hardwareException;
  return exception ? extract(INTERRUPTION_INFORMATION.VECTOR, vectoring) : -1;
}

/** CR2 has the address of the fault, even if it becomes another. */
function walkFaults({ vcpu }: NestedVcpu): boolean {
  const { processor } = vcpu;
  if (!new LinearMemory(vcpu).faults(readNatural(processor, GUEST_LINEAR_ADDRESS))) return false;
  processor.writeRegister('cr2', processor.readLow(GUEST_LINEAR_ADDRESS), processor.readHigh(GUEST_LINEAR_ADDRESS));
  return true;
}

function beyond({ vcpu }: NestedVcpu): void {
  const { unemulated } = vcpu.machine;
  const what = 'delivery of an event of L2 through a device of L1';
  unemulated.set(what, (unemulated.get(what) ?? 0) + 1);
}
