// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';
import { copyState, restoreState } from './bus-state.ts';
import { APIC_BASE, apicBaseAtPowerUp, apicBaseIsValid, apicMode } from './lapic-base.ts';
import { type ApicMessage, type ApicReceiver, DELIVERY_MODE } from './lapic-bus.ts';
import {
  type LocalApicDescription,
  type LocalApicServices,
  type LocalApicState,
  resetLocalApic,
} from './lapic-description.ts';
import {
  COMMAND,
  FIRST_VECTOR,
  hasIllegalVector,
  logicalX2apicId,
  matchesDestination,
  sendCommand,
} from './lapic-destination.ts';
import { LocalVectorTable, type LvtOwner } from './lapic-lvt.ts';
import { type MessageTarget, receiveMessage } from './lapic-receive.ts';
import {
  APIC,
  APIC_ERROR,
  APIC_REGISTER_TABLE,
  type ApicRegister,
  LVT,
  reservedBitsClear,
  SPURIOUS_APIC_ENABLED,
} from './lapic-registers.ts';
import { divisorOf, LocalApicTimer, TIMER_MODE } from './lapic-timer.ts';
import { VectorRegisters } from './lapic-vectors.ts';

export const MSR_APIC_BASE = 0x1b;
export const MSR_TSC_DEADLINE = 0x6e0;
/** The x2APIC registers are MSRs 800h..8FFh. */
export const MSR_X2APIC_FIRST = 0x800;

/** The local APIC of one processor, as xAPIC (memory) and x2APIC (MSRs). See: SDM 11.4 Local APIC. */
export class LocalApic implements ApicReceiver, LvtOwner, MessageTarget {
  readonly id: number;
  readonly state: LocalApicState;
  /** The value of the last `readMsr` that returned true: unsigned halves. */
  low = 0;
  high = 0;
  readonly #description: LocalApicDescription;
  readonly #services: LocalApicServices;
  readonly #registers: Uint32Array;
  readonly #timer: LocalApicTimer;
  /** The bits of the timer's LVT entry that choose a mode. */
  readonly #timerModes: number;
  readonly #interrupts: VectorRegisters;
  readonly #localVectors: LocalVectorTable;

  constructor(description: LocalApicDescription, services: LocalApicServices) {
    this.id = description.id;
    this.#description = description;
    this.#services = services;
    this.state = resetLocalApic();
    this.#registers = this.state.registers;
    this.#interrupts = new VectorRegisters(this.#registers);
    this.#localVectors = new LocalVectorTable(this.#registers, this.state.inputs, this, services.signals);
    const name = description.name ?? `local-apic-${description.id}`;
    const fired = (): void => this.#localVectors.deliver(APIC.LVT_TIMER);
    this.#timer = new LocalApicTimer(this.state.timer, services.time, services.tsc, name, fired);
    this.#timerModes = description.tscDeadline ? LVT.TIMER_MODE : TIMER_MODE.PERIODIC << 17;
    this.#powerUp();
    services.bus.attach(this);
  }

  /** Power-up: IA32_APIC_BASE as well. */
  reset(): void {
    this.#powerUp();
    this.#services.signals.interruptsChanged();
  }

  /** What an INIT does. See: SDM 11.4.7.3 Local APIC State After an INIT Reset ("Wait-for-SIPI" State). */
  initialize(): void {
    this.#resetRegisters();
    this.#services.signals.interruptsChanged();
  }

  /** What a PC's firmware leaves: enabled, LINT0 takes the 8259A pair's interrupts, LINT1 the NMI. */
  enterVirtualWireMode(): void {
    this.#writeSpurious(SPURIOUS_APIC_ENABLED | 0xff);
    this.#localVectors.write(APIC.LVT_LINT0, DELIVERY_MODE.EXTINT << 8);
    this.#localVectors.write(APIC.LVT_LINT1, DELIVERY_MODE.NMI << 8);
  }

  // ---- What the processor asks before an instruction

  /** The vector that `acknowledge` would take from the IRR, or -1 when none beats the processor priority. */
  pendingVector(): number {
    return this.#interrupts.pending();
  }

  /** An ExtINT waits: its vector is known only after the acknowledge. */
  get externalInterruptPending(): boolean {
    return this.state.externalMessage !== 0 || this.#localVectors.externalInterruptPending;
  }

