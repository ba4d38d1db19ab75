// SPDX-License-Identifier: Apache-2.0
import { editsWithoutEffect } from '../arch/cpuid.ts';
import type { BootPlan, BootRequest } from '../boot/plan.ts';
import { JournalWriter } from '../replay/journal.ts';
import type { Recorder, RunRecorder } from '../trace/recorder.ts';
import type { CompilationCounts } from './compilation.ts';
import type { ConsoleChannel } from './console-channel.ts';
import type { HypervisorChoice } from './hypervisor.ts';
import { shutdownPlace, shutdownReason, underWay } from './last-moments.ts';
import { makePc } from './make-pc.ts';
import type { AnyPc } from './make-pc.ts';
import type { PcEnd, PcOptions } from './pc.ts';
import { placesOf } from './positions.ts';
import type { Runnable } from './slices.ts';
import { summarize } from './summary.ts';
import type { RunSummary } from './summary.ts';

const BOOT_PROCESSOR = 0;

export interface SessionDescription {
  readonly pc: Omit<PcOptions, 'serial'>;
  /** COM1 first. They outlive a reset. */
  readonly consoles: readonly ConsoleChannel[];
  readonly boot: BootRequest;
  readonly hypervisor: HypervisorChoice;
  readonly recorder: Recorder;
}

/** A PC that is booted, and can be booted again from the same files. */
export class Session implements Runnable {
  pc: AnyPc;
  /** What was asked for, of the processor or the loader, and has no effect. */
  readonly remarks: BootPlan['remarks'];
  readonly description: SessionDescription;
  /** What came in from outside: with it the run can be had again. */
  readonly journal = new JournalWriter();
  /** Of the power-ons before this one. */
  #instructionsBefore = 0;

  /** Throws UserError when the kernel cannot be booted on this PC. */
  constructor(description: SessionDescription) {
    this.description = description;
    const { writers } = description.recorder;
    if (writers !== undefined) writers.instructions = () => this.instructions;
    this.pc = this.#build();
    description.consoles.forEach((console, index) => {
      console.onTyped = (bytes) => this.journal.input(index, bytes);
    });
    const absent = editsWithoutEffect(description.pc.cpuFeatures ?? []);
    const { remarks } = this.pc.boot(description.boot);
    this.remarks = [...absent.map((edit) => `CPU feature ${edit}: the processor does not have it`), ...remarks];
  }

  get ticks(): number {
    return this.pc.machine.ticks;
  }
  get nanoseconds(): number {
    return this.pc.machine.schedule.nanoseconds();
  }
  /** All instructions, also those before a reset. */
  get instructions(): number {
    return this.#instructionsBefore + this.pc.machine.instructions;
  }
  get end(): PcEnd | undefined {
    return this.pc.end;
  }

  /** Why the guest ended the run, for people. */
  endText(): string {
    const { pc } = this;
    if (pc.end === undefined) return 'the guest has not ended the run';
    return pc.end.kind === 'shutdown' ? shutdownReason(pc, pc.end) : describeEnd(pc.end);
  }

  /** Which level was where when the run ended, and what L1 was doing for L2; a line each. */
  whereItEnded(recorder: RunRecorder): string[] {
    const { pc } = this;
    if (pc.end?.kind === 'shutdown') return shutdownPlace(pc, pc.end, recorder);
    if (pc.end?.kind === 'reset') return underWay(BOOT_PROCESSOR, recorder);
    return pc.end === undefined ? placesOf(pc) : [];
  }

  run(ticks: number): 'limit' | 'idle' | 'ended' {
    this.journal.slice(ticks - this.ticks);
    return this.pc.run(ticks);
  }

  /** How this power-on's code was compiled, so far. */
  get compilation(): CompilationCounts {
    const { mode, counts } = this.pc.machine.processors[0]!.decoding.jit;
    return { mode, ...counts };
  }

  /** Lets the serial ports look whether input has come. */
  poll(): void {
    this.pc.devices.poll();
  }

  /** Makes `run` return after the current instruction: for listeners of consoles. */
  stop(): void {
    this.pc.machine.stop();
  }

  /** A reset of everything: a new machine, booted from the same files, with its clocks at zero. */
  reboot(): void {
    this.journal.reset();
    this.#instructionsBefore = this.instructions;
    this.pc = this.#build();
    this.pc.boot(this.description.boot);
  }

  summary(): RunSummary {
    const { pc } = this;
    if ('l0' in pc) {
      const { bus, unknownMsrs } = pc.l0.l1;
      return summarize({ machine: pc.machine, bus, unknownMsrs: [unknownMsrs] });
    }
    const { machine } = pc;
    const unknownMsrs = machine.processors.map(({ cpu }) => cpu.environment.msrs.unknown);
    return summarize({ machine, bus: machine.bus, unknownMsrs });
  }

  /** L1's memory, by its own addresses. */
  get memory(): { read(address: number, bytes: Uint8Array): void } {
    const { pc } = this;
    return 'l0' in pc ? pc.l0.l1.memory : pc.machine.memory;
  }

  /** All RAM of the machine, as it is now; under L0, with L0's own. */
  get ram(): Uint8Array {
    const { layout, ramBytes, u8 } = this.pc.machine.memory;
    return u8.subarray(layout.ram, layout.ram + ramBytes);
  }

  #build(): AnyPc {
    const { pc, consoles, recorder, hypervisor } = this.description;
    return makePc({ ...pc, serial: consoles }, hypervisor, recorder);
  }
}

/** What ended a run, for people. */
function describeEnd(end: Exclude<PcEnd, { kind: 'shutdown' }>): string {
  switch (end.kind) {
    case 'powerOff':
      return 'the machine was powered off';
    case 'reset':
      return 'the machine was reset';
    case 'debugExit':
      return `the guest wrote to the debug-exit port: status ${end.code}`;
  }
}
