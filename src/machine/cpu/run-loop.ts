// SPDX-License-Identifier: Apache-2.0
import type { Engine } from './interpreter/engine.ts';
import type { Sampler } from './jit/sampler.ts';
import { branched, codeAddress, stepsBranches } from './branch-steps.ts';
import { MODE } from './mode.ts';
import { SINGLE_STEP } from './microcode/interrupt-delivery.ts';
import { RFLAGS } from './register-bits.ts';
import type { Processor } from './processor.ts';
import { ATTENTION, STATE } from './state.ts';
import type { VmxRunHooks } from '../vtx/hooks.ts';

/** Activity states. See: SDM 25.4.2 Guest Non-Register State. */
export const ACTIVITY = { active: 0, halted: 1, shutdown: 2, waitForSipi: 3 } as const;

const LARGEST_RUN = 0x3fffffff;
const BLOCKING_BY_STI_OR_MOV_SS = 3;
const BLOCKING_BY_STI = 1;
const BLOCKING_BY_MOV_SS = 2;

/** What the run loop asks between instructions. */
export interface EventSource {
  /** Delivers the event of highest priority that may be delivered now, if any; true when it did. */
  deliverPending(cpu: Processor): boolean;
  /** Whether one waits for IF, for the end of a shadow or for a window. */
  waits(): boolean;
  /** Whether an event would end HLT now. */
  wakes(cpu: Processor): boolean;
  /** After an instruction, or the delivery of an event, that these DR6 bits are a trap of. */
  debugTrap(cpu: Processor, debugStatus: number): void;
  /** Before an instruction while debug registers are in use: true when an instruction breakpoint was raised. */
  instructionBreakpoint(cpu: Processor): boolean;
}

/**
 * Runs one processor up to an exact tick: compiled blocks while nothing is wanted, single instructions with the
 * checks between while something is.
 */
export class RunLoop {
  /** Set by the fault delivery: the last instruction did not complete. */
  faultDelivered = false;
  /** VT-x of this processor, if it has any. */
  vmx: VmxRunHooks | undefined;
  private readonly cpu: Processor;
  private readonly engine: Engine;
  private readonly events: EventSource;
  private readonly sampler: Sampler;

  constructor(cpu: Processor, engine: Engine, events: EventSource, sampler: Sampler) {
    this.cpu = cpu;
    this.sampler = sampler;
    this.engine = engine;
    this.events = events;
  }

  /** Returns at `end`, or before when the processor is not active or `stop` or `reschedule` was asked for. */
  runUntil(end: number): void {
    const { cpu } = this;
    const { words } = cpu;
    for (let now = cpu.ticks; now < end; now = cpu.ticks) {
      const deadline = this.vmx === undefined ? Infinity : this.vmx.deadline();
      if (deadline <= now) words[STATE.attention >> 2] |= ATTENTION.vmx;
      if (words[STATE.activity >> 2] !== ACTIVITY.active) {
        if (!this.wake()) return;
        // What VT-x did may have left it halted: its owner looked for events, and entered again.
        if (words[STATE.activity >> 2] !== ACTIVITY.active) continue;
      }
      const attention = words[STATE.attention >> 2];
      if (attention === 0) this.runBlocks(now, Math.min(end, deadline));
      else if (attention === ATTENTION.shadow && this.afterSti()) this.stepInShadow(now);
      else if (!this.attend(attention)) return;
    }
  }

  private runBlocks(now: number, end: number): void {
    const { words } = this.cpu;
    const budget = Math.min(end - now, LARGEST_RUN, this.sampler.left);
    this.setBudget(now, budget);
    words[STATE.mode >> 2] &= ~MODE.single;
    words[STATE.sample >> 2] = 0;
    this.enter();
    if (this.sampler.ran(this.cpu, budget)) return;
    const short =
      words[STATE.remaining >> 2] > 0 &&
      words[STATE.attention >> 2] === 0 &&
      words[STATE.activity >> 2] === ACTIVITY.active;
    if (!short || this.leftByMicrocode()) return;
    words[STATE.mode >> 2] |= MODE.single;
    this.enter();
    words[STATE.mode >> 2] &= ~MODE.single;
  }

  private enter(): void {
    this.engine.run();
    this.cpu.words[STATE.record >> 2] = 0;
  }

  /** Microcode asked to leave although the budget lasts: a long run is simply entered again. */
  private leftByMicrocode(): boolean {
    return this.cpu.words[STATE.remaining >> 2] > 64;
  }

  private setBudget(now: number, budget: number): void {
    this.cpu.runEnd = now + budget;
    this.cpu.words[STATE.remaining >> 2] = budget;
  }

  /** HLT ends by an event; shutdown and wait-for-SIPI are ended by others. */
  private wake(): boolean {
    const { cpu } = this;
    if (this.vmx?.governs) {
      if (!this.events.wakes(cpu)) return false;
      this.events.deliverPending(cpu);
      cpu.words[STATE.attention >> 2] |= ATTENTION.interrupt;
      return true;
    }
    if (cpu.words[STATE.activity >> 2] !== ACTIVITY.halted || !this.events.wakes(cpu)) return false;
    cpu.words[STATE.activity >> 2] = ACTIVITY.active;
    cpu.words[STATE.attention >> 2] |= ATTENTION.interrupt;
    return true;
  }

