// SPDX-License-Identifier: Apache-2.0

/** One 8259A. Bit n of a mask stands for input IRn; a flag is 0 or 1. Names are those of its data sheet. */
export type ChipState = {
  /** Levels at the inputs. */
  inputs: number;
  interruptRequest: number;
  inService: number;
  interruptMask: number;
  /** ELCR: inputs that are level triggered. */
  levelTriggered: number;
  /** ICW2: the vector of IR0. */
  vectorBase: number;
  /** The input with the lowest priority; the next one up has the highest. */
  lowestPriority: number;
  /** The initialization command word that the data port expects (2, 3, 4), or 0. */
  expectedWord: number;
  single: number;
  needsWord4: number;
  automaticEndOfInterrupt: number;
  rotateInAutomaticEndOfInterrupt: number;
  specialFullyNested: number;
  specialMask: number;
  readInService: number;
  poll: number;
};

export function resetChip(): ChipState {
  return {
    inputs: 0,
    interruptRequest: 0,
    inService: 0,
    interruptMask: 0,
    levelTriggered: 0,
    vectorBase: 0,
    lowestPriority: 7,
    expectedWord: 0,
    single: 0,
    needsWord4: 0,
    automaticEndOfInterrupt: 0,
    rotateInAutomaticEndOfInterrupt: 0,
    specialFullyNested: 0,
    specialMask: 0,
    readInService: 0,
    poll: 0,
  };
}

/** The behaviour of one 8259A over its state. */
export class Chip8259 {
  readonly state: ChipState;
  /** Whether the last acknowledge found a request (and was not spurious). */
  tookRequest = false;
  /** Inputs driven by another 8259A: they follow its output, whatever the trigger mode. */
  readonly #cascades: number;

  constructor(state: ChipState, cascades: number) {
    this.state = state;
    this.#cascades = cascades;
  }

  /**
   * A request lasts only as long as its input stays high until the acknowledge, in both trigger modes;
   * an edge-triggered input must fall before it can request again.
   */
  setInput(input: number, asserted: boolean): void {
    const { state } = this;
    const bit = 1 << input;
    if (((state.inputs & bit) !== 0) !== asserted) {
      state.inputs ^= bit;
      if (asserted) state.interruptRequest |= bit;
      else state.interruptRequest &= ~bit;
    }
    this.#followLevels();
  }

  setLevelTriggered(mask: number): void {
    this.state.levelTriggered = mask;
    this.#followLevels();
  }

  /** The input that would be acknowledged now, or -1. */
  highestRequest(): number {
    const { state } = this;
    const requests = state.interruptRequest & ~state.interruptMask;
    if (requests === 0) return -1;
    const blocking = state.specialMask !== 0 ? state.inService & ~state.interruptMask : state.inService;
    for (let step = 1; step <= 8; step++) {
      const input = (state.lowestPriority + step) & 7;
      const bit = 1 << input;
      const served = (blocking & bit) !== 0;
      if ((requests & bit) !== 0 && (!served || (state.specialFullyNested !== 0 && (this.#cascades & bit) !== 0)))
        return input;
      if (served) return -1;
    }
    return -1;
  }

  /** The INTA sequence. Without a request the answer is IR7, and nothing enters service. */
  acknowledge(): number {
    const input = this.highestRequest();
    this.tookRequest = input >= 0;
    if (input < 0) return this.state.vectorBase | 7;
    this.#enterService(input);
    return this.state.vectorBase | input;
  }

  readCommand(): number {
    if (this.state.poll !== 0) return this.#poll();
    return this.state.readInService !== 0 ? this.state.inService : this.state.interruptRequest;
  }

  readData(): number {
    return this.state.poll !== 0 ? this.#poll() : this.state.interruptMask;
  }

  /** Even port: ICW1, OCW2 or OCW3 by bits 4 and 3. */
  writeCommand(value: number): void {
    if ((value & 0x10) !== 0) this.#beginInitialization(value);
    else if ((value & 0x08) !== 0) this.#operationWord3(value);
    else this.#operationWord2(value);
  }

  /** Odd port: ICW2 to ICW4 while initialization lasts, then OCW1, the mask. */
  writeData(value: number): void {
    const { state } = this;
    if (state.expectedWord === 0) {
      state.interruptMask = value;
    } else if (state.expectedWord === 2) {
      state.vectorBase = value & 0xf8;
      state.expectedWord = state.single !== 0 ? 4 * state.needsWord4 : 3;
    } else if (state.expectedWord === 3) {
      // Which input is the cascade is soldered on a PC.
      state.expectedWord = 4 * state.needsWord4;
    } else {
      state.automaticEndOfInterrupt = (value >> 1) & 1;
      state.specialFullyNested = (value >> 4) & 1;
      state.expectedWord = 0;
    }
  }

  #beginInitialization(value: number): void {
    const { state } = this;
    Object.assign(state, { ...resetChip(), inputs: state.inputs, levelTriggered: state.levelTriggered });
    state.vectorBase = 0;
    state.single = (value >> 1) & 1;
    state.needsWord4 = value & 1;
    state.expectedWord = 2;
    this.#followLevels();
  }

  // prettier-ignore
  #operationWord2(value: number): void {
    const { state } = this;
    const level = value & 7;
    switch (value >>> 5) {
      case 0b001: this.#endOfInterrupt(this.#highestInService(), false); break;
      case 0b011: this.#endOfInterrupt(level, false); break;
      case 0b101: this.#endOfInterrupt(this.#highestInService(), true); break;
      case 0b111: this.#endOfInterrupt(level, true); break;
      case 0b100: state.rotateInAutomaticEndOfInterrupt = 1; break;
      case 0b000: state.rotateInAutomaticEndOfInterrupt = 0; break;
      case 0b110: state.lowestPriority = level; break;
      default: break; // 010: no operation
    }
  }

  #operationWord3(value: number): void {
    const { state } = this;
    if ((value & 0x40) !== 0) state.specialMask = (value >> 5) & 1;
    if ((value & 0x02) !== 0) state.readInService = value & 1;
    state.poll = (value >> 2) & 1;
  }

  /** Reading after a poll command is an acknowledge that gives the level instead of a vector. */
  #poll(): number {
    this.state.poll = 0;
    const input = this.highestRequest();
    if (input < 0) return 0;
    this.#enterService(input);
    return 0x80 | input;
  }

  #enterService(input: number): void {
    const { state } = this;
    state.interruptRequest &= ~(1 << input);
    if (state.automaticEndOfInterrupt === 0) state.inService |= 1 << input;
    else if (state.rotateInAutomaticEndOfInterrupt !== 0) state.lowestPriority = input;
    this.#followLevels();
  }

  /** In special mask mode a masked input does not count as the highest in service. */
  #highestInService(): number {
    const { state } = this;
    const served = state.specialMask !== 0 ? state.inService & ~state.interruptMask : state.inService;
    for (let step = 1; step <= 8; step++) {
      const input = (state.lowestPriority + step) & 7;
      if ((served & (1 << input)) !== 0) return input;
    }
    return -1;
  }

  #endOfInterrupt(input: number, rotate: boolean): void {
    if (input < 0) return;
    this.state.inService &= ~(1 << input);
    if (rotate) this.state.lowestPriority = input;
  }

  #followLevels(): void {
    const { state } = this;
    const followed = state.levelTriggered | this.#cascades;
    state.interruptRequest = (state.interruptRequest & ~followed) | (state.inputs & followed);
  }
}
