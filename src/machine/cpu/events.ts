// SPDX-License-Identifier: Apache-2.0
import type { LocalApic } from '../../devices/lapic.ts';
import type { ProcessorSignals } from '../../hardware/processor.ts';
import { mwaitEnds } from './microcode/monitor.ts';
import { debugTrap, deliver } from './microcode/interrupt-delivery.ts';
import type { Delivery } from './microcode/interrupt-delivery.ts';
import type { Event } from './microcode/exceptions.ts';
import { RFLAGS } from './register-bits.ts';
import type { Processor } from './processor.ts';
import { resetProcessor, startUp } from './reset.ts';
import { ACTIVITY } from './run-loop.ts';
import type { EventSource } from './run-loop.ts';
import { timeChanged } from './timing.ts';
import { ATTENTION, CS, STATE } from './state.ts';
import type { EventPorts, VmxRunHooks } from '../vtx/hooks.ts';

const NMI_VECTOR = 2;
const BLOCKING = { sti: 1, movSs: 2, nmi: 8 } as const;
const DEBUG_EXCEPTION = 1;

/** INIT, SIPI, NMI and interrupts of one processor: what is pending, and when it may be delivered. */
export class ProcessorEvents implements EventSource, ProcessorSignals, EventPorts {
  localApic: LocalApic | undefined;
  /** VT-x of this processor, if it has any. */
  vmx: VmxRunHooks | undefined;
  pendingNmi = false;
  pendingInit = false;
  /** Vector of a start-up IPI that waits, or -1. */
  pendingStartup = -1;
  private readonly cpu: Processor;
  private readonly signature: number;
  private readonly bootProcessor: boolean;
  private readonly settle: (delivery: Delivery) => void;

  /** `signature` is CPUID.1:EAX; `settle` turns a shutdown or an intercepted event into what it means. */
  constructor(cpu: Processor, signature: number, bootProcessor: boolean, settle: (delivery: Delivery) => void) {
    this.cpu = cpu;
    this.signature = signature;
    this.bootProcessor = bootProcessor;
    this.settle = settle;
  }

  interruptsChanged(): void {
    this.cpu.words[STATE.attention >> 2] |= ATTENTION.interrupt;
  }
  nmi(): void {
    this.pendingNmi = true;
    this.interruptsChanged();
  }
  init(): void {
    this.pendingInit = true;
    this.interruptsChanged();
  }
  startup(vector: number): void {
    const waits = this.cpu.words[STATE.activity >> 2] === ACTIVITY.waitForSipi;
    const soon = this.pendingInit && !this.vmx?.nonRoot && !this.vmx?.blocksInit;
    if (waits || soon) this.pendingStartup = vector;
  }

  wakes(): boolean {
    if (this.vmx?.governs) return this.vmx.wakes(this);
    return (
      (this.pendingInit && !this.vmx?.blocksInit) ||
      this.nmiPossible() ||
      this.interruptPossible() ||
      mwaitEnds(this.cpu)
    );
  }

  waits(): boolean {
    return (
      this.pendingInit || this.pendingNmi || this.interruptWaits() || (this.vmx?.governs === true && this.vmx.waits)
    );
  }

  /** See: SDM 6.9 Priority Among Concurrent Events (Table Priority Among Concurrent Events). */
  deliverPending(cpu: Processor): boolean {
    if (this.vmx?.governs) return this.vmx.beforeInstruction(this);
    if (this.pendingInit && !this.vmx?.blocksInit) return this.initialize();
    if (this.nmiPossible()) {
      this.pendingNmi = false;
      return this.deliver({ vector: NMI_VECTOR, kind: 'nmi', errorCode: -1 });
    }
    if (!this.interruptPossible()) return false;
    cpu.words[STATE.activity >> 2] = ACTIVITY.active;
    return this.deliver({ vector: this.acknowledge(), kind: 'external', errorCode: -1 });
  }

  /** For a processor that waits for a start-up IPI: true when one came. */
  takeStartup(): boolean {
    if (this.vmx?.governs) return this.vmx.wakes(this) && this.vmx.beforeInstruction(this);
    if (this.pendingInit) this.initialize();
    if (this.pendingStartup < 0 || this.cpu.words[STATE.activity >> 2] !== ACTIVITY.waitForSipi) return false;
    startUp(this.cpu, this.pendingStartup);
    this.pendingStartup = -1;
    return true;
  }

  debugTrap(cpu: Processor, debugStatus: number): void {
    if (this.vmx?.nonRoot) this.vmx.pendDebugException(debugStatus);
    else this.settle(debugTrap(cpu, debugStatus));
  }

  /**
   * It takes the time of an instruction, whatever comes of its delivery, or time would stand still where a handler has a
   * breakpoint at its begin.
   * See: SDM 18.2.4 Debug Control Register (DR7), 18.3.1.1 Instruction-Breakpoint Exception Condition.
   */
  instructionBreakpoint(cpu: Processor): boolean {
    const { words } = cpu;
    const dr7 = words[STATE.dr7 >> 2];
    if ((dr7 & 0xff) === 0 || words[STATE.flagsOther >> 2] & RFLAGS.RF) {
      words[STATE.flagsOther >> 2] &= ~RFLAGS.RF;
      return false;
    }
    let hits = 0;
    const linear = cpu.code64 ? cpu.rip : (cpu.segmentBase(CS) + cpu.rip) % 0x100000000;
    for (let n = 0; n < 4; n++) {
      const enabled = (dr7 >> (2 * n)) & 3;
      const execute = ((dr7 >>> (16 + 4 * n)) & 0xf) === 0;
      if (enabled && execute && cpu.getSigned(STATE.dr0 + 8 * n) === linear) hits |= 1 << n;
    }
    if (hits === 0) return false;
    words[STATE.remaining >> 2]--;
    return this.deliver({ vector: DEBUG_EXCEPTION, kind: 'fault', errorCode: -1, debugStatus: hits });
  }

  interruptWaits(): boolean {
    return this.localApic?.interruptPending() ?? false;
  }
  acknowledge(): number {
    return this.localApic?.acknowledge() ?? 0;
  }
  deliverEvent(event: Event): void {
    this.settle(deliver(this.cpu, event));
  }

  private nmiPossible(): boolean {
    return (
      this.pendingNmi &&
      (this.cpu.words[STATE.interruptibility >> 2] & (BLOCKING.nmi | BLOCKING.movSs | BLOCKING.sti)) === 0
    );
  }
  private interruptPossible(): boolean {
    const { words } = this.cpu;
    if (
      (words[STATE.flagsOther >> 2] & RFLAGS.IF) === 0 ||
      words[STATE.interruptibility >> 2] & (BLOCKING.sti | BLOCKING.movSs)
    )
      return false;
    return this.interruptWaits();
  }

  private initialize(): boolean {
    this.pendingInit = false;
    this.localApic?.initialize();
    resetProcessor(this.cpu, 'init', this.signature);
    timeChanged(this.cpu);
    if (!this.bootProcessor) this.cpu.words[STATE.activity >> 2] = ACTIVITY.waitForSipi;
    return true;
  }

  private deliver(event: Event): true {
    this.deliverEvent(event);
    return true;
  }
}