  /** Whether an interrupt can be taken now, as far as the APIC is concerned (RFLAGS.IF is the processor's). */
  interruptPending(): boolean {
    return this.externalInterruptPending || this.pendingVector() >= 0;
  }

  /** Takes the interrupt: an ExtINT first, else the pending vector enters service, else it is spurious. */
  acknowledge(): number {
    if (this.externalInterruptPending) {
      this.state.externalMessage = 0;
      return this.#services.externalInterrupts.acknowledge();
    }
    const vector = this.pendingVector();
    if (vector < 0) return this.#registers[APIC.SPURIOUS_INTERRUPT] & 0xff;
    this.#interrupts.enterService(vector);
    return vector;
  }

  /** TPR, 8 bits. */
  get taskPriority(): number {
    return this.#registers[APIC.TASK_PRIORITY];
  }

  set taskPriority(value: number) {
    this.#registers[APIC.TASK_PRIORITY] = value & 0xff;
    this.#services.signals.interruptsChanged();
  }

  /** CR8, 4 bits. See: SDM 11.8.6 Task Priority in IA-32e Mode. */
  get cr8(): number {
    return this.taskPriority >> 4;
  }

  set cr8(value: number) {
    this.taskPriority = (value & 0xf) << 4;
  }

  /** PPR, 8 bits. See: SDM 11.8.3.1 Task and Processor Priorities. */
  get processorPriority(): number {
    return this.#interrupts.processorPriority;
  }

  // ---- IA32_APIC_BASE

  /** Where the processor's 4-KiB page lies while `memoryMapped`. */
  get baseAddress(): number {
    return this.state.baseHigh * 2 ** 32 + ((this.state.baseLow & 0xffff_f000) >>> 0);
  }

  /** CPUID.01H:EDX.APIC follows it. */
  get globallyEnabled(): boolean {
    return (this.state.baseLow & APIC_BASE.ENABLED) !== 0;
  }

  get x2apicMode(): boolean {
    return (this.state.baseLow & APIC_BASE.X2APIC) !== 0;
  }

  get memoryMapped(): boolean {
    return this.globallyEnabled && !this.x2apicMode;
  }

