// SPDX-License-Identifier: Apache-2.0
import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import { RECORD } from '../cpu/interpreter/record.ts';
import { VM_EXIT_RECORDED, eventHooks } from '../cpu/microcode/interrupt-delivery.ts';
import { STATE } from '../cpu/state.ts';
import { NO_PAGE } from './active-controls.ts';
import { EPT_ACCESS, EPT_WALK, EptWalker } from './ept.ts';
import { VTPR_OFFSET } from './tpr-shadow.ts';
import type { SecondLevel } from '../mmu/walk.ts';
import type { VmxUnit } from './vmx-unit.ts';

/** Bits of the exit qualification of an EPT violation beside the access and the permissions. */
const LINEAR_VALID = 1 << 7;
const TRANSLATED = 1 << 8;
const NMI_UNBLOCKING = 1 << 12;

/** APIC-access types. See: SDM Table 28-6 Exit Qualification for APIC-Access VM Exits from Linear Accesses and Guest-Physical Accesses */
// prettier-ignore
const APIC_ACCESS_TYPE = { read: 0, write: 1, fetch: 2, delivery: 3, guestPhysicalDelivery: 10, guestPhysical: 15 } as const;

/** The guest-physical dimension of non-root operation: EPT, and the APIC-access page in whatever it leads to. */
export class GuestPhysical implements SecondLevel {
  readonly walker: EptWalker;
  lastWritable = true;
  lastCacheable = true;
  private readonly unit: VmxUnit;
  private enabled = false;
  /** The linear address whose translation is under way. */
  private hasLinear = false;
  private linearLow = 0;
  private linearHigh = 0;
  private fetching = false;

  constructor(unit: VmxUnit) {
    this.unit = unit;
    this.walker = new EptWalker(unit.cpu.memory);
  }

  /** `root` is -1 without EPT. */
  configure(root: PhysicalAddress, accessedDirty: boolean): void {
    this.enabled = root >= 0;
    if (root >= 0) this.walker.use(root, accessedDirty);
  }

  begin(low: number, high: number, fetch: boolean): void {
    this.hasLinear = true;
    this.linearLow = low;
    this.linearHigh = high;
    this.fetching = fetch;
  }
  end(): void {
    this.hasLinear = false;
  }

  translate(address: PhysicalAddress, write: boolean, fetch: boolean, structure: boolean): PhysicalAddress {
    this.lastCacheable = true;
    this.lastWritable = true;
    const physical = this.enabled ? this.throughEpt(address, write, fetch, structure) : address;
    const { apicAccessPage } = this.unit.controls;
    const result =
      apicAccessPage !== NO_PAGE && physical - (physical % 0x1000) === apicAccessPage
        ? this.apicAccess(physical, write, structure)
        : physical;
    if (!structure) this.hasLinear = false;
    return result;
  }

  private throughEpt(address: PhysicalAddress, write: boolean, fetch: boolean, structure: boolean): PhysicalAddress {
    const { walker } = this;
    // With accessed and dirty flags, an access to a paging structure counts as a write, and is reported as both.
    let access: number = fetch ? EPT_ACCESS.fetch : write ? EPT_ACCESS.write : EPT_ACCESS.read;
    if (structure && walker.accessedDirty) access = EPT_ACCESS.read | EPT_ACCESS.write;
    const outcome = walker.walk(address, access);
    if (outcome === EPT_WALK.misconfiguration) return this.misconfigured(address);
    if (outcome === EPT_WALK.violation) return this.violation(address, access, structure);
    this.lastWritable = walker.writable;
    return walker.physical;
  }

  /** Without accessed and dirty flags for EPT, setting one of the guest's is a write, and is reported as both. */
  refuseFlags(address: PhysicalAddress): void {
    this.walker.mappings.drop(address);
    this.violation(address, EPT_ACCESS.read | EPT_ACCESS.write, true);
  }

