// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';
import type { InterruptLine, InterruptRouter } from '../hardware/interrupts.ts';
import { copyState, restoreState } from './bus-state.ts';
import { IO_APIC_PINS, type IoApic } from './ioapic.ts';
import { type ApicBus, DELIVERY_MODE, message8 } from './lapic-bus.ts';
import type { Pic } from './pic.ts';

/** The MADT's interrupt source override: IRQ 0 is wired to pin 2, for pin 0 takes the 8259A pair's output. */
export const TIMER_IRQ = 0;
export const TIMER_GSI = 2;
const EXTERNAL_GSI = 0;
const CASCADE_IRQ = 2;
const ISA_LINES = 16;
/** The NMI is a line of its own, after the global system interrupts. */
const NMI_LINE = IO_APIC_PINS;

/** See: SDM 11.11.1 Message Address Register Format. */
// prettier-ignore
const MESSAGE_ADDRESS = {
  BASE:             0xfee, // bits 31:20
  LOGICAL:          0x04,
  REDIRECTION_HINT: 0x08,
} as const;

export type InterruptWiringState = {
  /** Of each line that was handed out, in that order: 1 while its device asserts it. */
  asserted: Uint8Array;
  /** Messages whose address is no interrupt address: they interrupt nobody. */
  strayMessages: number;
};

/** Lines beyond this many are a mistake of whoever builds the machine. */
const MOST_LINES = 256;

/**
 * The board: which wire goes where. A global system interrupt below 16 is the ISA interrupt of that number and reaches
 * the 8259A pair as well; several devices may share a wire, which is asserted while any of them asserts it.
 */
export class InterruptWiring implements InterruptRouter {
  readonly state: InterruptWiringState = { asserted: new Uint8Array(MOST_LINES), strayMessages: 0 };
  readonly #pic: Pic;
  readonly #ioApic: IoApic;
  readonly #bus: ApicBus;
  /** Of each line handed out, the wire it drives. */
  readonly #wires: number[] = [];

  /** Takes over `pic.outputChanged`: the pair's output goes to every LINT0 and to pin 0. */
  constructor(pic: Pic, ioApic: IoApic, bus: ApicBus) {
    this.#pic = pic;
    this.#ioApic = ioApic;
    this.#bus = bus;
    pic.outputChanged = (asserted) => {
      bus.setLocalInputs(0, asserted);
      ioApic.setPin(EXTERNAL_GSI, asserted);
    };
  }

  isaLine(irq: number): InterruptLine {
    assert(irq >= 0 && irq < ISA_LINES && irq !== CASCADE_IRQ, `no ISA interrupt ${irq}`);
    return this.#line(irq === TIMER_IRQ ? TIMER_GSI : irq);
  }

  gsiLine(gsi: number): InterruptLine {
    assert(gsi > EXTERNAL_GSI && gsi < IO_APIC_PINS, `no global system interrupt ${gsi}`);
    return this.#line(gsi);
  }

  /** LINT1 of every processor. */
  nmiLine(): InterruptLine {
    return this.#line(NMI_LINE);
  }

  message(_requesterId: number, address: number, data: number): void {
    if (Math.floor(address / 2 ** 20) !== MESSAGE_ADDRESS.BASE) {
      this.state.strayMessages++;
      return;
    }
    const logical = (address & MESSAGE_ADDRESS.LOGICAL) !== 0;
    const redirected = logical && (address & MESSAGE_ADDRESS.REDIRECTION_HINT) !== 0;
    const mode = (data >> 8) & 7;
    const deliveryMode = redirected && mode === DELIVERY_MODE.FIXED ? DELIVERY_MODE.LOWEST_PRIORITY : mode;
    // See: SDM 11.11.2 Message Data Register Format. A level-triggered de-assert is no interrupt.
    const level = (data & 0x8000) !== 0;
    if (level && (data & 0x4000) === 0) return;
    this.#bus.deliver(message8((address >>> 12) & 0xff, logical, deliveryMode, data & 0xff, level));
  }

  save(): InterruptWiringState {
    return copyState(this.state);
  }

  /** The wires' levels are in the state of what they are connected to. */
  restore(saved: InterruptWiringState): void {
    restoreState(this.state, saved);
  }

  #line(wire: number): InterruptLine {
    const line = this.#wires.push(wire) - 1;
    assert(line < MOST_LINES, 'too many interrupt lines');
    return { set: (asserted) => this.#set(line, asserted) };
  }

  #set(line: number, asserted: boolean): void {
    const value = asserted ? 1 : 0;
    if (this.state.asserted[line] === value) return;
    this.state.asserted[line] = value;
    const wire = this.#wires[line];
    const level = this.#wires.some((other, index) => other === wire && this.state.asserted[index] !== 0);
    this.#drive(wire, level);
  }

  #drive(wire: number, asserted: boolean): void {
    if (wire === NMI_LINE) return this.#bus.setLocalInputs(1, asserted);
    if (wire < ISA_LINES) this.#pic.setLine(wire === TIMER_GSI ? TIMER_IRQ : wire, asserted);
    this.#ioApic.setPin(wire, asserted);
  }
}
