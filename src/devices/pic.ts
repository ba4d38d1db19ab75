// SPDX-License-Identifier: Apache-2.0
import type { BusRegistry } from '../hardware/memory.ts';
import { BytePortDevice } from './byte-ports.ts';
import { copyState, restoreState } from './bus-state.ts';
import { type ChipState, Chip8259, resetChip } from './pic-chip.ts';

/** The input of the first controller that the second one drives. */
const CASCADE = 2;
/** IRQ 0, 1, 2, 8 and 13 belong to the board and are edge triggered for ever. */
const LEVEL_TRIGGER_WRITABLE = [0xf8, 0xde] as const;

// prettier-ignore
export const PIC_PORTS = [
  // first  count  name
  [ 0x20,   2,     'interrupt controller 1' ],
  [ 0xa0,   2,     'interrupt controller 2' ],
  [ 0x4d0,  2,     'edge/level control'     ],
] as const;

export type PicState = {
  chips: ChipState[];
};

/**
 * The pair of 8259A interrupt controllers of a PC with its edge/level control registers (ELCR).
 * See: Intel 8259A Programmable Interrupt Controller, order number 231468.
 */
export class Pic extends BytePortDevice {
  readonly state: PicState;
  /** Called after the INT output changed. Set by whoever wires it. */
  outputChanged: (asserted: boolean) => void = () => {};
  readonly #first: Chip8259;
  readonly #second: Chip8259;
  #output = false;

  constructor() {
    super();
    this.state = { chips: [resetChip(), resetChip()] };
    this.#first = new Chip8259(this.state.chips[0], 1 << CASCADE);
    this.#second = new Chip8259(this.state.chips[1], 0);
  }

  claim(registry: BusRegistry): void {
    for (const [first, count, name] of PIC_PORTS) registry.claimPorts(first, count, name, this);
  }

  /** The INT output: an unmasked request of sufficient priority waits. */
  get output(): boolean {
    return this.#output;
  }

  /** Drives input IRQ 0..15 (2 is the cascade and belongs to the pair). Calls with the same level do nothing. */
  setLine(irq: number, asserted: boolean): void {
    (irq < 8 ? this.#first : this.#second).setInput(irq & 7, asserted);
    this.#update();
  }

  /** The interrupt acknowledge sequence: the vector of the request, or of a spurious IRQ 7 or 15. */
  acknowledge(): number {
    let vector = this.#first.acknowledge();
    if ((vector & 7) === CASCADE && this.#first.tookRequest) vector = this.#second.acknowledge();
    this.#update();
    return vector;
  }

  readByte(port: number): number {
    const value = this.#read(port);
    this.#update();
    return value;
  }

  writeByte(port: number, value: number): void {
    const chip = this.#chipOf(port);
    if (port === 0x20 || port === 0xa0) chip.writeCommand(value);
    else if (port === 0x21 || port === 0xa1) chip.writeData(value);
    else if (port === 0x4d0 || port === 0x4d1) chip.setLevelTriggered(value & LEVEL_TRIGGER_WRITABLE[port & 1 ? 1 : 0]);
    this.#update();
  }

  reset(): void {
    for (const chip of this.state.chips) {
      const inputs = chip.inputs;
      restoreState(chip, resetChip());
      chip.inputs = inputs;
    }
    this.#update();
  }

  save(): PicState {
    return copyState(this.state);
  }

  /** Tells nobody of a changed output: everything else is restored as well. */
  restore(saved: PicState): void {
    restoreState(this.state, saved);
    this.#output = this.#first.highestRequest() >= 0;
  }

  #chipOf(port: number): Chip8259 {
    return port === 0xa0 || port === 0xa1 || port === 0x4d1 ? this.#second : this.#first;
  }

  #read(port: number): number {
    const chip = this.#chipOf(port);
    if (port === 0x4d0 || port === 0x4d1) return chip.state.levelTriggered;
    if (port === 0x20 || port === 0xa0) return chip.readCommand();
    if (port === 0x21 || port === 0xa1) return chip.readData();
    return 0xff;
  }

  #update(): void {
    this.#first.setInput(CASCADE, this.#second.highestRequest() >= 0);
    const output = this.#first.highestRequest() >= 0;
    if (output === this.#output) return;
    this.#output = output;
    this.outputChanged(output);
  }
}
