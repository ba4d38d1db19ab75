// SPDX-License-Identifier: Apache-2.0
import type { AccessWidth, PhysicalAddress } from '../../hardware/memory.ts';
import { processorArea, PROCESSOR_AREA_SIZE } from '../memory/layout.ts';
import type { Memory } from '../memory/memory.ts';
import { Mmu } from '../mmu/mmu.ts';
import { CLASS } from '../mmu/walk.ts';
import type { PagingMode } from '../mmu/walk.ts';
import { DataBreakpoints } from './data-breakpoints.ts';
import type { ProcessorEnvironment } from './environment.ts';
import { STATUS } from './interpreter/record.ts';
import { MODE } from './mode.ts';
import { CR0, CR4, EFER, RFLAGS } from './register-bits.ts';
import { CS, DS, ES, SEGMENT, SS, STATE, segmentOffset } from './state.ts';

export { CR0, CR4, EFER, RFLAGS } from './register-bits.ts';

/** What a processor reaches beside RAM. Addresses are physical. */
export interface PhysicalBus {
  readMemory(address: PhysicalAddress, width: AccessWidth): number;
  writeMemory(address: PhysicalAddress, width: AccessWidth, value: number): void;
  readPort(port: number, width: 1 | 2 | 4): number;
  writePort(port: number, width: 1 | 2 | 4, value: number): void;
}

/** Canonical linear address as a signed Number (-2^47 .. 2^47 - 1), exact. Below 4 GiB outside 64-bit mode. */
export type LinearAddress = number & { readonly __space?: 'linear' };

/**
 * The state block seen from TypeScript, and what microcode needs of it: faults as recorded values, memory by linear
 * address, and the derived words (mode, contexts) that compiled code reads.
 *
 * Faults: an access or a check that fails records the fault and sets `faulted`; what it returns is then meaningless.
 * Microcode reads and probes everything first, asks `faulted` once, and only then commits.
 */
export class Processor {
  readonly index: number;
  readonly memory: Memory;
  readonly bus: PhysicalBus;
  readonly mmu: Mmu;
  /** Data and I/O breakpoints that the current instruction met. */
  readonly breakpoints: DataBreakpoints;
  readonly area: number;
  /** Views of this processor's area; index with STATE.x >> 2 or >> 3. */
  readonly words: Int32Array;
  readonly quads: BigUint64Array;
  readonly bytes: Uint8Array;
  readonly view: DataView;

  /** What the processor is wired to; set when the machine is put together. */
  environment!: ProcessorEnvironment;

  /** Set by instructions after which RFLAGS.TF, although set when they began, causes no single-step trap: INT n, SYSCALL. */
  trapSuppressed = false;

  /** In VMX non-root operation: a bit (PASSING) for each instruction whose exit the controls rule out. */
  passing = 0;
  /** In non-root operation: how much more the guest's time-stamp counter shows than the processor's; NaN: VMX is to be asked. */
  guestTscAhead = 0;

  faulted = false;
  faultVector = 0;
  /** -1: the exception pushes no error code. */
  faultErrorCode = -1;
  /** Of a recorded #DB: the DR6 bits that its delivery sets. */
  faultDebugStatus = 0;
  /** The address of a page fault, for CR2. */
  faultLinearLow = 0;
  faultLinearHigh = 0;
  /** Where the current run's budget ends, in ticks: now = this - remaining. */
  private lastTick = 0;
  /** Ticks that passed while this processor did not run. */
  idleTicks = 0;

  constructor(index: number, memory: Memory, bus: PhysicalBus) {
    this.index = index;
    this.memory = memory;
    this.bus = bus;
    this.area = processorArea(index);
    this.words = new Int32Array(memory.buffer, this.area, PROCESSOR_AREA_SIZE / 4);
    this.quads = new BigUint64Array(memory.buffer, this.area, PROCESSOR_AREA_SIZE / 8);
    this.bytes = new Uint8Array(memory.buffer, this.area, PROCESSOR_AREA_SIZE);
    this.view = new DataView(memory.buffer, this.area, PROCESSOR_AREA_SIZE);
    this.breakpoints = new DataBreakpoints(this);
    this.mmu = new Mmu(this);
  }

  // --- registers -----------------------------------------------------------------------------------------------

