// SPDX-License-Identifier: Apache-2.0
import type { PhysicalAddress } from '../../hardware/memory.ts';
import { NO_CONTEXT, SCRATCH_OFFSET } from '../memory/layout.ts';
import type { HostAddress, Memory } from '../memory/memory.ts';
import { ACCESS, RECORD } from '../cpu/interpreter/record.ts';
import { CR0, CR4, RFLAGS } from '../cpu/register-bits.ts';
import type { LinearAddress, Processor } from '../cpu/processor.ts';
import { MODE } from '../cpu/mode.ts';
import { AFTER, CS, STATE } from '../cpu/state.ts';
import { AddressSpace } from './address-space.ts';
import { readDevice, writeDevice } from './device-access.ts';
import { GLOBAL_KIND } from './global-translations.ts';
import { TranslationBuffers } from './tlb.ts';
import { initialPagingMode, translationBits, updatePagingMode } from './paging-mode.ts';
import { CLASS, PageWalker, WALK } from './walk.ts';
import type { PagingMode } from './walk.ts';

const PAGE_FAULT = 14;
const STACK_FAULT = 12;
const GENERAL_PROTECTION = 13;
const ALIGNMENT_CHECK = 17;
/** Upper half of the last canonical addresses below the hole. */
const LAST_HIGH = 0x7fff;

/** Two places in scratch: a load that must be assembled, and a store that waits until its instruction commits. */
const LOAD_SLOT = SCRATCH_OFFSET;
const STORE_SLOT = SCRATCH_OFFSET + 64;

/**
 * Linear addresses to host addresses for one processor: the slow path of compiled code and every access of microcode.
 * What is RAM, within a page and without side effect answers with its own address; everything else (device registers,
 * accesses across a page) goes through scratch.
 */
export class Mmu {
  readonly buffers: TranslationBuffers;
  readonly walker: PageWalker;
  readonly paging: PagingMode = initialPagingMode();
  /** VPID and EPT pointer, part of a space's key. */
  guestKey = '';
  /** Times a walk was made, for tests and profiles. */
  walks = 0;
  private readonly cpu: Processor;
  private readonly memory: Memory;
  private readonly space: AddressSpace;
  private alignmentChecked = false;
  /** A data breakpoint is enabled: compiled code finds no translation, so that every access comes here and is noted. */
  private watching = false;
  private pendingSize = 0;
  /** Where the two parts of a waiting store go; the second is -1 unless it crosses a page. Negative: a device. */
  private pendingPhysical: PhysicalAddress = 0;
  private pendingPhysical2: PhysicalAddress = -1;
  private pendingFirst = 0;

  constructor(cpu: Processor) {
    this.cpu = cpu;
    this.memory = cpu.memory;
    this.buffers = new TranslationBuffers(cpu.memory, cpu.index);
    this.space = new AddressSpace(this.buffers);
    this.walker = new PageWalker(cpu.memory);
  }

  /** After CR0, CR3, CR4 or EFER changed: works out the paging mode and the space. */
  pagingChanged(): void {
    updatePagingMode(this.paging, this.cpu);
    this.contextChanged();
  }

  /** The part of a space's key that says which address space it is: what INVPCID and MOV to CR3 forget. */
  pcidKey(pcid: number): string {
    return `${this.guestKey}|${pcid}|`;
  }
  get currentPcid(): number {
    return this.cpu.cr4 & CR4.PCIDE ? this.cpu.words[STATE.cr3 >> 2] & 0xfff : 0;
  }

  /** After anything that the contexts depend on. */
  contextChanged(): void {
    const { cpu, paging } = this;
    const { words } = cpu;
    this.space.choose(this.guestKey, this.currentPcid, translationBits(paging), paging.globals);
    this.alignmentChecked =
      cpu.cpl === 3 && (words[STATE.flagsOther >> 2] & RFLAGS.AC) !== 0 && (cpu.cr0 & CR0.AM) !== 0;
    this.watching = cpu.breakpoints.watching;
    const data = this.alignmentChecked || this.watching ? NO_CONTEXT : this.context(cpu.dataClass);
    const checkedLimit =
      (words[STATE.mode >> 2] & (MODE.code64 | MODE.flat)) === 0 && cpu.segmentLimit(CS) !== 0xffffffff;
    const fetch = checkedLimit ? NO_CONTEXT : this.context(cpu.cpl === 3 ? CLASS.user : CLASS.supervisor);
    words[STATE.dataContext >> 2] = data;
    words[STATE.dataHash >> 2] = this.buffers.dataHash(data);
    words[STATE.fetchContext >> 2] = fetch;
    words[STATE.fetchHash >> 2] = this.buffers.fetchHash(fetch);
  }

