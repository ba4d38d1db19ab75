// SPDX-License-Identifier: Apache-2.0
import type { MemoryMappedDevice } from '../hardware/memory.ts';
import type { BusRegistry } from '../hardware/memory.ts';
import { copyState, restoreState } from './bus-state.ts';
import { type ApicBus, DELIVERY_MODE, type EndOfInterruptListener, message8 } from './lapic-bus.ts';

export const IO_APIC_BASE = 0xfec0_0000;
export const IO_APIC_SIZE = 0x1000;
export const IO_APIC_PINS = 24;

/** The registers in memory. */
// prettier-ignore
const WINDOW = {
  SELECT:           0x00, // IOREGSEL
  DATA:             0x10, // IOWIN
  END_OF_INTERRUPT: 0x40, // version 20h only
} as const;

/** The registers behind the window. */
// prettier-ignore
const REGISTER = {
  ID:          0x00,
  VERSION:     0x01,
  ARBITRATION: 0x02,
  REDIRECTION: 0x10, // two for each pin
} as const;

/** The low half of a redirection entry; the high half has the destination in bits 31:24. */
// prettier-ignore
const ENTRY = {
  VECTOR:          0x0000_00ff,
  DELIVERY_MODE:   0x0000_0700,
  LOGICAL:         0x0000_0800,
  DELIVERY_STATUS: 0x0000_1000, // read only
  ACTIVE_LOW:      0x0000_2000, // kept, but lines come here as asserted or not, whatever their voltage
  REMOTE_IRR:      0x0000_4000, // read only
  LEVEL_TRIGGERED: 0x0000_8000,
  MASKED:          0x0001_0000,
} as const;
const ENTRY_WRITABLE =
  ENTRY.VECTOR | ENTRY.DELIVERY_MODE | ENTRY.LOGICAL | ENTRY.ACTIVE_LOW | ENTRY.LEVEL_TRIGGERED | ENTRY.MASKED;

export type IoApicState = {
  select: number;
  id: number;
  /** Redirection entries, low and high half. */
  low: Uint32Array;
  high: Uint32Array;
  /** Levels at the pins: 1 asserted. */
  pins: Uint8Array;
};

export interface IoApicOptions {
  /** 0x20 has the EOI register, 0x11 (82093AA) has not. */
  readonly version?: 0x11 | 0x20;
  readonly id?: number;
}

/** The I/O APIC: 24 pins to messages. See: Intel 82093AA I/O Advanced Programmable Interrupt Controller, 290566. */
export class IoApic implements MemoryMappedDevice, EndOfInterruptListener {
  readonly state: IoApicState;
  readonly #bus: ApicBus;
  readonly #version: number;
  readonly #initialId: number;

  constructor(bus: ApicBus, options: IoApicOptions = {}) {
    this.#bus = bus;
    this.#version = options.version ?? 0x20;
    this.#initialId = options.id ?? 0;
    this.state = {
      select: 0,
      id: this.#initialId,
      low: new Uint32Array(IO_APIC_PINS).fill(ENTRY.MASKED),
      high: new Uint32Array(IO_APIC_PINS),
      pins: new Uint8Array(IO_APIC_PINS),
    };
    bus.listen(this);
  }

  claim(registry: BusRegistry, base = IO_APIC_BASE): void {
    registry.claimMemory(base, IO_APIC_SIZE, 'I/O APIC', this);
  }