  /** Unsigned 32 bits of a state field. */
  get32(offset: number): number {
    return this.words[offset >> 2] >>> 0;
  }
  set32(offset: number, value: number): void {
    this.words[offset >> 2] = value;
  }
  get64(offset: number): bigint {
    return this.quads[offset >> 3];
  }
  set64(offset: number, value: bigint): void {
    this.quads[offset >> 3] = value;
  }
  /** A 64-bit field as a signed Number; exact when it is a canonical address or otherwise below 2^53. */
  getSigned(offset: number): number {
    return this.words[(offset >> 2) + 1] * 0x100000000 + (this.words[offset >> 2] >>> 0);
  }
  setSigned(offset: number, value: number): void {
    this.words[offset >> 2] = value;
    this.words[(offset >> 2) + 1] = Math.floor(value / 0x100000000);
  }

  /** Bits 31:0 of a general register, unsigned. */
  reg32(register: number): number {
    return this.words[register * 2] >>> 0;
  }
  /** Writes a 32-bit general register: bits 63:32 become zero. */
  setReg32(register: number, value: number): void {
    this.words[register * 2] = value;
    this.words[register * 2 + 1] = 0;
  }
  reg16(register: number): number {
    return this.words[register * 2] & 0xffff;
  }
  setReg16(register: number, value: number): void {
    this.view.setUint16(register * 8, value, true);
  }
  reg64(register: number): bigint {
    return this.quads[register];
  }
  setReg64(register: number, value: bigint): void {
    this.quads[register] = value;
  }

  get cpl(): number {
    return this.words[STATE.cpl >> 2];
  }
  get cr0(): number {
    return this.words[STATE.cr0 >> 2];
  }
  get cr4(): number {
    return this.words[STATE.cr4 >> 2];
  }
  get efer(): number {
    return this.words[STATE.efer >> 2];
  }
  get longMode(): boolean {
    return (this.efer & EFER.LMA) !== 0;
  }
  /** Running 64-bit code (long mode and CS.L). */
  get code64(): boolean {
    return (this.words[STATE.mode >> 2] & MODE.code64) !== 0;
  }
  get realMode(): boolean {
    return (this.cr0 & CR0.PE) === 0;
  }
  get virtual8086(): boolean {
    return (this.words[STATE.flagsOther >> 2] & RFLAGS.VM) !== 0;
  }
  /** RIP of the next instruction while microcode runs; see `instructionRip` for its own. */
  get rip(): number {
    return this.getSigned(STATE.rip);
  }
  set rip(value: number) {
    this.setSigned(STATE.rip, value);
  }

  /** The six arithmetic flags in EFLAGS positions. */
  get arithmeticFlags(): number {
    const { words } = this;
    const low = words[STATE.flagResult >> 2];
    const high = words[(STATE.flagResult >> 2) + 1];
    const carry = words[STATE.flagCarry >> 2];
    let parity = (low ^ (carry >>> 8)) & 0xff;
    parity ^= parity >> 4;
    parity = (0x9669 >> (parity & 15)) & 1;
    const overflow = ((carry ^ (carry << 1)) >>> 31) << 11;
    const sign = ((high >>> 31) ^ (carry & 1)) << 7;
    return (carry >>> 31) | (parity << 2) | ((carry & 8) << 1) | ((low | high) === 0 ? 0x40 : 0) | sign | overflow;
  }
  set arithmeticFlags(eflags: number) {
    const { words } = this;
    words[STATE.flagResult >> 2] = eflags & RFLAGS.ZF ? 0 : 0x100;
    words[(STATE.flagResult >> 2) + 1] = 0;
    const carry = eflags & 1;
    const overflow = (eflags >> 11) & 1;
    words[STATE.flagCarry >> 2] =
      (carry << 31) |
      ((carry ^ overflow) << 30) |
      ((eflags & 4 ? 0 : 1) << 8) |
      ((eflags & 0x10) >> 1) |
      ((eflags >> 7) & 1);
  }

  /** The whole of RFLAGS (bits 31:0; the upper half is always zero). */
  get rflags(): number {
    return this.arithmeticFlags | this.words[STATE.flagsOther >> 2] | 2;
  }
  /** Writes all flags as they are; checks of who may change what are the caller's. Call `modeChanged` if VM or AC changed. */
  set rflags(value: number) {
    this.arithmeticFlags = value;
    this.words[STATE.flagsOther >> 2] = value & ~0x8d5 & ~0x2a & 0x3fffff & ~0x8000;
  }