  private context(accessClass: number): number {
    return this.space.context(accessClass);
  }

  /** MOV to CR3 that flushes, INVPCID and the like: all translations of a PCID but the global ones. */
  forgetPcid(pcid: number): void {
    const prefix = this.pcidKey(pcid);
    this.buffers.forget((key) => key.startsWith(prefix));
    this.contextChanged();
  }
  forgetAll(): void {
    const prefix = `${this.guestKey}|`;
    this.buffers.forget((key) => key.startsWith(prefix));
    this.contextChanged();
  }
  invalidatePage(address: LinearAddress): void {
    this.buffers.invalidatePage(address | 0, Math.floor(address / 0x100000000));
    this.contextChanged();
  }

  /**
   * The slow path of compiled code. Answers with a host address that may be read or written now, or -1 after recording
   * a fault. `STATE.afterAccess` then says what is left to do when the instruction is done.
   */
  access(low: number, high: number, spec: number): number {
    const { cpu } = this;
    const top = high >> 15;
    const size = spec & ACCESS.sizeMask;
    if ((top !== 0 && top !== -1) || (high === LAST_HIGH && (low >>> 0) + size > 0x100000000)) {
      const inStack =
        (spec & ACCESS.stack) !== 0 ||
        this.memory.i32[(cpu.words[STATE.record >> 2] + RECORD.segmentBase) >> 2] === STATE.zeroStack;
      cpu.fault(inStack ? STACK_FAULT : GENERAL_PROTECTION, 0);
      return -1;
    }
    if (this.alignmentChecked && (low & (Math.min(size, 8) - 1)) !== 0) {
      cpu.fault(ALIGNMENT_CHECK, 0);
      return -1;
    }
    this.modifying = (spec & ACCESS.modify) !== 0;
    const host = this.locate(high * 0x100000000 + (low >>> 0), size, (spec & ACCESS.write) !== 0, cpu.dataClass);
    this.modifying = false;
    return host;
  }

  /** As `access`, for microcode. After storing to what a `write` answered with, call `finishStore`. */
  locate(address: LinearAddress, size: number, write: boolean, accessClass: number): number {
    const crossing = (address & 0xfff) + size > 0x1000;
    const host = this.reach(address, write, accessClass);
    if (this.cpu.faulted) return -1;
    if (this.watching) this.cpu.breakpoints.note(address, size, write);
    if (!crossing && host !== -1) {
      if (write) this.noteStore(host, size);
      return host;
    }
    return this.throughScratch(address, size, write, accessClass, host, crossing);
  }

  /**
   * Host address of one byte for this kind of access, -1 where no RAM is (then `walker.physical` is the address).
   * Uses the TLB and fills it.
   */
  reach(address: LinearAddress, write: boolean, accessClass: number): HostAddress {
    const low = address | 0;
    const high = Math.floor(address / 0x100000000);
    const context = this.context(accessClass);
    const cached = this.buffers.findData(low, high, context, write);
    if (cached !== -1) return cached;
    const shared = this.fromGlobals(low, high, accessClass, write ? GLOBAL_KIND.write : GLOBAL_KIND.read);
    if (shared !== -1) return shared;
    this.walks++;
    const { walker, cpu } = this;
    walker.secondLevel?.begin(low, high, false);
    const outcome = walker.walk(this.paging, low, high, write, false, accessClass);
    if (outcome !== WALK.ok) return this.failed(outcome, low, high);
    if (walker.pageShift > 12 && walker.pageShift < 32) this.buffers.noteLargePage(low, high, walker.pageShift);
    const physical = this.secondLevel(walker.physical, write, false);
    if (cpu.faulted) return -1;
    const host = this.memory.host(physical);
    if (host === -1) return -1;
    const writable = walker.writable && this.secondLevelWritable();
    if (this.cacheable()) {
      this.fill(low, high, context, host, writable);
      this.shareGlobal(low, high, accessClass, host, GLOBAL_KIND.read | (writable ? GLOBAL_KIND.write : 0));
    }
    return host;
  }

  /** As `reach`, to write zeros over the whole page: if nobody ever wrote it, it gets no write tag by this. */
  reachToClear(address: LinearAddress, accessClass: number): HostAddress {
    this.clearing = true;
    const host = this.reach(address, true, accessClass);
    this.clearing = false;
    return host;
  }
  private clearing = false;

