// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';
import type { ProcessorSignals } from '../hardware/processor.ts';
import { DELIVERY_MODE } from './lapic-bus.ts';
import { APIC, APIC_REGISTER_TABLE, LVT } from './lapic-registers.ts';

/** What the local vector table needs of its APIC. */
export interface LvtOwner {
  readonly globallyEnabled: boolean;
  readonly softwareEnabled: boolean;
  accept(vector: number, levelTriggered: boolean): void;
}

/** The local vector table and the pins LINT0 and LINT1. See: SDM 11.5.1 Local Vector Table. */
export class LocalVectorTable {
  readonly #registers: Uint32Array;
  readonly #inputs: Uint8Array;
  readonly #owner: LvtOwner;
  readonly #signals: ProcessorSignals;

  /** `registers` by APIC register index; `inputs` are the levels at LINT0 and LINT1. */
  constructor(registers: Uint32Array, inputs: Uint8Array, owner: LvtOwner, signals: ProcessorSignals) {
    this.#registers = registers;
    this.#inputs = inputs;
    this.#owner = owner;
    this.#signals = signals;
  }

  write(index: number, value: number): void {
    const row = APIC_REGISTER_TABLE[index];
    assert(row !== undefined && index >= APIC.LVT_TIMER && index <= APIC.LVT_ERROR, 'not an LVT register');
    const level = (value & (LVT.DELIVERY_MODE | LVT.LEVEL_TRIGGERED)) === LVT.LEVEL_TRIGGERED;
    const kept = level ? this.#registers[index] & LVT.REMOTE_IRR : 0;
    const masked = this.#owner.softwareEnabled ? 0 : LVT.MASKED;
    this.#registers[index] = (value & row.writable) | kept | masked;
    if (index === APIC.LVT_LINT0) this.#sampleLevel();
    this.#signals.interruptsChanged();
  }

  /** See: SDM 11.4.7.2 Local APIC State After It Has Been Software Disabled. */
  maskAll(): void {
    for (let index: number = APIC.LVT_TIMER; index <= APIC.LVT_ERROR; index++) this.#registers[index] |= LVT.MASKED;
    this.#signals.interruptsChanged();
  }

  /** The event of an entry happened: one interrupt, by the entry's delivery mode. */
  deliver(index: number): void {
    const entry = this.#registers[index];
    if ((entry & LVT.MASKED) !== 0) return;
    const mode = (entry & LVT.DELIVERY_MODE) >> 8;
    if (mode === DELIVERY_MODE.FIXED) this.#owner.accept(entry & LVT.VECTOR, false);
    else if (mode === DELIVERY_MODE.NMI) this.#signals.nmi();
    else if (mode === DELIVERY_MODE.INIT) this.#signals.init();
  }

  /** A sensor of the processor itself. A performance interrupt masks its own entry. */
  raise(source: 'thermal' | 'performance'): void {
    if (source === 'thermal') return this.deliver(APIC.LVT_THERMAL);
    this.deliver(APIC.LVT_PERFORMANCE);
    this.#registers[APIC.LVT_PERFORMANCE] |= LVT.MASKED;
  }

  /** While the APIC is globally disabled LINT0 and LINT1 are INTR and NMI. LINT1 knows no level triggering. */
  setInput(input: 0 | 1, asserted: boolean): void {
    if ((this.#inputs[input] !== 0) === asserted) return;
    this.#inputs[input] = asserted ? 1 : 0;
    if (!this.#owner.globallyEnabled) return this.#setPin(input, asserted);
    const entry = this.#registers[APIC.LVT_LINT0 + input];
    const mode = (entry & LVT.DELIVERY_MODE) >> 8;
    if (mode === DELIVERY_MODE.EXTINT) this.#signals.interruptsChanged();
    else if (input === 0 && mode === DELIVERY_MODE.FIXED && (entry & LVT.LEVEL_TRIGGERED) !== 0) this.#sampleLevel();
    else if (asserted) this.deliver(APIC.LVT_LINT0 + input);
  }

  /** The 8259A pair asks through a pin. */
  get externalInterruptPending(): boolean {
    if (!this.#owner.globallyEnabled) return this.#inputs[0] !== 0;
    return this.#isExternal(0) || this.#isExternal(1);
  }

  /** The level-triggered interrupt of LINT0 was served: it asks again while it stays asserted. */
  endOfInterrupt(vector: number): void {
    const entry = this.#registers[APIC.LVT_LINT0];
    if ((entry & LVT.REMOTE_IRR) === 0 || (entry & LVT.VECTOR) !== vector) return;
    this.#registers[APIC.LVT_LINT0] = entry & ~LVT.REMOTE_IRR;
    this.#sampleLevel();
  }

  #setPin(input: 0 | 1, asserted: boolean): void {
    if (input === 0) this.#signals.interruptsChanged();
    else if (asserted) this.#signals.nmi();
  }

  #isExternal(input: 0 | 1): boolean {
    const entry = this.#registers[APIC.LVT_LINT0 + input];
    const external = (entry & (LVT.DELIVERY_MODE | LVT.MASKED)) === DELIVERY_MODE.EXTINT << 8;
    return external && this.#inputs[input] !== 0;
  }

  #sampleLevel(): void {
    const entry = this.#registers[APIC.LVT_LINT0];
    const relevant = LVT.DELIVERY_MODE | LVT.LEVEL_TRIGGERED | LVT.REMOTE_IRR | LVT.MASKED;
    if (this.#inputs[0] === 0 || (entry & relevant) !== LVT.LEVEL_TRIGGERED) return;
    this.#registers[APIC.LVT_LINT0] = entry | LVT.REMOTE_IRR;
    this.#owner.accept(entry & LVT.VECTOR, true);
  }
}
