// SPDX-License-Identifier: Apache-2.0
import type { BootPlan, GeneralRegister, InitialState, SegmentName } from '../boot/plan.ts';
import { firmwareCmos, firmwareLocalApic, firmwareMsrs, firmwarePorts } from '../boot/firmware-state.ts';
import { planBoot } from '../boot/kernel.ts';
import { pcLayout } from '../boot/layout.ts';
import type { PcLayout } from '../boot/layout.ts';
import type { BootRequest } from '../boot/plan.ts';
import type { VmxCapabilities } from '../arch/vmx/capabilities.ts';
import { assert } from '../base/assert.ts';
import { PcDevices } from '../devices/pc.ts';
import type { PcDescription } from '../devices/pc.ts';
import { pciInterruptRoutes } from '../devices/pci-routing.ts';
import { Pic } from '../devices/pic.ts';
import type { Recorder } from '../trace/recorder.ts';
import type { JitMode } from '../machine/cpu/jit/jit.ts';
import { Machine } from '../machine/machine.ts';
import type { ProcessorUnit } from '../machine/processor-unit.ts';
import { CS, DS, ES, FS, GS, LDTR, SS, STATE, TR } from '../machine/cpu/state.ts';
import { PHYSICAL_ADDRESS_BITS } from '../machine/mmu/walk.ts';

const GENERAL: readonly GeneralRegister[] = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
];
const SEGMENTS: readonly [SegmentName, number][] = [['es', ES], ['cs', CS], ['ss', SS], ['ds', DS], ['fs', FS], ['gs', GS], ['ldtr', LDTR], ['tr', TR]]; // prettier-ignore
const MICROCODE_REVISION = 0x2b000603;
const VARIABLE_MTRRS = 8;

export interface PcOptions extends Omit<PcDescription, 'ecam'> {
  /** Virtual instructions (and TSC ticks) per second. */
  readonly frequencyHz: number;
  /** VMX capability profile; undefined: no VMX. */
  readonly vmxProfile?: 'paper-1' | 'modern-1';
  /** What of the profile the processors show, when that is not all of it: L1 under L0 sees less, and a test compares. */
  readonly vmxCapabilities?: VmxCapabilities;
  /** `-cpu NAME,+x,-x`: features to add and to take away, in QEMU's spelling. */
  readonly cpuFeatures?: readonly string[];
  /** For RDRAND, RDSEED and virtio-rng. */
  readonly seed: number;
  /** What of the guest's code is compiled; the guest cannot tell. */
  readonly jit?: JitMode | undefined;
  /** Room for translated code, a multiple of 64 KiB: small for many machines with little code. */
  readonly recordPoolBytes?: number | undefined;
  /** Milliseconds of the host, to account for what compiling takes. */
  readonly hostClock?: (() => number) | undefined;
  /** Told of the exits of guests that software on the machine runs. */
  readonly recorder?: Recorder;
}

/** How the guest ended the run. */
export type PcEnd =
  | { readonly kind: 'powerOff' }
  | { readonly kind: 'reset' }
  | { readonly kind: 'debugExit'; readonly code: number }
  /** A processor shut down: by a triple fault (0), or with this VMX-abort indicator. */
  | { readonly kind: 'shutdown'; readonly processor: number; readonly abortIndicator: number };

/** A machine with a PC's devices on it, booted as firmware would have left it. */
export class Pc {
  readonly machine: Machine;
  readonly devices: PcDevices;
  readonly layout: PcLayout;
  end: PcEnd | undefined;
  private readonly options: PcOptions;

  constructor(options: PcOptions) {
    this.options = options;
    this.layout = pcLayout({
      memoryBytes: options.ramBytes,
      processors: Array.from({ length: options.processors }, (_, i) => i),
      pciInterrupts: pciInterruptRoutes(),
    });
    const { ecam } = this.layout;
    const pic = new Pic();
    this.machine = new Machine({ ...options, hole: ecam.base }, pic);
    this.devices = new PcDevices(
      { ...options, ecam: { base: ecam.base, buses: 256 } },
      {
        bus: this.machine.bus,
        apicBus: this.machine.apicBus,
        pic,
        time: this.machine.schedule,
        busMaster: this.machine.busMaster,
        powerOff: () => this.finish({ kind: 'powerOff' }),
        reset: () => this.finish({ kind: 'reset' }),
        debugExit: (code) => this.finish({ kind: 'debugExit', code }),
      },
    );
    this.machine.processors[0].cpu.environment.x87Errors = this.devices.coprocessorError;
  }

