// SPDX-License-Identifier: Apache-2.0
// What can be said of the moment at which a guest brought its machine to an end: level, place, cause, and the exit of
// its own guest that it was handling.

import { exitReasonText } from '../formats/ftrace.ts';
import { OFFSET } from '../arch/vmx/fields.ts';
import { vmxAbortText } from '../arch/vmx/errors.ts';
import { hex } from '../base/hex.ts';
import { VECTOR } from '../machine/cpu/microcode/exceptions.ts';
import { eventHooks } from '../machine/cpu/microcode/interrupt-delivery.ts';
import { STATE } from '../machine/cpu/state.ts';
import type { RunRecorder } from '../trace/recorder.ts';
import type { AnyPc } from './make-pc.ts';
import type { PcEnd } from './pc.ts';
import { grouped } from './quantities.ts';

type Shutdown = Extract<PcEnd, { kind: 'shutdown' }>;

const GUEST_OF_L1 = 2;

/** Why a processor of L1 is in shutdown, in one sentence. */
export function shutdownReason(pc: AnyPc, { processor, abortIndicator }: Shutdown): string {
  if (abortIndicator !== 0)
    return `L1 shut down: a VM exit of L2 could not be completed (VMX abort ${abortIndicator}, ${vmxAbortText(abortIndicator)})`;
  const trail = eventHooks(pc.machine.processors[processor]!.cpu).tripleFault;
  if (trail === undefined) return 'L1 shut down after a triple fault: an event was delivered through device memory';
  return `L1 shut down after a triple fault: it began with ${nameOf(trail.first)} and ended with ${nameOf(trail.last)} in the delivery of #DF`;
}

/** Where that was, and what L2 had to do with it; a line each. */
export function shutdownPlace(pc: AnyPc, { processor }: Shutdown, recorder: RunRecorder): string[] {
  const { cpu } = pc.machine.processors[processor]!;
  const registers = `RIP ${hex(ripOf(pc, processor))}, CR3 ${hex(cpu.get64(STATE.cr3))}, CR2 ${hex(cpu.get64(STATE.cr2))}`;
  return [
    `L1 at ${registers}, processor ${processor}, instruction ${grouped(pc.machine.instructions)}`,
    ...underWay(processor, recorder),
  ];
}

/** The exit of L2 that L1 was still handling, if it was. */
export function underWay(processor: number, recorder: RunRecorder): string[] {
  const exit = recorder.exitsOf(GUEST_OF_L1).unanswered(processor);
  if (exit === undefined) return [];
  return [`while it handled an exit of L2: ${exitReasonText(exit.reason)} rip ${hex(exit.rip)}`];
}

/** As L1 sees it. Under L0 the processor has left L1, and it is in the VMCS. */
function ripOf(pc: AnyPc, processor: number): number {
  if (!('l0' in pc)) return pc.machine.processors[processor]!.cpu.rip;
  const owner = pc.l0.vcpus[processor]!.processor;
  return (owner.readHigh(OFFSET.GUEST_RIP) | 0) * 0x1_0000_0000 + owner.readLow(OFFSET.GUEST_RIP);
}

function nameOf(vector: number): string {
  const name = Object.entries(VECTOR).find(([, value]) => value === vector)?.[0];
  return name === undefined ? `vector ${vector}` : `#${name}`;
}