  /** Fills the first level from the global pages; -1 when the page is not there for this kind of access. */
  private fromGlobals(low: number, high: number, accessClass: number, kind: number): HostAddress {
    if (this.space.globals === 0) return -1;
    const { buffers } = this;
    const shared = this.space.globalContext(accessClass);
    const kinds = buffers.globals.kinds(low, high, shared);
    if ((kinds & kind) === 0) return -1;
    const host = buffers.globals.host(low, shared);
    const context = this.context(accessClass);
    if (kind === GLOBAL_KIND.fetch) buffers.fillFetch(low, high, context, host);
    else this.fill(low, high, context, host, (kinds & GLOBAL_KIND.write) !== 0);
    return host;
  }
  private fill(low: number, high: number, context: number, host: HostAddress, writable: boolean): void {
    const { written } = this.memory;
    const direct = writable && !this.holdsCode(host) && (!this.clearing || written[host >>> 12] !== 0);
    if (direct) written[host >>> 12] = 1;
    this.buffers.fillData(low, high, context, host, direct);
  }
  /** After a walk. */
  private shareGlobal(low: number, high: number, accessClass: number, host: HostAddress, kinds: number): void {
    if (this.walker.global && this.space.globals !== 0)
      this.buffers.globals.fill(low, high, this.space.globalContext(accessClass), host, kinds);
  }

  /** Guest-physical to machine-physical when EPT is on; leaves the result in `walker.physical`. */
  private secondLevel(address: PhysicalAddress, write: boolean, fetch: boolean): PhysicalAddress {
    const second = this.walker.secondLevel;
    if (second === undefined) return address;
    const machine = second.translate(address, write, fetch, false);
    this.walker.physical = machine;
    return machine;
  }
  private secondLevelWritable(): boolean {
    return this.walker.secondLevel === undefined || this.walker.secondLevel.lastWritable;
  }
  private cacheable(): boolean {
    return this.walker.secondLevel === undefined || this.walker.secondLevel.lastCacheable;
  }
  private holdsCode(host: HostAddress): boolean {
    return this.codePages !== undefined && this.codePages[host >>> 12] !== 0;
  }
  /** Set once by the translator: which host pages hold translated code. */
  codePages: Uint8Array | undefined;

  /** Translates an instruction fetch; -1 after a fault, -2 where no RAM is. */
  fetch(address: LinearAddress): HostAddress {
    const low = address | 0;
    const high = Math.floor(address / 0x100000000);
    const accessClass = this.cpu.cpl === 3 ? CLASS.user : CLASS.supervisor;
    const context = this.context(accessClass);
    const cached = this.buffers.findFetch(low, high, context);
    if (cached !== -1) return cached;
    const shared = this.fromGlobals(low, high, accessClass, GLOBAL_KIND.fetch);
    if (shared !== -1) return shared;
    this.walks++;
    this.walker.secondLevel?.begin(low, high, true);
    const outcome = this.walker.walk(this.paging, low, high, false, true, accessClass);
    if (outcome !== WALK.ok) return this.failed(outcome, low, high);
    if (this.walker.pageShift > 12 && this.walker.pageShift < 32)
      this.buffers.noteLargePage(low, high, this.walker.pageShift);
    const physical = this.secondLevel(this.walker.physical, false, true);
    if (this.cpu.faulted) return -1;
    const host = this.memory.host(physical);
    if (host === -1) return -2;
    if (this.cacheable()) {
      this.buffers.fillFetch(low, high, context, host);
      this.shareGlobal(low, high, accessClass, host, GLOBAL_KIND.fetch);
    }
    return host;
  }

  /** Host address of code that is cached; -1: it is not. Looks, and changes nothing. */
  fetched(address: LinearAddress): HostAddress {
    const accessClass = this.cpu.cpl === 3 ? CLASS.user : CLASS.supervisor;
    return this.buffers.findFetch(address | 0, Math.floor(address / 0x100000000), this.context(accessClass));
  }

  /** Whether anything is cached for a linear address in the current address space. */
  knows(low: number, high: number): boolean {
    const { buffers } = this;
    for (let accessClass = 0; accessClass < 3; accessClass++) {
      const context = this.context(accessClass);
      if (buffers.findData(low, high, context, false) !== -1 || buffers.findFetch(low, high, context) !== -1)
        return true;
      if (buffers.globals.kinds(low, high, this.space.globalContext(accessClass)) !== 0) return true;
    }
    return false;
  }