  get softwareEnabled(): boolean {
    return (this.#registers[APIC.SPURIOUS_INTERRUPT] & SPURIOUS_APIC_ENABLED) !== 0;
  }

  // ---- MSRs 1BH, 6E0H, 800H..8FFH

  /** False: the MSR does not exist here, or not in this mode (#GP). The value is in `low` and `high`. */
  readMsr(msr: number): boolean {
    if (msr === MSR_APIC_BASE) return this.#give(this.state.baseLow, this.state.baseHigh);
    if (msr === MSR_TSC_DEADLINE) {
      const { deadlineLow, deadlineHigh } = this.state.timer;
      return this.#description.tscDeadline && this.#give(deadlineLow, deadlineHigh);
    }
    const row = this.#x2apicRow(msr);
    if (!row?.msr.includes('r')) return false;
    const wide = row.index === APIC.INTERRUPT_COMMAND;
    return this.#give(this.#read(row.index), wide ? this.#registers[APIC.INTERRUPT_COMMAND_HIGH] : 0);
  }

  /** False: #GP, and nothing changed. */
  writeMsr(msr: number, low: number, high: number): boolean {
    if (msr === MSR_APIC_BASE) return this.#writeBase(low >>> 0, high >>> 0);
    if (msr === MSR_TSC_DEADLINE) {
      if (!this.#description.tscDeadline) return false;
      this.#timer.setDeadline(low, high);
      return true;
    }
    const row = this.#x2apicRow(msr);
    if (!row?.msr.includes('w') || !reservedBitsClear(row, low, high, this.#timerModes)) return false;
    if (row.index === APIC.INTERRUPT_COMMAND) this.#registers[APIC.INTERRUPT_COMMAND_HIGH] = high;
    this.#write(row.index, low >>> 0);
    return true;
  }

  /** The time-stamp counter was written or adjusted. */
  tscChanged(): void {
    this.#timer.tscChanged();
  }

  // ---- The memory page, while `memoryMapped`

  /** Registers are 32 bits at multiples of 16; what lies between reads as 0. */
  readMemory(offset: number, width: 1 | 2 | 4): number {
    const row = APIC_REGISTER_TABLE[offset >> 4];
    if (row === undefined || row.memory === '-') {
      this.#error(APIC_ERROR.ILLEGAL_REGISTER_ADDRESS);
      return 0;
    }
    const byte = offset & 0xf;
    if (byte + width > 4 || !row.memory.includes('r')) return 0;
    const value = this.#read(row.index) >>> (8 * byte);
    return width === 4 ? value : value & (2 ** (8 * width) - 1);
  }

  /** Only whole 32-bit writes at multiples of 16 count. */
  writeMemory(offset: number, width: 1 | 2 | 4, value: number): void {
    const row = APIC_REGISTER_TABLE[offset >> 4];
    if (row === undefined || row.memory === '-') return this.#error(APIC_ERROR.ILLEGAL_REGISTER_ADDRESS);
    if (width === 4 && (offset & 0xf) === 0 && row.memory.includes('w')) this.#write(row.index, value >>> 0);
  }

  // ---- Interrupts that arrive

  get acceptsInterrupts(): boolean {
    return this.globallyEnabled && this.softwareEnabled;
  }

  matches(message: ApicMessage): boolean {
    if (!this.globallyEnabled) return false;
    const { id, x2apicMode } = this;
    const logicalDestination = this.#read(APIC.LOGICAL_DESTINATION);
    const destinationFormat = this.#registers[APIC.DESTINATION_FORMAT];
    return matchesDestination(message, { id, x2apicMode, logicalDestination, destinationFormat });
  }

  receive(message: ApicMessage): boolean {
    return this.globallyEnabled && receiveMessage(message, this, this.#services.signals);
  }

  /** Drives LINT0 or LINT1; while the APIC is globally disabled they are INTR and NMI. */
  setLocalInput(input: 0 | 1, asserted: boolean): void {
    this.#localVectors.setInput(input, asserted);
  }

  /** A sensor of the processor itself asks for its LVT entry's interrupt. */
  raiseLocal(source: 'thermal' | 'performance'): void {
    this.#localVectors.raise(source);
  }

  save(): LocalApicState {
    return copyState(this.state);
  }

  restore(saved: LocalApicState): void {
    restoreState(this.state, saved);
    this.#timer.rearm();
    this.#services.signals.interruptsChanged();
  }

  // ---- Registers

  #powerUp(): void {
    this.state.baseLow = apicBaseAtPowerUp(this.#description.bootstrap);
    this.state.baseHigh = 0;
    this.#resetRegisters();
  }

  #resetRegisters(): void {
    for (const row of APIC_REGISTER_TABLE) if (row !== undefined) this.#registers[row.index] = row.reset;
    this.state.errors = 0;
    this.state.externalMessage = 0;
    this.#timer.reset();
  }

  #give(low: number, high: number): boolean {
    this.low = low;
    this.high = high;
    return true;
  }

  #x2apicRow(msr: number): ApicRegister | undefined {
    assert(msr >>> 8 === MSR_X2APIC_FIRST >>> 8, 'not an MSR of the local APIC');
    return this.x2apicMode ? APIC_REGISTER_TABLE[msr - MSR_X2APIC_FIRST] : undefined;
  }

  #read(index: number): number {
    const { id } = this;
    // prettier-ignore
    switch (index) {
      case APIC.ID:                 return this.x2apicMode ? id : ((id & 0xff) << 24) >>> 0;
      case APIC.PROCESSOR_PRIORITY: return this.processorPriority;
      case APIC.INITIAL_COUNT:      return this.state.timer.initialCount;
      case APIC.CURRENT_COUNT:      return this.#timer.currentCount();
      case APIC.LOGICAL_DESTINATION: return this.x2apicMode ? logicalX2apicId(id) : this.#registers[index];
      default: return this.#registers[index];
    }
  }

  #write(index: number, value: number): void {
    const registers = this.#registers;
    // prettier-ignore
    switch (index) {
      case APIC.TASK_PRIORITY:          this.taskPriority = value; break;
      case APIC.END_OF_INTERRUPT:       this.#endOfInterrupt(); break;
      case APIC.LOGICAL_DESTINATION:
      case APIC.DESTINATION_FORMAT:     this.#writeDestination(index, value); break;
      case APIC.SPURIOUS_INTERRUPT:     this.#writeSpurious(value); break;
      case APIC.ERROR_STATUS:           registers[index] = this.state.errors; this.state.errors = 0; break;
      case APIC.INTERRUPT_COMMAND:      this.#command(value); break;
      case APIC.INTERRUPT_COMMAND_HIGH: registers[index] = value & 0xff00_0000; break;
      case APIC.LVT_TIMER:              this.#writeTimer(value); break;
      case APIC.INITIAL_COUNT:          this.#timer.setInitialCount(value); break;
      case APIC.DIVIDE_CONFIGURATION:
        registers[index] = value & 0xb;
        this.#timer.setDivisor(divisorOf(value));
        break;
      case APIC.SELF_IPI:               this.#sendToSelf(value & 0xff); break;
      default:                          this.#localVectors.write(index, value); break;
    }
  }

