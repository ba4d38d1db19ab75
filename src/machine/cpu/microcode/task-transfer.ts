// SPDX-License-Identifier: Apache-2.0
import { STATUS } from '../interpreter/record.ts';
import type { Processor } from '../processor.ts';
import { STATE } from '../state.ts';
import { raiseException } from './interrupt-delivery.ts';

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