  /** Drives a pin. An edge at a masked pin is lost; a level waits. */
  setPin(pin: number, asserted: boolean): void {
    const { state } = this;
    if ((state.pins[pin] !== 0) === asserted) return;
    state.pins[pin] = asserted ? 1 : 0;
    if (this.#isLevel(pin)) this.#sampleLevel(pin);
    else if (asserted && (state.low[pin] & ENTRY.MASKED) === 0) this.#deliver(pin);
  }

  /** Registers are 32 bits wide; narrower reads give their bytes. */
  readMemory(offset: number, width: 1 | 2 | 4): number {
    const aligned = offset & ~3;
    let value = 0;
    if (aligned === WINDOW.SELECT) value = this.state.select;
    if (aligned === WINDOW.DATA) value = this.#readRegister(this.state.select);
    value >>>= 8 * (offset & 3);
    return width === 4 ? value : value & (2 ** (8 * width) - 1);
  }

  /** The select register takes a byte as well; the others whole registers only. */
  writeMemory(offset: number, width: 1 | 2 | 4, value: number): void {
    if (offset === WINDOW.SELECT) this.state.select = value & 0xff;
    else if (width !== 4) return;
    else if (offset === WINDOW.DATA) this.#writeRegister(this.state.select, value);
    else if (offset === WINDOW.END_OF_INTERRUPT && this.#version >= 0x20) this.endOfInterrupt(value & 0xff);
  }

  /** A local APIC's broadcast, or a write to the EOI register: every level-triggered entry of the vector ends. */
  endOfInterrupt(vector: number): void {
    const { low } = this.state;
    for (let pin = 0; pin < IO_APIC_PINS; pin++) {
      if (!this.#isLevel(pin) || (low[pin] & ENTRY.VECTOR) !== vector) continue;
      low[pin] &= ~ENTRY.REMOTE_IRR;
      this.#sampleLevel(pin);
    }
  }

  destinationsChanged(): void {
    for (let pin = 0; pin < IO_APIC_PINS; pin++) this.#sampleLevel(pin);
  }

  reset(): void {
    this.state.select = 0;
    this.state.id = this.#initialId;
    this.state.low.fill(ENTRY.MASKED);
    this.state.high.fill(0);
  }

  save(): IoApicState {
    return copyState(this.state);
  }

  restore(saved: IoApicState): void {
    restoreState(this.state, saved);
  }

  #readRegister(register: number): number {
    const { state } = this;
    if (register === REGISTER.ID || register === REGISTER.ARBITRATION) return state.id << 24;
    if (register === REGISTER.VERSION) return ((IO_APIC_PINS - 1) << 16) | this.#version;
    const pin = (register - REGISTER.REDIRECTION) >> 1;
    if (pin < 0 || pin >= IO_APIC_PINS) return 0;
    return (register & 1) !== 0 ? state.high[pin] : state.low[pin];
  }

  #writeRegister(register: number, value: number): void {
    const { state } = this;
    if (register === REGISTER.ID) state.id = (value >>> 24) & 0xf;
    const pin = (register - REGISTER.REDIRECTION) >> 1;
    if (pin < 0 || pin >= IO_APIC_PINS) return;
    if ((register & 1) !== 0) state.high[pin] = value & 0xff00_0000;
    else this.#writeEntry(pin, value);
    this.#sampleLevel(pin);
  }

  /** Remote IRR belongs to level triggering: an entry made edge triggered loses it, which software relies on. */
  #writeEntry(pin: number, value: number): void {
    const { low } = this.state;
    low[pin] = (value & ENTRY_WRITABLE) | (low[pin] & ENTRY.REMOTE_IRR);
    if (!this.#isLevel(pin)) low[pin] &= ~ENTRY.REMOTE_IRR;
  }

  /** Only fixed and lowest-priority interrupts can be level triggered. */
  #isLevel(pin: number): boolean {
    const entry = this.state.low[pin];
    const mode = (entry & ENTRY.DELIVERY_MODE) >> 8;
    return (entry & ENTRY.LEVEL_TRIGGERED) !== 0 && mode <= DELIVERY_MODE.LOWEST_PRIORITY;
  }

  #sampleLevel(pin: number): void {
    const { low, pins } = this.state;
    if (pins[pin] === 0 || !this.#isLevel(pin) || (low[pin] & (ENTRY.MASKED | ENTRY.REMOTE_IRR)) !== 0) return;
    // First, for a processor that takes and ends the interrupt within the delivery.
    low[pin] |= ENTRY.REMOTE_IRR;
    if (!this.#deliver(pin)) low[pin] &= ~ENTRY.REMOTE_IRR;
  }

  #deliver(pin: number): boolean {
    const entry = this.state.low[pin];
    const mode = (entry & ENTRY.DELIVERY_MODE) >> 8;
    const logical = (entry & ENTRY.LOGICAL) !== 0;
    const destination = this.state.high[pin] >>> 24;
    return this.#bus.deliver(message8(destination, logical, mode, entry & ENTRY.VECTOR, this.#isLevel(pin)));
  }
}