  // --- segments ------------------------------------------------------------------------------------------------

  selector(segment: number): number {
    return this.words[(segmentOffset(segment) + SEGMENT.selector) >> 2];
  }
  /** Access rights in the VMCS layout: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15, unusable 16. */
  accessRights(segment: number): number {
    return this.words[(segmentOffset(segment) + SEGMENT.accessRights) >> 2];
  }
  segmentLimit(segment: number): number {
    return this.words[(segmentOffset(segment) + SEGMENT.limit) >> 2] >>> 0;
  }
  segmentBase(segment: number): number {
    return this.getSigned(segmentOffset(segment) + SEGMENT.base);
  }
  /** Writes the hidden part and the selector; call `modeChanged` afterwards. */
  setSegment(segment: number, selector: number, base: number, limit: number, accessRights: number): void {
    const at = segmentOffset(segment);
    this.setSigned(at + SEGMENT.base, base);
    this.words[(at + SEGMENT.limit) >> 2] = limit;
    this.words[(at + SEGMENT.accessRights) >> 2] = accessRights;
    this.words[(at + SEGMENT.selector) >> 2] = selector;
  }

  // --- faults --------------------------------------------------------------------------------------------------

  /** Records a fault of the current instruction; returns the status microcode returns. The first one stands. */
  fault(vector: number, errorCode = -1): number {
    if (!this.faulted) {
      this.faulted = true;
      this.faultVector = vector;
      this.faultErrorCode = errorCode;
    }
    return STATUS.fault;
  }
  /** Records a #DB. DR6 is for the delivery to write: a VM exit leaves it alone. */
  debugFault(debugStatus: number): number {
    if (!this.faulted) this.faultDebugStatus = debugStatus;
    return this.fault(1);
  }
  generalProtection(errorCode = 0): number {
    return this.fault(13, errorCode);
  }
  undefinedOpcode(): number {
    return this.fault(6);
  }

  // --- what compiled code depends on ---------------------------------------------------------------------------

  /** After any change of CR0, CR4, EFER, CPL, segments, RFLAGS.VM or RFLAGS.AC. */
  modeChanged(): void {
    const { words } = this;
    const cr0 = this.cr0;
    const csRights = this.accessRights(CS);
    const long = this.longMode;
    const vm = this.virtual8086;
    const real = (cr0 & CR0.PE) === 0;
    let mode = words[STATE.mode >> 2] & MODE.single;
    if (long && csRights & 0x2000) mode |= MODE.code64 | MODE.flat | MODE.stack32;
    else {
      if (csRights & 0x4000) mode |= MODE.code32;
      if (this.accessRights(SS) & 0x4000) mode |= MODE.stack32;
      if (!real && !vm && this.flatSegments()) mode |= MODE.flat;
    }
    if (vm) mode |= MODE.virtual8086;
    if (real) mode |= MODE.real;
    if (cr0 & CR0.EM) mode |= MODE.em;
    if (cr0 & CR0.TS) mode |= MODE.ts;
    if (cr0 & CR0.MP) mode |= MODE.mp;
    if (!(this.cr4 & CR4.OSFXSR)) mode |= MODE.noSse;
    words[STATE.mode >> 2] = mode;
    const code64 = (mode & MODE.code64) !== 0;
    this.setSigned(STATE.codeBase, code64 ? 0 : this.segmentBase(CS));
    words[STATE.codeMask >> 2] = -1;
    words[(STATE.codeMask >> 2) + 1] = code64 ? -1 : 0;
    this.mmu.contextChanged();
  }

  private flatSegments(): boolean {
    for (const segment of [ES, CS, SS, DS]) {
      if (this.segmentBase(segment) !== 0 || this.segmentLimit(segment) !== 0xffffffff) return false;
      const rights = this.accessRights(segment);
      if (rights & 0x10000) return false;
      if (segment !== CS && (rights & 0xe) !== 2) return false;
      if (segment === CS && (rights & 0xa) !== 0xa) return false;
    }
    return true;
  }

  /** The class of ordinary data accesses now. See: SDM 4.6 Access Rights. */
  get dataClass(): number {
    if (this.cpl === 3) return CLASS.user;
    return (this.cr4 & CR4.SMAP) !== 0 && (this.words[STATE.flagsOther >> 2] & RFLAGS.AC) === 0
      ? CLASS.supervisorSmap
      : CLASS.supervisor;
  }