  /** See: SDM 29.3.3.2 EPT Violations, Table 28-7 Exit Qualification for EPT Violations */
  private violation(address: PhysicalAddress, access: number, structure: boolean): -1 {
    let qualification = access | (this.walker.permissions << 3);
    if (this.hasLinear) qualification |= structure ? LINEAR_VALID : LINEAR_VALID | TRANSLATED;
    if (eventHooks(this.unit.cpu).deliveringEvent === undefined && this.unit.takeNmiUnblocked())
      qualification |= NMI_UNBLOCKING;
    this.forgetLinear();
    return this.give(EXIT_REASON.EPT_VIOLATION, address, qualification);
  }

  private misconfigured(address: PhysicalAddress): -1 {
    return this.give(EXIT_REASON.EPT_MISCONFIG, address, 0);
  }

  /** See: SDM 30.4.2 Virtualizing Reads from the APIC-Access Page, 30.4.3 Virtualizing Writes to the APIC-Access Page */
  private apicAccess(physical: PhysicalAddress, write: boolean, structure: boolean): PhysicalAddress {
    const { unit } = this;
    const offset = physical % 0x1000;
    if (unit.controls.tprShadow && !structure && !this.fetching && (offset & 0xffc) === VTPR_OFFSET)
      return this.virtualTpr(offset, write);
    const delivering = eventHooks(unit.cpu).deliveringEvent !== undefined;
    const linear = this.fetching
      ? APIC_ACCESS_TYPE.fetch
      : delivering
        ? APIC_ACCESS_TYPE.delivery
        : write
          ? APIC_ACCESS_TYPE.write
          : APIC_ACCESS_TYPE.read;
    const guestPhysical = delivering ? APIC_ACCESS_TYPE.guestPhysicalDelivery : APIC_ACCESS_TYPE.guestPhysical;
    return this.give(
      EXIT_REASON.APIC_ACCESS,
      -1,
      offset | ((structure || !this.hasLinear ? guestPhysical : linear) << 12),
    );
  }

  /** The access goes to the virtual-APIC page, and only this one. */
  private virtualTpr(offset: number, write: boolean): PhysicalAddress {
    const { unit } = this;
    this.lastCacheable = false;
    if (write) {
      unit.noteTaskPriorityWrite();
      unit.cpu.mmu.leaveBlock();
    }
    return unit.controls.virtualApicPage + offset;
  }

  /** Records the exit; the access fails as by a fault. */
  private give(reason: number, physical: PhysicalAddress, qualification: number): -1 {
    const { unit } = this;
    const { cpu } = unit;
    if (cpu.faulted) return -1;
    const exit = unit.exit.begin(reason).qualify(qualification);
    exit.physical = physical;
    if (reason === EXIT_REASON.EPT_VIOLATION && this.hasLinear) {
      exit.hasLinear = true;
      exit.linearLow = this.linearLow;
      exit.linearHigh = this.linearHigh;
    }
    exit.instructionLength = this.fetching && this.hasLinear ? 0 : currentLength(unit);
    exit.resumeFlag = 1;
    cpu.fault(VM_EXIT_RECORDED);
    return -1;
  }

  /** A violation invalidates what was cached for the linear address. See: SDM 29.4.3.1 Operations that Invalidate Cached Mappings */
  private forgetLinear(): void {
    if (!this.hasLinear) return;
    const { mmu } = this.unit.cpu;
    if (mmu.knows(this.linearLow, this.linearHigh))
      mmu.invalidatePage(this.linearHigh * 0x100000000 + (this.linearLow >>> 0));
  }
}

/** Length of the instruction that the engine is executing: reported with these exits too, as processors do. */
function currentLength(unit: VmxUnit): number {
  const { cpu } = unit;
  if (eventHooks(cpu).deliveringEvent !== undefined) return 0;
  const record = cpu.words[STATE.record >> 2];
  if (record === 0) return 0;
  const { i32 } = cpu.memory;
  return i32[(record + RECORD.nextOffset) >> 2] - i32[(record + RECORD.ripOffset) >> 2];
}
