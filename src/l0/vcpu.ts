// SPDX-License-Identifier: Apache-2.0
import { OFFSET } from '../arch/vmx/fields.ts';
import {
  ACTIVITY,
  AR_L,
  BLOCKING_BY_MOV_SS,
  BLOCKING_BY_STI,
  CR0_PG,
  DEBUGCTL_BTF,
  EFER_LMA,
  PENDING_BS,
  RFLAGS_RF,
  RFLAGS_TF,
} from '../arch/vmx/state-bits.ts';
import { supports } from '../arch/vmx/capabilities.ts';
import { copyState, restoreState } from '../devices/bus-state.ts';
import { LocalApic } from '../devices/lapic.ts';
import type { ProcessorSignals } from '../hardware/processor.ts';
import type { Halves, HostPhysical, RootProcessor } from '../hardware/vmx.ts';
import { GuestTimeStampCounter } from './time-stamp-counter.ts';
import { initialVcpuState } from './vcpu-state.ts';
import type { VcpuState } from './vcpu-state.ts';
import type { VcpuPages, VirtualMachine } from './virtual-machine.ts';
import { isSet, readNatural, setBits, write32, writeNatural } from './vmcs-access.ts';

const { GUEST_RIP, GUEST_RSP, GUEST_RFLAGS, GUEST_CR0, GUEST_CR4, GUEST_INTERRUPTIBILITY_INFO } = OFFSET;
const { CR0_GUEST_HOST_MASK, CR4_GUEST_HOST_MASK, CR0_READ_SHADOW, CR4_READ_SHADOW, GUEST_PENDING_DBG_EXCEPTIONS } =
  OFFSET;
const { GUEST_ACTIVITY_STATE, GUEST_CS_AR_BYTES, GUEST_SS_AR_BYTES, GUEST_IA32_DEBUGCTL, VM_EXIT_INSTRUCTION_LEN } =
  OFFSET;
const { IDT_VECTORING_INFO_FIELD, IDT_VECTORING_ERROR_CODE, GUEST_IA32_EFER } = OFFSET;

const RSP = 4;
/** Bits of the pending debug exceptions: single step; a breakpoint that is enabled was met. */
const PENDING_ENABLED = 1 << 12;
const VALID = 0x80000000;
const PAGE_FAULT = 14;
const PAGE_BYTES = 0x1000;

/**
 * One virtual CPU of L1 on one processor. Registers are read and written where they are: in the current VMCS and in
 * the processor. While L2 runs these are L2's, and what completes an instruction completes one of L2.
 */
export class Vcpu implements ProcessorSignals {
  readonly index: number;
  readonly processor: RootProcessor;
  readonly machine: VirtualMachine;
  readonly localApic: LocalApic;
  readonly tsc: GuestTimeStampCounter;
  readonly pages: VcpuPages;
  readonly state: VcpuState;
  /** Whether real-address mode and unpaged protected mode run as they are. */
  readonly unrestricted: boolean;
  /** L0 is at work for this processor: it looks for events itself before it enters again, so nobody need kick. */
  attending = false;
  /** Breakpoints (bits 3:0) that the accesses L0 has made for the instruction that exited have met. */
  breakpointsMet = 0;
  readonly #halves: Halves = { low: 0, high: 0 };

  constructor(index: number, processor: RootProcessor, machine: VirtualMachine, pages: VcpuPages) {
    this.index = index;
    this.processor = processor;
    this.machine = machine;
    this.pages = pages;
    this.state = initialVcpuState(machine.msrRows.length);
    this.unrestricted = supports(processor.capabilities, 'secondary.UNRESTRICTED_GUEST');
    this.tsc = new GuestTimeStampCounter(this, machine.description.frequencyHz);
    this.localApic = new LocalApic(
      {
        id: index,
        bootstrap: index === 0,
        x2apic: machine.has('X2APIC'),
        tscDeadline: machine.has('TSC_DEADLINE'),
        physicalAddressBits: machine.cpuid.physicalAddressBits,
      },
      { signals: this, time: machine.time, tsc: this.tsc, bus: machine.apicBus, externalInterrupts: machine.pic },
    );
    if (index > 0) this.state.activity = ACTIVITY.waitForSipi;
  }

