// SPDX-License-Identifier: Apache-2.0
// A machine without devices of its own, L0 in its root operation, and an L1 on it: what system/ assembles for users.

import type { BootPlan, BootRequest } from '../../src/boot/plan.ts';
import { firmwareCmos, firmwareLocalApic, firmwareMsrs, firmwarePorts } from '../../src/boot/firmware-state.ts';
import { planBoot } from '../../src/boot/kernel.ts';
import { pcLayout } from '../../src/boot/layout.ts';
import type { PcLayout } from '../../src/boot/layout.ts';
import { MICROCODE_REVISION } from '../../src/arch/cpuid.ts';
import { VARIABLE_RANGES } from '../../src/arch/msrs.ts';
import { pciInterruptRoutes } from '../../src/devices/pci-routing.ts';
import type { ExitVerdict, RootProcessor, RootSoftware } from '../../src/hardware/vmx.ts';
import { L0, L0_MEMORY_BYTES } from '../../src/l0/l0.ts';
import type { L0Options } from '../../src/l0/l0.ts';
import { L1Memory } from '../../src/l0/l1-memory.ts';
import { Machine } from '../../src/machine/machine.ts';
import { PHYSICAL_ADDRESS_BITS } from '../../src/machine/mmu/walk.ts';
import { OwnedMemory } from '../../src/machine/vtx/root-owner.ts';
import type { PcEnd, PcOptions } from '../../src/system/pc.ts';

export interface L0PcOptions extends PcOptions {
  readonly vmxProfile: 'paper-1' | 'modern-1';
  readonly permute?: number;
  readonly l0?: L0Options;
}

/** The processors exist before L0 does, and want to know who owns them. */
class LateSoftware implements RootSoftware {
  software: RootSoftware | undefined;

  exit(processor: RootProcessor): ExitVerdict {
    return this.software!.exit(processor);
  }
  kicked(processor: RootProcessor): ExitVerdict {
    return this.software!.kicked(processor);
  }
  entryFailed(processor: RootProcessor, error: number): never {
    return this.software!.entryFailed(processor, error);
  }
}

export class L0Pc {
  readonly machine: Machine;
  readonly l0: L0;
  readonly layout: PcLayout;
  end: PcEnd | undefined;

  constructor(options: L0PcOptions) {
    this.layout = pcLayout({
      memoryBytes: options.ramBytes,
      processors: Array.from({ length: options.processors }, (_, i) => i),
      pciInterrupts: pciInterruptRoutes(),
    });
    const ramBytes = L1Memory.hostBytes(options.ramBytes) + L0_MEMORY_BYTES;
    // The machine's memory is in one piece: its hole lies above.
    this.machine = new Machine({ ...options, ramBytes, hole: 0xfec00000 }, { acknowledge: () => 0xff });
    const owner = new LateSoftware();
    const processors = this.machine.processors.map(({ vmx }) => {
      vmx!.own(owner);
      return vmx!.owner!;
    });
    this.l0 = new L0(
      { processors, memory: new OwnedMemory(this.machine.memory) },
      this.machine.schedule,
      { ...options, ecam: { base: this.layout.ecam.base, buses: 256 }, physicalAddressBits: PHYSICAL_ADDRESS_BITS },
      {
        powerOff: () => this.#finish({ kind: 'powerOff' }),
        reset: () => this.#finish({ kind: 'reset' }),
        debugExit: (code) => this.#finish({ kind: 'debugExit', code }),
        shutdown: () => this.#finish({ kind: 'shutdown' }),
      },
      options.l0,
    );
    owner.software = this.l0;
  }

  boot(request: BootRequest): BootPlan {
    const plan = planBoot(request, this.layout);
    const { l1 } = this.l0;
    const traits = {
      physicalAddressBits: PHYSICAL_ADDRESS_BITS,
      vmx: l1.has('VMX'),
      monitor: l1.has('MONITOR'),
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

  run(ticks: number): 'limit' | 'idle' | 'ended' {
    if (this.end) return 'ended';
    const outcome = this.machine.run(ticks);
    if (this.end) return 'ended';
    return outcome.kind === 'idle' ? 'idle' : 'limit';
  }

  #finish(end: PcEnd): void {
    this.end ??= end;
    this.machine.stop();
  }
}
