// SPDX-License-Identifier: Apache-2.0
import { RFLAGS } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { VECTOR } from './exceptions.ts';
import type { Event } from './exceptions.ts';

const INSTRUCTION_BREAKPOINTS = 0xf;

/**
 * RFLAGS as an event's handler finds it on its stack. RF is set for faults, so that the instruction breakpoint on the
 * faulting instruction does not trigger again; an injected event leaves it to who injects.
 * See: SDM 18.3.1.1 Instruction-Breakpoint Exception Condition, 27.6.1.1 Details of Vectored-Event Injection
 */
export function pushedFlags(cpu: Processor, event: Event): number {
  const flags = cpu.rflags;
  if (event.injected === true || event.kind === 'external' || event.kind === 'nmi' || event.vector === VECTOR.DF)
    return flags;
  const byBreakpoint = event.vector === VECTOR.DB && ((event.debugStatus ?? 0) & INSTRUCTION_BREAKPOINTS) !== 0;
  return event.kind === 'fault' && !byBreakpoint ? flags | RFLAGS.RF : flags & ~RFLAGS.RF;
}