  #writeDestination(index: number, value: number): void {
    this.#registers[index] = index === APIC.DESTINATION_FORMAT ? value | 0x0fff_ffff : value & 0xff00_0000;
    this.#services.bus.destinationsChanged();
  }

  #writeSpurious(value: number): void {
    this.#registers[APIC.SPURIOUS_INTERRUPT] = value & 0x3ff;
    if (this.softwareEnabled) this.#services.bus.destinationsChanged();
    else this.#localVectors.maskAll();
  }

  /** The reserved mode 11b counts as TSC-deadline. */
  #writeTimer(value: number): void {
    const mode = (value & this.#timerModes) >> 17;
    this.#localVectors.write(APIC.LVT_TIMER, value & (~LVT.TIMER_MODE | this.#timerModes));
    this.#timer.setMode(Math.min(mode, TIMER_MODE.TSC_DEADLINE));
  }

  #writeBase(low: number, high: number): boolean {
    const { state } = this;
    if (!apicBaseIsValid(state.baseLow, low, high, this.#description)) return false;
    const before = apicMode(state.baseLow);
    state.baseLow = low;
    state.baseHigh = high;
    // What is enabled again later starts from the reset state, and nothing can be seen in between.
    if (before !== 0 && !this.globallyEnabled) this.initialize();
    if (apicMode(low) !== before) this.#services.bus.destinationsChanged();
    return true;
  }

  // ---- Sending

  #command(value: number): void {
    this.#registers[APIC.INTERRUPT_COMMAND] = value & COMMAND.WRITABLE & ~COMMAND.DELIVERY_STATUS;
    if (hasIllegalVector(value)) return this.#error(APIC_ERROR.SEND_ILLEGAL_VECTOR);
    sendCommand(value, this.#registers[APIC.INTERRUPT_COMMAND_HIGH], this, this.#services.bus);
  }

  #sendToSelf(vector: number): void {
    if (vector < FIRST_VECTOR) this.#error(APIC_ERROR.SEND_ILLEGAL_VECTOR);
    else if (this.softwareEnabled) this.accept(vector, false);
  }

  // ---- Accepting and ending

  /** Into the IRR. See: SDM 11.8.4 Interrupt Acceptance for Fixed Interrupts. */
  accept(vector: number, levelTriggered: boolean): void {
    if (vector < FIRST_VECTOR) return this.#error(APIC_ERROR.RECEIVE_ILLEGAL_VECTOR);
    this.#interrupts.request(vector, levelTriggered);
    this.#services.signals.interruptsChanged();
  }

  /** An ExtINT came as a message; the vector is asked for later. */
  acceptExternal(): void {
    this.state.externalMessage = 1;
    this.#services.signals.interruptsChanged();
  }

  /** See: SDM 11.8.5 Signaling Interrupt Servicing Completion. */
  #endOfInterrupt(): void {
    const vector = this.#interrupts.leaveService();
    if (vector < 0) return;
    if (this.#interrupts.isLevelTriggered(vector)) {
      this.#services.bus.endOfInterrupt(vector);
      this.#localVectors.endOfInterrupt(vector);
    }
    this.#services.signals.interruptsChanged();
  }

  /** An error that is already noted does not interrupt again. See: SDM 11.5.3 Error Handling. */
  #error(error: number): void {
    if ((this.state.errors & error) !== 0) return;
    this.state.errors |= error;
    this.#localVectors.deliver(APIC.LVT_ERROR);
  }
}