  get pagingMode(): PagingMode {
    return this.mmu.paging;
  }

  // --- time ----------------------------------------------------------------------------------------------------

  /**
   * Virtual time in ticks of the stated frequency: instructions retired (the current one included while its microcode
   * runs) and the ticks of idleness that were skipped. In the middle of a block, that is after a slow access, the rest
   * of the block is not yet retired.
   */
  get ticks(): number {
    return this.lastTick - this.words[STATE.remaining >> 2];
  }
  /** Ticks at which the budget of the run is used up. */
  get runEnd(): number {
    return this.lastTick;
  }
  set runEnd(tick: number) {
    this.lastTick = tick;
    this.setSigned(STATE.ticksAtEnd, tick);
  }
  /** Instructions retired since power-on. */
  get instructions(): number {
    return this.ticks - this.idleTicks;
  }

  // --- memory by linear address: sticky faults -------------------------------------------------------------------

  load8(address: LinearAddress, accessClass = this.dataClass): number {
    const host = this.mmu.locate(address, 1, false, accessClass);
    return host === -1 ? 0 : this.memory.u8[host];
  }
  load16(address: LinearAddress, accessClass = this.dataClass): number {
    const host = this.mmu.locate(address, 2, false, accessClass);
    return host === -1 ? 0 : this.memory.view.getUint16(host, true);
  }
  load32(address: LinearAddress, accessClass = this.dataClass): number {
    const host = this.mmu.locate(address, 4, false, accessClass);
    return host === -1 ? 0 : this.memory.view.getUint32(host, true);
  }
  load64(address: LinearAddress, accessClass = this.dataClass): bigint {
    const host = this.mmu.locate(address, 8, false, accessClass);
    return host === -1 ? 0n : this.memory.view.getBigUint64(host, true);
  }
  /** Up to 4096 bytes; false when it faulted. */
  loadBytes(address: LinearAddress, bytes: Uint8Array, accessClass = this.dataClass): boolean {
    for (let i = 0; i < bytes.length; i++) {
      bytes[i] = this.load8(address + i, accessClass);
      if (this.faulted) return false;
    }
    return true;
  }
  store8(address: LinearAddress, value: number, accessClass = this.dataClass): void {
    const host = this.mmu.locate(address, 1, true, accessClass);
    if (host === -1) return;
    this.memory.u8[host] = value;
    this.mmu.finishStore();
  }
  store16(address: LinearAddress, value: number, accessClass = this.dataClass): void {
    const host = this.mmu.locate(address, 2, true, accessClass);
    if (host === -1) return;
    this.memory.view.setUint16(host, value, true);
    this.mmu.finishStore();
  }
  store32(address: LinearAddress, value: number, accessClass = this.dataClass): void {
    const host = this.mmu.locate(address, 4, true, accessClass);
    if (host === -1) return;
    this.memory.view.setUint32(host, value, true);
    this.mmu.finishStore();
  }
  store64(address: LinearAddress, value: bigint, accessClass = this.dataClass): void {
    const host = this.mmu.locate(address, 8, true, accessClass);
    if (host === -1) return;
    this.memory.view.setBigUint64(host, value, true);
    this.mmu.finishStore();
  }
  /** Stores bytes that were probed before; a fault part way is still recorded. */
  storeBytes(address: LinearAddress, bytes: Uint8Array, accessClass = this.dataClass): boolean {
    for (let i = 0; i < bytes.length && !this.faulted; i++) this.store8(address + i, bytes[i], accessClass);
    return !this.faulted;
  }
  /** Checks that `size` bytes (at most a page) can be written, changing nothing but accessed and dirty bits. */
  probeWrite(address: LinearAddress, size: number, accessClass = this.dataClass): boolean {
    this.mmu.reach(address, true, accessClass);
    if (!this.faulted && ((address + size - 1) & ~0xfff) !== (address & ~0xfff))
      this.mmu.reach(address - (address & 0xfff) + 0x1000, true, accessClass);
    return !this.faulted;
  }
  probeRead(address: LinearAddress, size: number, accessClass = this.dataClass): boolean {
    this.mmu.reach(address, false, accessClass);
    if (!this.faulted && ((address + size - 1) & ~0xfff) !== (address & ~0xfff))
      this.mmu.reach(address - (address & 0xfff) + 0x1000, false, accessClass);
    return !this.faulted;
  }
}