  /** The VMCS that describes L1 to the hardware. */
  get vmcs01(): HostPhysical {
    return this.pages.vmcs01;
  }

  // --- what the local APIC says, from any processor's exit or from a timer

  interruptsChanged(): void {
    this.#notice();
  }
  nmi(): void {
    this.state.pendingNmi = 1;
    this.#notice();
  }
  init(): void {
    this.state.pendingInit = 1;
    this.#notice(true);
  }
  /** Only a processor that waits for it, or soon will, takes a start-up IPI. */
  startup(vector: number): void {
    if (!this.#takesStartup()) return;
    this.state.pendingStartup = vector;
    this.#notice(true);
  }
  /** L2 waits in hardware, and enters that state by no instruction of its own: the VMCS still says so. */
  #takesStartup(): boolean {
    const { state, processor, machine } = this;
    if (state.level === 2) return processor.readLow(GUEST_ACTIVITY_STATE) === ACTIVITY.waitForSipi;
    if (state.activity === ACTIVITY.waitForSipi) return true;
    return state.pendingInit !== 0 && machine.nested?.blocksInit(this) !== true;
  }
  #notice(atOnce = false): void {
    if (!this.attending) this.processor.kick(atOnce);
  }

  // --- registers of the guest that runs; 0 RAX .. 15 R15

  /** Bits 31:0, unsigned. */
  low(register: number): number {
    if (register === RSP) return this.processor.readLow(GUEST_RSP);
    this.processor.readGeneral(register, this.#halves);
    return this.#halves.low;
  }
  readGeneral(register: number, out: Halves): void {
    if (register !== RSP) return this.processor.readGeneral(register, out);
    out.low = this.processor.readLow(GUEST_RSP);
    out.high = this.processor.readHigh(GUEST_RSP);
  }
  writeGeneral(register: number, low: number, high: number): void {
    if (register === RSP) this.processor.write(GUEST_RSP, low >>> 0, high >>> 0);
    else this.processor.writeGeneral(register, low >>> 0, high >>> 0);
  }
  /** Writes bits 31:0, which clears the others. */
  writeLow(register: number, value: number): void {
    this.writeGeneral(register, value, 0);
  }
  wide(register: number): bigint {
    this.readGeneral(register, this.#halves);
    return (BigInt(this.#halves.high) << 32n) | BigInt(this.#halves.low);
  }
  writeWide(register: number, value: bigint): void {
    this.writeGeneral(register, Number(value & 0xffffffffn), Number((value >> 32n) & 0xffffffffn));
  }

  /** A signed Number. */
  get rip(): number {
    return readNatural(this.processor, GUEST_RIP);
  }
  set rip(value: number) {
    writeNatural(this.processor, GUEST_RIP, value);
  }
  get rflags(): number {
    return this.processor.readLow(GUEST_RFLAGS);
  }
  set rflags(value: number) {
    write32(this.processor, GUEST_RFLAGS, value);
  }
  /** As the guest reads it, bits 31:0, unsigned. */
  get cr0(): number {
    return this.#shown(GUEST_CR0, CR0_GUEST_HOST_MASK, CR0_READ_SHADOW);
  }
  /** As the guest reads it, bits 31:0, unsigned. */
  get cr4(): number {
    return this.#shown(GUEST_CR4, CR4_GUEST_HOST_MASK, CR4_READ_SHADOW);
  }
  #shown(field: number, mask: number, shadow: number): number {
    const { processor } = this;
    const owned = processor.readLow(mask);
    return ((processor.readLow(field) & ~owned) | (processor.readLow(shadow) & owned)) >>> 0;
  }
  /** IA32_EFER as the guest sees it, bits 31:0. */
  get efer(): number {
    return this.pages.msrList < 0 ? this.processor.readLow(GUEST_IA32_EFER) : this.state.efer;
  }
  get paging(): boolean {
    return (this.cr0 & CR0_PG) !== 0;
  }
  get longMode(): boolean {
    return (this.efer & EFER_LMA) !== 0;
  }
  /** 64-bit mode. */
  get code64(): boolean {
    return this.longMode && isSet(this.processor, GUEST_CS_AR_BYTES, AR_L);
  }
  /** Current privilege level: the DPL of SS. */
  get cpl(): number {
    return (this.processor.readLow(GUEST_SS_AR_BYTES) >> 5) & 3;
  }

  // --- instructions that L0 completes

  /**
   * The clock counts one instruction. Each that exits counts once, whether L0 completes it, makes it fault, or lets L1
   * do either: the delivery of a fault counts as the instruction would have. It counts before its effect, for that is
   * the time at which the machine's own instructions reach devices. `L0.exit` does it for exits of class `instruction`;
   * for the others it is up to whoever decides that the guest is not simply to try again.
   */
  count(): void {
    this.processor.retire();
  }

  /** The instruction that exited is done: RIP moves behind it, and what held for one instruction ends. */
  completeInstruction(length = this.processor.readLow(VM_EXIT_INSTRUCTION_LEN)): void {
    const next = this.rip + length;
    this.rip = this.code64 ? next : next >>> 0;
    this.completeIteration();
  }

  /**
   * The same for one iteration of a repeated string instruction that goes on: RIP stays.
   * See: SDM 6.8.3 Masking Exceptions and Interrupts When Switching Stacks, 18.3.1.4 Single-Step Exception Condition.
   */
  completeIteration(): void {
    const { processor, rflags } = this;
    setBits(processor, GUEST_INTERRUPTIBILITY_INFO, BLOCKING_BY_STI | BLOCKING_BY_MOV_SS, false);
    if (rflags & RFLAGS_RF) this.rflags = rflags & ~RFLAGS_RF;
    const stepped = (rflags & RFLAGS_TF) !== 0 && !isSet(processor, GUEST_IA32_DEBUGCTL, DEBUGCTL_BTF);
    const met = this.breakpointsMet === 0 ? 0 : this.breakpointsMet | PENDING_ENABLED;
    setBits(processor, GUEST_PENDING_DBG_EXCEPTIONS, met | (stepped ? PENDING_BS : 0), true);
  }

  /** The instruction faults instead: the exception is delivered by the next entry, or is for L1 if this is L2. */
  raise(vector: number, errorCode = -1): void {
    this.state.exceptionVector = vector;
    this.state.exceptionErrorCode = errorCode;
  }
  /** `linear` is a signed Number. */
  raisePageFault(linear: number, errorCode: number): void {
    this.state.faultLow = linear >>> 0;
    this.state.faultHigh = Math.floor(linear / 0x1_0000_0000) >>> 0;
    this.raise(PAGE_FAULT, errorCode);
  }

  /**
   * After an exit that L0 serves: an event whose delivery the exit interrupted is to be delivered again.
   * See: SDM 28.2.4 Information for VM Exits During Event Delivery.
   */
  keepInterruptedDelivery(): void {
    const { processor, state } = this;
    const information = processor.readLow(IDT_VECTORING_INFO_FIELD);
    if ((information & VALID) === 0) return;
    state.vectoring = information;
    state.vectoringErrorCode = processor.readLow(IDT_VECTORING_ERROR_CODE);
    state.vectoringLength = processor.readLow(VM_EXIT_INSTRUCTION_LEN);
  }

  /** This processor's local APIC if its page holds the address. */
  apicAt(address: number): LocalApic | undefined {
    const { localApic } = this;
    if (!localApic.memoryMapped) return undefined;
    return address >= localApic.baseAddress && address < localApic.baseAddress + PAGE_BYTES ? localApic : undefined;
  }

  save(): VcpuState {
    return copyState(this.state);
  }
  restore(saved: VcpuState): void {
    restoreState(this.state, saved);
  }
}