  /** Puts a kernel and what it needs into memory and the boot processor at its entry; UserError when it cannot be. */
  boot(request: BootRequest): BootPlan {
    const plan = planBoot(request, this.layout);
    for (const { address, bytes } of plan.writes) this.machine.memory.write(address, bytes);
    this.machine.processors.forEach((unit, i) => this.leaveAsFirmware(unit, i === 0));
    for (const { port, value } of firmwarePorts) this.machine.bus.writePort(port, 1, value);
    for (const { index, value } of firmwareCmos(this.layout)) this.devices.rtc.preset(index, value);
    enterAt(this.machine.processors[0], plan.entry);
    return plan;
  }

  /** Runs up to `ticks` since power-on; returns when that is reached, when all are idle, or when the guest ended. */
  run(ticks: number): 'limit' | 'idle' | 'ended' {
    if (this.end) return 'ended';
    const outcome = this.machine.run(ticks);
    if (outcome.kind === 'shutdown')
      this.finish(shutdownOf(this.machine.processors[outcome.processor], outcome.processor));
    if (this.end) return 'ended';
    return outcome.kind === 'idle' ? 'idle' : 'limit';
  }

  private finish(end: PcEnd): void {
    this.end ??= end;
    this.machine.stop();
  }

  private leaveAsFirmware(unit: ProcessorUnit, bootProcessor: boolean): void {
    const traits = {
      physicalAddressBits: PHYSICAL_ADDRESS_BITS,
      vmx: this.options.vmxProfile !== undefined,
      monitor: unit.cpuid.features.has('MONITOR'),
      microcodeRevision: MICROCODE_REVISION,
      variableRanges: VARIABLE_MTRRS,
    };
    for (const { msr, value, reason } of firmwareMsrs(this.layout, traits)) {
      assert(unit.presetMsr(msr, value), `firmware can set MSR ${msr.toString(16)}: ${reason}`);
    }
    for (const { offset, value } of firmwareLocalApic(bootProcessor)) unit.localApic.writeMemory(offset, 4, value);
  }
}

function shutdownOf({ vmx }: ProcessorUnit, processor: number): PcEnd {
  const abortIndicator = vmx?.state.aborted ? vmx.vmcs.abortIndicator : 0;
  return { kind: 'shutdown', processor, abortIndicator };
}

/** Puts a processor at a boot plan's entry. */
export function enterAt(unit: ProcessorUnit, entry: InitialState): void {
  const { cpu } = unit;
  GENERAL.forEach((name, i) => cpu.setReg64(i, BigInt(entry.general[name])));
  for (const [name, segment] of SEGMENTS) {
    const { selector, base, limit, accessRights } = entry.segments[name];
    cpu.setSegment(segment, selector, base, limit, accessRights);
  }
  cpu.rip = entry.rip;
  cpu.rflags = entry.rflags;
  const controls: [number, number][] = [[STATE.cr0, entry.cr0], [STATE.cr2, entry.cr2], [STATE.cr3, entry.cr3], [STATE.cr4, entry.cr4], [STATE.efer, entry.efer]]; // prettier-ignore
  for (const [offset, value] of controls) cpu.setSigned(offset, value);
  cpu.setSigned(STATE.gdtrBase, entry.gdtr.base);
  cpu.set32(STATE.gdtrLimit, entry.gdtr.limit);
  cpu.setSigned(STATE.idtrBase, entry.idtr.base);
  cpu.set32(STATE.idtrLimit, entry.idtr.limit);
  cpu.set32(STATE.cpl, 0);
  unit.activate();
  cpu.modeChanged();
  cpu.mmu.pagingChanged();
}
