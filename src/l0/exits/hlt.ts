// SPDX-License-Identifier: Apache-2.0
import { ACTIVITY } from '../../arch/vmx/state-bits.ts';
import { assert } from '../../base/assert.ts';
import type { Vcpu } from '../vcpu.ts';

/** HLT: done as soon as it has halted the processor. The look for events that follows may end it at once. */
export function hlt(vcpu: Vcpu): void {
  vcpu.completeInstruction();
  vcpu.state.activity = ACTIVITY.hlt;
}

/** A triple fault puts a processor into shutdown. What becomes of the machine is up to who runs it. */
export function tripleFault(vcpu: Vcpu): void {
  vcpu.state.activity = ACTIVITY.shutdown;
  vcpu.machine.services.shutdown(vcpu.index, 0);
}

/** Nothing to do: an event for L1 is looked for before every entry. */
export function event(): void {}

/** Exceptions are not intercepted, and nobody in the machine sends NMIs. */
export function exceptionOrNmi(vcpu: Vcpu): void {
  assert(false, `no exception of L1 exits (processor ${vcpu.index})`);
}
