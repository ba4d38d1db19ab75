// SPDX-License-Identifier: Apache-2.0
import { STATUS } from '../interpreter/record.ts';
import type { Processor } from '../processor.ts';
import { STATE, TR } from '../state.ts';
import { tableAddress } from './descriptors.ts';
import { implicitClass } from './implicit-access.ts';
import { raiseException } from './interrupt-delivery.ts';
import { switchTask } from './task-switch.ts';

const SHUTDOWN = 2;

/** What an instruction that switched tasks returns: a fault of the new task is raised in it, at its instruction pointer. */
export function finishTaskSwitch(cpu: Processor, switched: boolean): number {
  if (!cpu.faulted) return STATUS.next;
  if (!switched) return STATUS.fault;
  const outcome = raiseException(cpu);
  if (outcome === 'delivered') return STATUS.next;
  if (outcome === 'shutdown') cpu.words[STATE.activity >> 2] = SHUTDOWN;
  return STATUS.exit;
}

/** IRET with NT set: back to the task whose selector the current one holds. See: SDM 8.3 Task Switching. */
export function returnFromTask(cpu: Processor): number {
  const link = cpu.load16(tableAddress(cpu, cpu.segmentBase(TR), 0), implicitClass(cpu));
  return cpu.faulted ? STATUS.fault : finishTaskSwitch(cpu, switchTask(cpu, link, 'iret', -1));
}
