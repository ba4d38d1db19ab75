// SPDX-License-Identifier: Apache-2.0
import { groupsWritten } from '../../arch/vmx/entry-checks.ts';
import type { VmxCapabilities } from '../../arch/vmx/capabilities.ts';
import type {
  ExitVerdict,
  Halves,
  HostMemory,
  HostPhysical,
  RootProcessor,
  RootSoftware,
  UnsavedRegister,
} from '../../hardware/vmx.ts';
import { ACTIVITY } from '../cpu/run-loop.ts';
import { CR0 } from '../cpu/register-bits.ts';
import { ATTENTION, STATE } from '../cpu/state.ts';
import type { Memory } from '../memory/memory.ts';
import { enterGuest, refusedBefore } from './entry.ts';
import { NO_VMCS, readPhysical32 } from './vmcs.ts';
import type { VmxUnit } from './vmx-unit.ts';

/** Where the registers are that no VMCS field holds; CR8 is the local APIC's. */
// prettier-ignore
const REGISTERS: { readonly [Name in Exclude<UnsavedRegister, 'cr8'>]: number } = {
  cr2: STATE.cr2, dr0: STATE.dr0, dr1: STATE.dr1, dr2: STATE.dr2, dr3: STATE.dr3, dr6: STATE.dr6, xcr0: STATE.xcr0,
  kernelGsBase: STATE.kernelGsBase, star: STATE.star, lstar: STATE.lstar, cstar: STATE.cstar, fmask: STATE.fmask,
  tscAux: STATE.tscAux, xss: STATE.xss,
};

const PAGE_OFFSET = 0xfff;
/** The owner's host-physical addresses are the machine's physical ones. */
const physical = (address: HostPhysical): number => address as number;

/** Root operation in the hands of TypeScript software: a VM exit calls it instead of loading the host state. */
export class RootOwner implements RootProcessor {
  private readonly unit: VmxUnit;
  private readonly software: RootSoftware;
  /** One of the software's calls, or an entry that it decided, is under way. */
  private busy = false;
  private exitHappened = false;

  /** The processor is in root operation, halted, and the software is asked before anything else. */
  constructor(unit: VmxUnit, software: RootSoftware) {
    this.unit = unit;
    this.software = software;
    unit.state.vmxOperation = true;
    // VM entry leaves CR0.CD and CR0.NW as they are; RESET set them, and firmware would have cleared them by now.
    unit.cpu.words[STATE.cr0 >> 2] &= ~(CR0.CD | CR0.NW);
    this.halt();
    this.kick();
  }

  /** A VM exit was made. */
  exited(): void {
    if (this.busy) this.exitHappened = true;
    else this.follow(() => this.software.exit(this));
  }

  /** In root operation, that is halted: true when a kick had come, and the software was asked. */
  wake(): boolean {
    if (!this.unit.state.kicked) return false;
    this.unit.state.kicked = this.unit.state.kickedAtOnce = false;
    this.follow(() => this.software.kicked(this));
    return true;
  }

  /** Does what is decided, until the guest runs or nothing does. */
  private follow(ask: () => ExitVerdict): void {
    this.busy = true;
    let verdict = ask();
    while (verdict === 'enter') {
      this.exitHappened = false;
      this.enter();
      if (!this.exitHappened) break;
      verdict = this.software.exit(this);
    }
    this.busy = false;
    if (verdict === 'halt') this.halt();
  }

  private enter(): void {
    const { unit } = this;
    if (unit.state.currentVmcs === NO_VMCS) this.software.entryFailed(this, 0);
    const refused = refusedBefore(unit);
    if (refused !== undefined) {
      unit.lastEntryFailure = refused;
      this.software.entryFailed(this, refused.failure.kind === 'VMfailValid' ? refused.failure.error : 0);
    }
    enterGuest(unit);
  }

  private halt(): void {
    this.unit.cpu.words[STATE.activity >> 2] = ACTIVITY.halted;
  }

  // --- RootProcessor -------------------------------------------------------------------------------------------

  get index(): number {
    return this.unit.cpu.index;
  }
  get capabilities(): VmxCapabilities {
    return this.unit.capabilities;
  }
  get currentVmcs(): HostPhysical {
    return this.unit.state.currentVmcs as number;
  }
  vmclear(vmcs: HostPhysical): void {
    this.unit.clear(physical(vmcs));
  }
  vmptrld(vmcs: HostPhysical): void {
    this.unit.makeCurrent(physical(vmcs));
  }
  readLow(offset: number): number {
    return this.unit.vmcs.low(offset);
  }
  readHigh(offset: number): number {
    return this.unit.vmcs.high(offset);
  }
  write(offset: number, low: number, high: number): void {
    const { vmcs, state } = this.unit;
    const before = vmcs.low(offset);
    if (before === low && vmcs.high(offset) === high) return;
    vmcs.write(offset, low, high);
    state.dirtyGroups |= groupsWritten(offset, before, low);
  }
  readGeneral(register: number, out: Halves): void {
    this.read(register * 8, out);
  }
  writeGeneral(register: number, low: number, high: number): void {
    this.set(register * 8, low, high);
  }
  readRegister(register: UnsavedRegister, out: Halves): void {
    if (register !== 'cr8') return this.read(REGISTERS[register], out);
    out.low = this.unit.cpu.environment.localApic.cr8;
    out.high = 0;
  }
  writeRegister(register: UnsavedRegister, low: number, high: number): void {
    if (register === 'cr8') this.unit.cpu.environment.localApic.cr8 = low;
    else this.set(REGISTERS[register], low, high);
  }
  invept(type: 1 | 2, eptPointer: Halves): void {
    this.unit.invalidateEpt(type, eptPointer.high * 0x100000000 + ((eptPointer.low & ~PAGE_OFFSET) >>> 0));
  }
  invvpid(type: 0 | 1 | 2 | 3, vpid: number, linear: Halves): void {
    this.unit.invalidateVpid(type, vpid, (linear.high | 0) * 0x100000000 + (linear.low >>> 0));
  }
  retire(): void {
    this.unit.cpu.words[STATE.remaining >> 2]--;
  }
  readTsc(out: Halves): void {
    this.unit.cpu.environment.tsc.read(out);
  }
  kick(atOnce = false): void {
    const { state } = this.unit;
    state.kicked = true;
    state.kickedAtOnce ||= atOnce;
    this.unit.cpu.words[STATE.attention >> 2] |= ATTENTION.interrupt;
  }

  private read(state: number, out: Halves): void {
    const { cpu } = this.unit;
    out.low = cpu.get32(state);
    out.high = cpu.get32(state + 4);
  }
  private set(state: number, low: number, high: number): void {
    const { words } = this.unit.cpu;
    words[state >> 2] = low;
    words[(state >> 2) + 1] = high;
  }
}

/** The machine's memory for its owner; translated code under what is written is dropped. */
export class OwnedMemory implements HostMemory {
  private readonly memory: Memory;
  private readonly word = new Uint8Array(4);
  private readonly wordView = new DataView(this.word.buffer);

  constructor(memory: Memory) {
    this.memory = memory;
  }
  get bytes(): number {
    return this.memory.ramBytes;
  }
  read32(address: HostPhysical): number {
    return readPhysical32(this.memory, physical(address));
  }
  write32(address: HostPhysical, value: number): void {
    this.wordView.setUint32(0, value, true);
    this.memory.write(physical(address), this.word);
  }
  read(address: HostPhysical, bytes: Uint8Array): void {
    this.memory.read(physical(address), bytes);
  }
  write(address: HostPhysical, bytes: Uint8Array): void {
    this.memory.write(physical(address), bytes);
  }
}
