// SPDX-License-Identifier: Apache-2.0
import type { Recorder } from '../trace/recorder.ts';
import { CpuidModel, MICROCODE_REVISION, PROCESSOR_SIGNATURE } from '../arch/cpuid.ts';
import type { VmxCapabilities } from '../arch/vmx/capabilities.ts';
import { PROFILES } from '../arch/vmx/profiles.ts';
import type { DeviceBus } from '../devices/bus.ts';
import type { ApicBus } from '../devices/lapic-bus.ts';
import { LOCAL_APIC_TIMER_HERTZ } from '../devices/lapic-timer.ts';
import { LocalApic } from '../devices/lapic.ts';
import { ProcessorEvents } from './cpu/events.ts';
import { JIT_DEFAULT, Jit } from './cpu/jit/jit.ts';
import type { JitMode } from './cpu/jit/jit.ts';
import { Sampler } from './cpu/jit/sampler.ts';
import { Engine } from './cpu/interpreter/engine.ts';
import { interpreterOf } from './cpu/interpreter/module.ts';
import { RECORD, STATUS } from './cpu/interpreter/record.ts';
import { MICROCODE } from './cpu/microcode/all.ts';
import { raiseException } from './cpu/microcode/interrupt-delivery.ts';
import type { Delivery } from './cpu/microcode/interrupt-delivery.ts';
import { resetMsrs, writeMsr } from './cpu/microcode/msr-table.ts';
import { Routines } from './cpu/microcode/routines.ts';
import { MonitorState } from './cpu/monitor-state.ts';
import { MsrState } from './cpu/msr-state.ts';
import { Processor } from './cpu/processor.ts';
import { resetProcessor } from './cpu/reset.ts';
import { ACTIVITY, RunLoop } from './cpu/run-loop.ts';
import { STATE } from './cpu/state.ts';
import { timeChanged } from './cpu/timing.ts';
import { TimeStampCounterState } from './cpu/time-stamp-counter.ts';
import { Translator } from './cpu/translation/translator.ts';
import type { Memory } from './memory/memory.ts';
import { PHYSICAL_ADDRESS_BITS } from './mmu/walk.ts';
import { ProcessorBus } from './physical-bus.ts';
import { VMX_MICROCODE } from './vtx/instructions.ts';
import { VmxRecording } from './vtx/recording.ts';
import { VmxUnit } from './vtx/vmx-unit.ts';
import type { Schedule } from './schedule.ts';
import { SeededEntropy } from './seeded-entropy.ts';

export interface ProcessorUnitDescription {
  readonly processors: number;
  /** Ticks, instructions and TSC increments per virtual second. */
  readonly frequencyHz: number;
  readonly vmxProfile?: 'paper-1' | 'modern-1';
  /** What of the profile the processor shows, when that is not all of it. */
  readonly vmxCapabilities?: VmxCapabilities;
  /** `+x` and `-x` of `-cpu`. */
  readonly cpuFeatures?: readonly string[];
  readonly seed: number;
  /** What of the guest's code is compiled; the guest cannot tell. */
  readonly jit?: JitMode | undefined;
  /** Milliseconds of the host, to account for what compiling takes. */
  readonly hostClock?: (() => number) | undefined;
  /** Told of VM entries and exits of guests that software on the machine runs. */
  readonly recorder?: Recorder;
}

/** What the processors of a machine share. */
export interface SharedParts {
  readonly memory: Memory;
  readonly bus: DeviceBus;
  readonly apicBus: ApicBus;
  readonly schedule: Schedule;
  readonly externalInterrupts: { acknowledge(): number };
}

/** Decoded code is shared: one translator, made with the first processor. */
interface Decoding {
  readonly translator: Translator;
  readonly routines: Routines;
  readonly jit: Jit;
}

/** A processor with its local APIC, its engine and its events, wired. */
export class ProcessorUnit {
  readonly cpu: Processor;
  readonly localApic: LocalApic;
  readonly events: ProcessorEvents;
  readonly cpuid: CpuidModel;
  readonly decoding: Decoding;
  /** Present when the description has a VMX profile. */
  readonly vmx: VmxUnit | undefined;
  private readonly loop: RunLoop;

