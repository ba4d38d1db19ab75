// SPDX-License-Identifier: Apache-2.0
import { firmwareCmos, firmwareLocalApic, firmwareMsrs, firmwarePorts } from '../boot/firmware-state.ts';
import { planBoot } from '../boot/kernel.ts';
import { pcLayout } from '../boot/layout.ts';
import type { PcLayout } from '../boot/layout.ts';
import type { BootPlan, BootRequest } from '../boot/plan.ts';
import { assert } from '../base/assert.ts';
import { MICROCODE_REVISION } from '../arch/cpuid.ts';
import { VARIABLE_RANGES } from '../arch/msrs.ts';
import type { PcDevices } from '../devices/pc.ts';
import { pciInterruptRoutes } from '../devices/pci-routing.ts';
import type { RootMachine, RootProcessor, RootSoftware } from '../hardware/vmx.ts';
import { CHUNK_BYTES, L1Memory } from '../l0/l1-memory.ts';
import { L0, L0_MEMORY_BYTES } from '../l0/l0.ts';
import type { L0Options } from '../l0/l0.ts';
import { Machine } from '../machine/machine.ts';
import { PHYSICAL_ADDRESS_BITS } from '../machine/mmu/walk.ts';
import { OwnedMemory } from '../machine/vtx/root-owner.ts';
import type { PcEnd, PcOptions } from './pc.ts';

/** The machine itself has nothing but memory: it may reach up to its local APICs. */
const MACHINE_HOLE = 0xfee0_0000;

export interface L0PcOptions extends PcOptions {
  readonly vmxProfile: 'paper-1' | 'modern-1';
  /** What L0 is built with: nested VMX for L1, and who records. */
  readonly l0?: L0Options;
  /** Shuffles L1's memory in the machine's by this seed. */
  readonly permute?: number;
}

/** A machine that L0 owns, and the PC that it shows to L1. The same shape as `Pc`, one level up. */
export class L0Pc {
  readonly machine: Machine;
  readonly l0: L0;
  readonly layout: PcLayout;
  end: PcEnd | undefined;
  private readonly options: L0PcOptions;

  constructor(options: L0PcOptions) {
    this.options = options;
    this.layout = pcLayout({
      memoryBytes: options.ramBytes,
      processors: Array.from({ length: options.processors }, (_, i) => i),
      pciInterrupts: pciInterruptRoutes(),
    });
    const { vmxProfile, seed, frequencyHz, processors, jit, hostClock, recordPoolBytes } = options;
    // Entries and exits are L0's to record; of the processor's own, only who wrote a shadow VMCS.
    const recorder = options.l0?.recorder;
    const ramBytes = L1Memory.hostBytes(options.ramBytes) + Math.ceil(L0_MEMORY_BYTES / CHUNK_BYTES) * CHUNK_BYTES;
    const noInterrupts = { acknowledge: (): number => 0xff };
    this.machine = new Machine(
      {
        processors,
        frequencyHz,
        seed,
        vmxProfile,
        ramBytes,
        hole: MACHINE_HOLE,
        jit,
        hostClock,
        recordPoolBytes,
        ...(recorder && { recorder }),
      },
      noInterrupts,
    );
    this.l0 = this.own();
  }

  /** What L1 sees. */
  get devices(): PcDevices {
    return this.l0.l1.devices;
  }

  /** Puts a kernel and what it needs into L1's memory and its boot processor at the entry; UserError when it cannot be. */
  boot(request: BootRequest): BootPlan {
    const plan = planBoot(request, this.layout);
    const traits = {
      physicalAddressBits: PHYSICAL_ADDRESS_BITS,
      vmx: this.options.l0?.nested !== undefined,
      monitor: this.l0.l1.cpuid.features.has('MONITOR'),
      microcodeRevision: MICROCODE_REVISION,
      variableRanges: VARIABLE_RANGES,
    };
    this.l0.boot(plan, {
      msrs: firmwareMsrs(this.layout, traits),
      localApic: firmwareLocalApic,
      ports: firmwarePorts,
      cmos: firmwareCmos(this.layout),
    });
    return plan;
  }

  /** Runs up to `ticks` since power-on; returns when that is reached, when all are idle, or when the guest ended. */
  run(ticks: number): 'limit' | 'idle' | 'ended' {
    if (this.end) return 'ended';
    const outcome = this.machine.run(ticks);
    if (this.end) return 'ended';
    assert(outcome.kind !== 'shutdown', 'the machine under L0 does not shut down');
    return outcome.kind === 'idle' ? 'idle' : 'limit';
  }

  /** Gives root operation of every processor to L0. L0 is made with the processors, so it is reached through a deputy. */
  private own(): L0 {
    const deputy: { l0?: L0 } = {};
    const l0 = (): L0 => {
      assert(deputy.l0, 'L0 exists before a processor runs');
      return deputy.l0;
    };
    const software: RootSoftware = {
      exit: (processor) => l0().exit(processor),
      kicked: (processor) => l0().kicked(processor),
      entryFailed: (processor, error) => l0().entryFailed(processor, error),
    };
    const processors = this.machine.processors.map((unit): RootProcessor => {
      assert(unit.vmx, 'the machine has VT-x');
      unit.vmx.own(software);
      assert(unit.vmx.owner, 'the processor has an owner');
      return unit.vmx.owner;
    });
    const root: RootMachine = { processors, memory: new OwnedMemory(this.machine.memory) };
    const { options } = this;
    const ecam = { base: this.layout.ecam.base, buses: 256 } as const;
    deputy.l0 = new L0(
      root,
      this.machine.schedule,
      { ...options, ecam, physicalAddressBits: PHYSICAL_ADDRESS_BITS },
      {
        powerOff: () => this.finish({ kind: 'powerOff' }),
        reset: () => this.finish({ kind: 'reset' }),
        debugExit: (code) => this.finish({ kind: 'debugExit', code }),
        shutdown: (processor, abortIndicator) => this.finish({ kind: 'shutdown', processor, abortIndicator }),
      },
      options.l0,
    );
    return deputy.l0;
  }

  private finish(end: PcEnd): void {
    this.end ??= end;
    this.machine.stop();
  }
}
