// SPDX-License-Identifier: Apache-2.0
import { OFFSET } from '../../arch/vmx/fields.ts';
import { INTERRUPTION_TYPE } from '../../arch/vmx/qualifications.ts';
import { deliver, raiseException, softwareInterrupt } from '../cpu/microcode/interrupt-delivery.ts';
import type { Event, EventKind } from '../cpu/microcode/exceptions.ts';
import { STATUS } from '../cpu/interpreter/record.ts';
import type { Processor } from '../cpu/processor.ts';
import { STATE } from '../cpu/state.ts';
import { BLOCKING } from './exit.ts';
import { MTF } from './vmx-state.ts';
import type { VmxUnit } from './vmx-unit.ts';

const { VM_ENTRY_INTR_INFO_FIELD, VM_ENTRY_EXCEPTION_ERROR_CODE, VM_ENTRY_INSTRUCTION_LEN } = OFFSET;

const VALID = 0x80000000;
const DELIVER_ERROR_CODE = 0x800;

// prettier-ignore
const KIND_OF: { readonly [type: number]: EventKind } = {
  [INTERRUPTION_TYPE.externalInterrupt]:           'external',
  [INTERRUPTION_TYPE.nmi]:                         'nmi',
  [INTERRUPTION_TYPE.hardwareException]:           'fault',
  [INTERRUPTION_TYPE.softwareInterrupt]:           'software',
  [INTERRUPTION_TYPE.privilegedSoftwareException]: 'privilegedSoftware',
  [INTERRUPTION_TYPE.softwareException]:           'softwareException',
};

/**
 * Delivers the event that VM entry injects, if any: it is not intercepted itself, but what comes up in its delivery is.
 * Debug exceptions stay pending only behind a MOV SS, for a software interrupt or exception as if it were executed there.
 * See: SDM 27.6.1 Vectored-Event Injection, 27.6.2 Injection of Pending MTF VM Exits, 27.7.3 Delivery of Pending Debug
 * Exceptions after VM Entry
 */
export function injectEvent(unit: VmxUnit): void {
  const { vmcs, state } = unit;
  const information = vmcs.low(VM_ENTRY_INTR_INFO_FIELD);
  if ((information & VALID) === 0) return;
  const type = (information >>> 8) & 7;
  if (type === INTERRUPTION_TYPE.otherEvent) {
    state.monitorTrap = MTF.now;
    return;
  }
  if (state.monitorTrap !== MTF.none) state.monitorTrap = MTF.now;
  const errorCode = information & DELIVER_ERROR_CODE ? vmcs.low(VM_ENTRY_EXCEPTION_ERROR_CODE) : -1;
  const software = type >= INTERRUPTION_TYPE.softwareInterrupt;
  const length = software ? vmcs.low(VM_ENTRY_INSTRUCTION_LEN) : 0;
  const event: Event = {
    vector: information & 0xff,
    kind: KIND_OF[type],
    ...{ errorCode, injected: true },
    ...(software ? { instructionLength: length } : {}),
  };
  if (!software || !movSsBlocks(unit)) state.pendingDebugExceptions = 0;
  unit.injecting = unit.exempt = true;
  unit.settle(software ? injectSoftware(unit.cpu, event, length) : deliver(unit.cpu, event));
  unit.injecting = unit.exempt = false;
}

const movSsBlocks = ({ cpu }: VmxUnit): boolean => (cpu.words[STATE.interruptibility >> 2] & BLOCKING.movSs) !== 0;

/** The return address lies behind the instruction; RIP itself stays where it was if the delivery does not succeed. */
function injectSoftware(cpu: Processor, event: Event, length: number): 'delivered' | 'intercepted' | 'shutdown' {
  const { rip } = cpu;
  cpu.rip = cpu.code64 ? rip + length : (rip + length) % 0x100000000;
  if (softwareInterrupt(cpu, event) === STATUS.next) return 'delivered';
  cpu.rip = rip;
  return raiseException(cpu);
}