  private failed(outcome: number, low: number, high: number): -1 {
    const { cpu } = this;
    this.walker.secondLevel?.end();
    if (outcome === WALK.pageFault) {
      cpu.faultLinearLow = low;
      cpu.faultLinearHigh = high;
      cpu.fault(PAGE_FAULT, this.walker.errorCode);
    }
    return -1;
  }

  private noteStore(host: HostAddress, size: number): void {
    if (!this.holdsCode(host)) return;
    const before = this.memory.codeGeneration;
    this.memory.noteWrite(host, size);
    if (this.memory.codeGeneration !== before) this.leaveBlock();
  }

  /** The rest of the current block may be stale, or a device may have changed what is pending: end it here. */
  leaveBlock(): void {
    this.sideEffect = true;
    this.cpu.words[STATE.afterAccess >> 2] |= AFTER.leave;
  }

  private throughScratch(
    address: LinearAddress,
    size: number,
    write: boolean,
    accessClass: number,
    host: HostAddress,
    crossing: boolean,
  ): number {
    const first = crossing ? 0x1000 - (address & 0xfff) : size;
    const physical = host === -1 ? this.walker.physical : this.memory.physical(host);
    let physical2 = -1;
    if (crossing) {
      const host2 = this.reach(address + first, write, accessClass);
      if (this.cpu.faulted) return -1;
      physical2 = host2 === -1 ? this.walker.physical : this.memory.physical(host2);
    }
    const slot = this.cpu.area + (write ? STORE_SLOT : LOAD_SLOT);
    if (!write || crossing) {
      this.readPhysical(physical, first, slot);
      if (crossing) this.readPhysical(physical2, size - first, slot + first);
    } else if (this.memory.host(physical) === -1) this.readForModify(physical, size, slot);
    if (write) this.defer(physical, first, physical2, size);
    return slot;
  }

  /** A read-modify-write of a device register reads it first; a plain store's slot content is overwritten anyway. */
  private readForModify(physical: PhysicalAddress, size: number, slot: number): void {
    if (this.modifying) this.readPhysical(physical, size, slot);
  }
  /** Set by `leaveBlock`, for callers that run in the middle of a block. */
  sideEffect = false;
  /** Set around `access` when the intent is to modify. */
  modifying = false;

  private defer(physical: PhysicalAddress, first: number, physical2: PhysicalAddress, size: number): void {
    this.pendingPhysical = physical;
    this.pendingFirst = first;
    this.pendingPhysical2 = physical2;
    this.pendingSize = size;
    this.cpu.words[STATE.afterAccess >> 2] |= AFTER.storePending;
  }

  /** Carries out a store that waits in scratch. Returns true when the block must be left. */
  finishStore(): boolean {
    const { words } = this.cpu;
    const after = words[STATE.afterAccess >> 2];
    if (after === 0) return false;
    words[STATE.afterAccess >> 2] = after & AFTER.leave;
    if (after & AFTER.storePending) {
      const slot = this.cpu.area + STORE_SLOT;
      this.writePhysical(this.pendingPhysical, this.pendingFirst, slot);
      if (this.pendingPhysical2 !== -1)
        this.writePhysical(this.pendingPhysical2, this.pendingSize - this.pendingFirst, slot + this.pendingFirst);
    }
    const leave = (words[STATE.afterAccess >> 2] & AFTER.leave) !== 0;
    words[STATE.afterAccess >> 2] = 0;
    return leave;
  }

  private readPhysical(address: PhysicalAddress, size: number, slot: number): void {
    const { memory, cpu } = this;
    const host = memory.host(address);
    if (host !== -1) return copyFew(memory.u8, slot, host, size);
    this.leaveBlock();
    readDevice(cpu, address, size, slot);
  }

  private writePhysical(address: PhysicalAddress, size: number, slot: number): void {
    const { memory, cpu } = this;
    const host = memory.host(address);
    if (host !== -1) {
      this.noteStore(host, size);
      return copyFew(memory.u8, host, slot, size);
    }
    this.leaveBlock();
    writeDevice(cpu, address, size, slot);
  }

  /** Asks for attention at the next block boundary. */
  attend(bits: number): void {
    this.cpu.words[STATE.attention >> 2] |= bits;
  }
}

/** For a handful of bytes a loop is several times faster than copyWithin. */
function copyFew(bytes: Uint8Array, to: number, from: number, size: number): void {
  for (let i = 0; i < size; i++) bytes[to + i] = bytes[from + i];
}
