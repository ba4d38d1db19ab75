// SPDX-License-Identifier: Apache-2.0
import { GROUPS_READING } from '../../arch/vmx/entry-checks.ts';
import type { VmxCapabilities } from '../../arch/vmx/capabilities.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { GuestRegister, RootDecision, RootProcessor, RootSoftware, VmcsHalves } from '../../hardware/vmx.ts';
import { readMsr, writeMsr } from '../cpu/microcode/msr-table.ts';
import { ACTIVITY } from '../cpu/run-loop.ts';
import { ATTENTION, STATE } from '../cpu/state.ts';
import { enterGuest, refusedBefore } from './entry.ts';
import { NO_VMCS } from './vmcs.ts';
import type { VmxUnit } from './vmx-unit.ts';

// prettier-ignore
const REGISTERS: { readonly [Name in GuestRegister]: number } = {
  CR2: STATE.cr2, DR0: STATE.dr0, DR1: STATE.dr1, DR2: STATE.dr2, DR3: STATE.dr3, DR6: STATE.dr6, XCR0: STATE.xcr0,
};
/** From the floating-point environment to the end of the state block. */
const EXTENDED = { start: STATE.mxcsr, end: STATE.size } as const;

/** The current VMCS, written so that the checks of the next entry know. */
class OwnedVmcs implements VmcsHalves {
  private readonly unit: VmxUnit;

  constructor(unit: VmxUnit) {
    this.unit = unit;
  }
  low(offset: number): number {
    return this.unit.vmcs.low(offset);
  }
  high(offset: number): number {
    return this.unit.vmcs.high(offset);
  }
  write(offset: number, low: number, high: number): void {
    this.unit.vmcs.write(offset, low, high);
    this.unit.state.dirtyGroups |= GROUPS_READING[offset >> 3];
  }
}

/** Root mode in the hands of TypeScript software: a VM exit calls it instead of loading the host state. */
export class RootOwner implements RootProcessor {
  readonly vmcs: VmcsHalves;
  readonly extendedState: Uint8Array;
  private readonly unit: VmxUnit;
  private readonly software: RootSoftware;
  /** One of the software's calls, or an entry it decided, is under way. */
  private busy = false;
  private exitHappened = false;

  constructor(unit: VmxUnit, software: RootSoftware) {
    this.unit = unit;
    this.software = software;
    this.vmcs = new OwnedVmcs(unit);
    this.extendedState = unit.cpu.bytes.subarray(EXTENDED.start, EXTENDED.end);
    unit.state.vmxOperation = true;
    this.halt();
    this.signal();
  }

  /** A VM exit was made. */
  exited(): void {
    if (this.busy) this.exitHappened = true;
    else this.follow(this.software.exited(this.begin()));
  }

  /** While halted: true when a signal had come, and the software was called. */
  wake(): boolean {
    if (!this.unit.state.signalled) return false;
    this.unit.state.signalled = false;
    this.follow(this.software.awake(this.begin()));
    return true;
  }

  private begin(): this {
    this.busy = true;
    return this;
  }

  /** Does what was decided, until the guest runs or nothing does. */
  private follow(first: RootDecision): void {
    let decision = first;
    while (decision === 'enter') {
      this.exitHappened = false;
      const error = this.enter();
      if (error >= 0) decision = this.software.refused(this, error);
      else if (this.exitHappened) decision = this.software.exited(this);
      else break;
    }
    this.busy = false;
    if (decision === 'halt') this.halt();
  }

  /** The error number of a VMfail, or -1: the guest runs, or an exit was made. */
  private enter(): number {
    const { unit } = this;
    if (unit.state.currentVmcs === NO_VMCS) return 0;
    const refused = refusedBefore(unit);
    if (refused === undefined) {
      enterGuest(unit);
      return -1;
    }
    unit.lastEntryFailure = refused;
    return refused.failure.kind === 'VMfailValid' ? refused.failure.error : 0;
  }

  private halt(): void {
    const { words } = this.unit.cpu;
    words[STATE.activity >> 2] = ACTIVITY.halted;
    words[STATE.attention >> 2] |= ATTENTION.interrupt;
  }

  // --- RootProcessor -------------------------------------------------------------------------------------------

  get index(): number {
    return this.unit.cpu.index;
  }
  get capabilities(): VmxCapabilities {
    return this.unit.capabilities;
  }
  get physicalAddressWidth(): number {
    return this.unit.facts.physicalAddressWidth;
  }
  get ticks(): number {
    return this.unit.cpu.ticks;
  }
  makeCurrent(address: PhysicalAddress): void {
    this.unit.makeCurrent(address);
  }
  clear(address: PhysicalAddress): void {
    this.unit.clear(address);
  }
  invalidateEpt(type: 1 | 2, root: PhysicalAddress): void {
    this.unit.invalidateEpt(type, root);
  }
  invalidateVpid(type: 0 | 1 | 2 | 3, vpid: number, linear: number): void {
    this.unit.invalidateVpid(type, vpid, linear);
  }
  generalLow(register: number): number {
    return this.unit.cpu.reg32(register);
  }
  generalHigh(register: number): number {
    return this.unit.cpu.words[register * 2 + 1] >>> 0;
  }
  setGeneral(register: number, low: number, high: number): void {
    this.unit.cpu.words[register * 2] = low;
    this.unit.cpu.words[register * 2 + 1] = high;
  }
  registerLow(register: GuestRegister): number {
    return this.unit.cpu.get32(REGISTERS[register]);
  }
  registerHigh(register: GuestRegister): number {
    return this.unit.cpu.get32(REGISTERS[register] + 4);
  }
  setRegister(register: GuestRegister, low: number, high: number): void {
    this.unit.cpu.set32(REGISTERS[register], low);
    this.unit.cpu.set32(REGISTERS[register] + 4, high);
  }
  readMsr(index: number): bigint | undefined {
    return readMsr(this.unit.cpu, index);
  }
  writeMsr(index: number, value: bigint): boolean {
    return writeMsr(this.unit.cpu, index, value);
  }
  retire(instructions: number): void {
    this.unit.cpu.words[STATE.remaining >> 2] -= instructions;
  }
  signal(): void {
    this.unit.state.signalled = true;
    this.unit.cpu.words[STATE.attention >> 2] |= ATTENTION.interrupt;
  }
}