  constructor(
    index: number,
    description: ProcessorUnitDescription,
    shared: SharedParts,
    earlier: readonly ProcessorUnit[],
  ) {
    const bus = new ProcessorBus(shared.bus);
    this.cpu = new Processor(index, shared.memory, bus);
    const { cpu } = this;
    this.cpuid = new CpuidModel({
      frequencyHz: description.frequencyHz,
      crystalHz: LOCAL_APIC_TIMER_HERTZ,
      processors: description.processors,
      physicalAddressBits: PHYSICAL_ADDRESS_BITS,
      edits: [...(description.cpuFeatures ?? []), ...(description.vmxProfile === undefined ? ['-vmx'] : [])],
    });
    const tsc = new TimeStampCounterState(cpu, description.frequencyHz);
    this.events = new ProcessorEvents(cpu, PROCESSOR_SIGNATURE, index === 0, (delivery) => void this.settle(delivery));
    this.localApic = new LocalApic(
      {
        id: index,
        bootstrap: index === 0,
        x2apic: true,
        tscDeadline: true,
        physicalAddressBits: PHYSICAL_ADDRESS_BITS,
      },
      {
        signals: this.events,
        time: shared.schedule,
        tsc,
        bus: shared.apicBus,
        externalInterrupts: shared.externalInterrupts,
      },
    );
    this.events.localApic = this.localApic;
    bus.localApic = this.localApic;
    const modules = interpreterOf(index, shared.memory.layout.codeTable);
    this.decoding = earlier[0]?.decoding ?? this.makeDecoding(modules.places, description, shared, earlier);
    cpu.mmu.codePages = this.decoding.translator.store.codePages;
    cpu.environment = {
      localApic: this.localApic,
      cpuid: this.cpuid,
      msrs: new MsrState({
        features: this.cpuid.features,
        physicalAddressBits: PHYSICAL_ADDRESS_BITS,
        frequencyHz: description.frequencyHz,
        microcodeRevision: MICROCODE_REVISION,
      }),
      tsc,
      monitor: new MonitorState(),
      random: new SeededEntropy(description.seed + index),
      vmxCapabilities:
        description.vmxProfile === undefined
          ? undefined
          : (description.vmxCapabilities ?? PROFILES[description.vmxProfile]),
      vmx: undefined,
    };
    cpu.mmu.paging.gigabytePages = this.cpuid.features.has('PAGE_1GB');
    const { translator, routines, jit } = this.decoding;
    const deliverFault = (): number => this.settle(raiseException(cpu));
    const engine = new Engine(cpu, translator, modules, routines.list, deliverFault, jit);
    this.loop = new RunLoop(cpu, engine, this.events, new Sampler(jit));
    if (cpu.environment.vmxCapabilities !== undefined) {
      this.vmx = new VmxUnit(cpu, cpu.environment.vmxCapabilities);
      this.vmx.recording = new VmxRecording(description.recorder, () => shared.schedule.nanoseconds());
      cpu.environment.vmx = this.vmx;
      this.loop.vmx = this.vmx;
      this.events.vmx = this.vmx;
    }
    resetProcessor(cpu, 'reset', PROCESSOR_SIGNATURE);
    resetMsrs(cpu);
    tsc.moved = () => timeChanged(cpu);
    timeChanged(cpu);
    if (index > 0) cpu.set32(STATE.activity, ACTIVITY.waitForSipi);
  }

  get activity(): number {
    return this.cpu.words[STATE.activity >> 2];
  }

  /** Whether it would execute something if it were run now. */
  get canRun(): boolean {
    const { activity, events } = this;
    if (activity === ACTIVITY.active) return true;
    if (activity === ACTIVITY.halted || this.vmx?.governs) return events.wakes();
    return activity === ACTIVITY.waitForSipi && (events.pendingInit || events.pendingStartup >= 0);
  }

  /** In shutdown, and not as the activity state of a guest, which NMIs and INIT end. */
  get isDown(): boolean {
    return this.activity === ACTIVITY.shutdown && this.vmx?.nonRoot !== true;
  }

  /**
   * The tick at which it must be looked at although it does nothing: the VMX-preemption timer makes exits in HLT and in
   * shutdown, but not in wait-for-SIPI. See: SDM 26.5.1 VMX-Preemption Timer
   */
  get deadline(): number {
    return this.activity === ACTIVITY.waitForSipi ? Infinity : (this.vmx?.deadline() ?? Infinity);
  }

  /** Now, also in the middle of a block that a device access interrupted. */
  get exactTicks(): number {
    const { cpu } = this;
    const record = cpu.words[STATE.record >> 2];
    return record === 0 ? cpu.ticks : cpu.ticks - (cpu.memory.i32[(record + RECORD.unretired) >> 2] - 1);
  }

  /** Runs up to `end`; returns the tick reached, which is `end` unless the run was to be worked out again. */
  runTo(end: number): number {
    const { cpu, loop } = this;
    if (this.activity === ACTIVITY.waitForSipi && !this.events.takeStartup()) return end;
    loop.runUntil(end);
    if (this.activity === ACTIVITY.active || this.isDown) return cpu.ticks;
    return Math.min(end, Math.max(cpu.ticks, this.deadline));
  }

  /** Time passes without it. */
  idleTo(tick: number): void {
    const { cpu } = this;
    const behind = tick - cpu.ticks;
    if (behind <= 0) return;
    cpu.idleTicks += behind;
    cpu.runEnd = tick;
    cpu.words[STATE.remaining >> 2] = 0;
  }

  attend(bits: number): void {
    this.cpu.words[STATE.attention >> 2] |= bits;
  }

  /** What firmware does before the first instruction: false when the MSR refuses the value. */
  presetMsr(index: number, value: bigint): boolean {
    const { msrs } = this.cpu.environment;
    if (msrs.row(index) !== undefined && !writeMsr(this.cpu, index, value)) msrs.set(index, value);
    return msrs.row(index) !== undefined;
  }

  /** The boot processor begins to run, as it does after RESET. */
  activate(): void {
    this.cpu.set32(STATE.activity, ACTIVITY.active);
  }

  private makeDecoding(
    places: ConstructorParameters<typeof Translator>[1],
    description: ProcessorUnitDescription,
    shared: SharedParts,
    earlier: readonly ProcessorUnit[],
  ): Decoding {
    const routines = new Routines([...MICROCODE, VMX_MICROCODE]);
    const dropWriteTags = (host: number): void => {
      this.cpu.mmu.buffers.dropWriteTags(host);
      for (const unit of earlier) if (unit !== this) unit.cpu.mmu.buffers.dropWriteTags(host);
    };
    const { memory } = shared;
    const translator = new Translator(memory, places, routines, this.cpuid.features, dropWriteTags);
    const jit = new Jit(description.jit ?? JIT_DEFAULT.mode, memory, translator, places, description.hostClock);
    return { routines, translator, jit };
  }

  /** What a delivery came to: the engine's status. */
  private settle(delivery: Delivery): number {
    this.loop.faultDelivered = true;
    if (this.vmx !== undefined) return this.vmx.settle(delivery);
    if (delivery === 'delivered') return STATUS.dispatch;
    if (delivery === 'shutdown') this.cpu.words[STATE.activity >> 2] = ACTIVITY.shutdown;
    return STATUS.exit;
  }
}