  /** Does what was asked for; false when the caller is to look. */
  private attend(attention: number): boolean {
    const { words } = this.cpu;
    const leave = ATTENTION.stop | ATTENTION.reschedule;
    if (attention & leave) {
      words[STATE.attention >> 2] &= ~leave;
      return false;
    }
    if (this.trapAfterDelivery()) return true;
    words[STATE.attention >> 2] &= ~(ATTENTION.interrupt | ATTENTION.vmx);
    if (attention & (ATTENTION.interrupt | ATTENTION.vmx) && this.events.deliverPending(this.cpu)) {
      // A handler behind a trap gate may be interrupted at once.
      words[STATE.attention >> 2] |= ATTENTION.interrupt | this.wantedByVmx();
      return true;
    }
    words[STATE.noEventWaits >> 2] = this.events.waits() ? 0 : 1;
    if (attention & (ATTENTION.shadow | ATTENTION.debug | ATTENTION.vmx)) this.step(attention);
    return true;
  }

  /**
   * Breakpoints that the delivery of an event met: the trap comes before its handler, and before other events. It counts
   * as an instruction, so that time goes on even where the debugger's own stack is watched.
   */
  private trapAfterDelivery(): boolean {
    const { cpu } = this;
    if (cpu.breakpoints.hits === 0) return false;
    this.setBudget(cpu.ticks + 1, 0);
    this.events.debugTrap(cpu, cpu.breakpoints.take());
    return true;
  }

  private wantedByVmx(): number {
    return this.vmx?.nonRoot ? this.vmx.attention() : 0;
  }

  /** Only STI casts this shadow, and nothing waits for its end. */
  private afterSti(): boolean {
    const { words } = this.cpu;
    return (
      (words[STATE.interruptibility >> 2] & BLOCKING_BY_STI_OR_MOV_SS) === BLOCKING_BY_STI &&
      (words[STATE.flagsOther >> 2] & RFLAGS.TF) === 0 &&
      words[STATE.noEventWaits >> 2] !== 0
    );
  }

  /** The instruction after STI, when nothing else is to be looked at: what `step` comes to then. */
  private stepInShadow(now: number): void {
    const { words } = this.cpu;
    words[STATE.attention >> 2] = 0;
    this.setBudget(now, 1);
    words[STATE.mode >> 2] |= MODE.single;
    this.enter();
    words[STATE.mode >> 2] &= ~MODE.single;
    this.endShadow(BLOCKING_BY_STI);
  }

  /** One instruction, whatever asks for attention, and what must follow it. */
  private step(attention: number): void {
    const { cpu } = this;
    const { words } = cpu;
    const held = words[STATE.interruptibility >> 2] & BLOCKING_BY_MOV_SS;
    if (attention & ATTENTION.debug && !held && this.events.instructionBreakpoint(cpu)) return;
    const trap = (words[STATE.flagsOther >> 2] & RFLAGS.TF) !== 0;
    const onBranches = trap && stepsBranches(cpu);
    const from = cpu.rip;
    const linear = onBranches ? codeAddress(cpu) : 0;
    const blocking = words[STATE.interruptibility >> 2] & BLOCKING_BY_STI_OR_MOV_SS;
    words[STATE.attention >> 2] = 0;
    this.faultDelivered = false;
    cpu.trapSuppressed = false;
    this.setBudget(cpu.ticks, 1);
    words[STATE.mode >> 2] |= MODE.single;
    this.enter();
    words[STATE.mode >> 2] &= ~MODE.single;
    this.endShadow(blocking);
    const stepped = trap && !this.faultDelivered && !cpu.trapSuppressed;
    this.trapAfterStep(stepped && (!onBranches || branched(cpu, from, linear)));
    if (words[STATE.flagsOther >> 2] & RFLAGS.TF || words[STATE.dr7 >> 2] & 0xff)
      words[STATE.attention >> 2] |= ATTENTION.debug;
    words[STATE.attention >> 2] |= ATTENTION.interrupt | this.wantedByVmx();
  }

  /**
   * MOV SS and POP SS lose the single-step trap that should follow them, and delay the traps of breakpoints.
   * See: SDM 6.8.3 Masking Exceptions and Interrupts When Switching Stacks.
   */
  private trapAfterStep(stepped: boolean): void {
    const { cpu } = this;
    const { words, breakpoints } = cpu;
    if (words[STATE.interruptibility >> 2] & BLOCKING_BY_MOV_SS) return breakpoints.hold();
    const activity = words[STATE.activity >> 2];
    if (activity > ACTIVITY.halted) return breakpoints.clear();
    const status = breakpoints.take() | (stepped ? SINGLE_STEP : 0);
    if (status === 0) return;
    // HLT and MWAIT do not get to wait.
    words[STATE.activity >> 2] = ACTIVITY.active;
    this.events.debugTrap(cpu, status);
  }

  /** The shadow held for one instruction, unless that one cast a new one. */
  private endShadow(before: number): void {
    const { words } = this.cpu;
    if ((words[STATE.attention >> 2] & ATTENTION.shadow) === 0 && before !== 0)
      words[STATE.interruptibility >> 2] &= ~BLOCKING_BY_STI_OR_MOV_SS;
  }
}
