// SPDX-License-Identifier: Apache-2.0
import { CpuidModel } from '../arch/cpuid.ts';
import { msrRows } from '../arch/msrs.ts';
import type { MsrRow } from '../arch/msrs.ts';
import { supports } from '../arch/vmx/capabilities.ts';
import type { VmxCapabilities } from '../arch/vmx/capabilities.ts';
import type { ControlKey } from '../arch/vmx/controls.ts';
import { DeviceBus } from '../devices/bus.ts';
import { ApicBus } from '../devices/lapic-bus.ts';
import { LOCAL_APIC_TIMER_HERTZ } from '../devices/lapic-timer.ts';
import { PcDevices } from '../devices/pc.ts';
import type { PcDescription } from '../devices/pc.ts';
import { Pic } from '../devices/pic.ts';
import type { ResetKind } from '../devices/reset.ts';
import type { Timer, TimerService } from '../hardware/time.ts';
import type { HostMemory, HostPhysical } from '../hardware/vmx.ts';
import type { Recorder } from '../trace/recorder.ts';
import { Ept01 } from './ept01.ts';
import type { HostAllocator } from './host-allocator.ts';
import { L1Memory } from './l1-memory.ts';
import type { NestedHooks } from './nested-hooks.ts';

/** An L1 by what the user chose. */
export interface L1Description extends PcDescription {
  /** Ticks of its time-stamp counter per second: the machine's. */
  readonly frequencyHz: number;
  /** The machine's. */
  readonly physicalAddressBits: number;
  /** `+x` and `-x` of `-cpu`. */
  readonly cpuFeatures?: readonly string[];
  /** Shuffles the map from L1-physical to host-physical addresses by this seed. */
  readonly permute?: number;
}

/** How an L1 ends. May be called in the middle of an instruction. */
export interface L1Services {
  readonly powerOff: () => void;
  readonly reset: (kind: ResetKind) => void;
  readonly debugExit: (code: number) => void;
  /** This virtual CPU shut down: by a triple fault (0), or with this VMX-abort indicator. */
  readonly shutdown: (index: number, abortIndicator: number) => void;
}

/** L0's pages for one virtual CPU. */
export interface VcpuPages {
  readonly vmcs01: HostPhysical;
  readonly msrBitmap: HostPhysical;
  readonly ioBitmapA: HostPhysical;
  readonly ioBitmapB: HostPhysical;
  /** The VM-entry MSR-load list, where IA32_EFER has no field in the VMCS; else -1. */
  readonly msrList: HostPhysical;
}

/** How often software asked for something that does not exist. */
export interface Refusals {
  reads: number;
  writes: number;
}

/** A feature that L1 cannot have where the hardware's control for it is missing. See: SDM 26.3 Changes to Instruction Behavior in VMX Non-Root Operation. */
// prettier-ignore
const NEEDS_CONTROL: readonly (readonly [feature: string, control: ControlKey])[] = [
  ['rdtscp',  'secondary.ENABLE_RDTSCP'],
  ['rdpid',   'secondary.ENABLE_RDTSCP'],
  ['invpcid', 'secondary.ENABLE_INVPCID'],
  ['xsaves',  'secondary.ENABLE_XSAVES_XRSTORS'],
];

/** The machine that an L1 sees, but for its processors: memory, devices, identity. */
export class VirtualMachine {
  readonly description: L1Description;
  readonly services: L1Services;
  /** The machine's memory. */
  readonly host: HostMemory;
  readonly memory: L1Memory;
  readonly ept01: Ept01;
  readonly recorder: Recorder;
  /** Mapped where a local APIC lies after power-up, so that accesses there are told apart from all others. */
  readonly apicAccessPage: HostPhysical;
  /** A page table for L1 without paging on hardware that must have it. */
  readonly identityPage: HostPhysical;
  readonly bus = new DeviceBus();
  readonly apicBus = new ApicBus();
  readonly pic = new Pic();
  readonly time: TimerService;
  readonly devices: PcDevices;
  readonly cpuid: CpuidModel;
  readonly msrRows: readonly MsrRow[];
  /** By index, which row it is. */
  readonly msrNumbers: ReadonlyMap<number, number>;
  /** MSRs that L1 asked for and that are not there, by index: for the run's summary. */
  readonly unknownMsrs = new Map<number, Refusals>();
  /** Instructions on device memory that L0 cannot emulate, by their bytes. L1 got #UD. */
  readonly unemulated = new Map<string, number>();
  /** VMX for L1, once it is there. */
  nested: NestedHooks | undefined;

  /** `start`: where in the machine's memory L1's begins. `vmx`: whether its CPUID shows VMX. */
  constructor(
    host: HostMemory,
    allocator: HostAllocator,
    start: HostPhysical,
    capabilities: VmxCapabilities,
    vmx: boolean,
    time: TimerService,
    description: L1Description,
    services: L1Services,
    recorder: Recorder,
  ) {
    this.host = host;
    this.recorder = recorder;
    this.description = description;
    this.services = services;
    this.time = new NamedTimers(time, 'l1.');
    const { ramBytes, ecam, permute } = description;
    this.memory = new L1Memory(host, {
      ramBytes,
      hole: ecam.base,
      start,
      ...(permute === undefined ? {} : { permute }),
    });
    this.ept01 = new Ept01(host, allocator, this.memory);
    this.apicAccessPage = allocator.allocate();
    this.identityPage = allocator.allocate();
    this.devices = new PcDevices(description, {
      ...services,
      bus: this.bus,
      apicBus: this.apicBus,
      pic: this.pic,
      time: this.time,
      busMaster: (requesterId) => this.memory.busMaster(requesterId),
    });
    this.cpuid = cpuidOf(description, capabilities, vmx);
    this.msrRows = msrRows({
      ...description,
      features: this.cpuid.features,
      microcodeRevision: this.cpuid.microcodeRevision,
    });
    this.msrNumbers = new Map(this.msrRows.map((row, number) => [row.index, number]));
  }

  /** Whether L1's CPUID shows a feature, by the names of opcode rows. */
  has(feature: string): boolean {
    return this.cpuid.features.has(feature);
  }
}

/** L0 shows no sign of itself; MONITOR would let L1 sleep on a line that L0 does not watch. */
function cpuidOf(description: L1Description, capabilities: VmxCapabilities, vmx: boolean): CpuidModel {
  const missing = NEEDS_CONTROL.filter(([, control]) => !supports(capabilities, control)).map(
    ([feature]) => `-${feature}`,
  );
  const edits = [...(description.cpuFeatures ?? []), '-monitor', ...(vmx ? [] : ['-vmx']), ...missing];
  return new CpuidModel({ ...description, crystalHz: LOCAL_APIC_TIMER_HERTZ, edits });
}

/** The machine's timers under names of their own: L1's devices are called as the machine's are. */
class NamedTimers implements TimerService {
  readonly #time: TimerService;
  readonly #prefix: string;

  constructor(time: TimerService, prefix: string) {
    this.#time = time;
    this.#prefix = prefix;
  }
  nanoseconds(): number {
    return this.#time.nanoseconds();
  }
  timer(name: string, expired: () => void): Timer {
    return this.#time.timer(this.#prefix + name, expired);
  }
}
