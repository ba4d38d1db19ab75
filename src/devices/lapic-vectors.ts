// SPDX-License-Identifier: Apache-2.0
import { APIC } from './lapic-registers.ts';

/**
 * The vectors of a local APIC: IRR, ISR and TMR (sets of 256 in eight registers each) under the task priority.
 * See: SDM 11.8.3 Interrupt, Task, and Processor Priority.
 */
export class VectorRegisters {
  readonly #registers: Uint32Array;

  /** `registers` by APIC register index. */
  constructor(registers: Uint32Array) {
    this.#registers = registers;
  }

  /** PPR, 8 bits. */
  get processorPriority(): number {
    const task = this.#registers[APIC.TASK_PRIORITY];
    const service = Math.max(0, this.#highest(APIC.IN_SERVICE));
    return task >> 4 >= service >> 4 ? task : service & 0xf0;
  }

  /** The requested vector that beats the processor priority, or -1. */
  pending(): number {
    const vector = this.#highest(APIC.INTERRUPT_REQUEST);
    return vector >> 4 > this.processorPriority >> 4 ? vector : -1;
  }

  request(vector: number, levelTriggered: boolean): void {
    this.#set(APIC.INTERRUPT_REQUEST, vector);
    if (levelTriggered) this.#set(APIC.TRIGGER_MODE, vector);
    else this.#clear(APIC.TRIGGER_MODE, vector);
  }

  enterService(vector: number): void {
    this.#clear(APIC.INTERRUPT_REQUEST, vector);
    this.#set(APIC.IN_SERVICE, vector);
  }

  /** Ends the highest vector in service, and returns it, or -1. */
  leaveService(): number {
    const vector = this.#highest(APIC.IN_SERVICE);
    if (vector >= 0) this.#clear(APIC.IN_SERVICE, vector);
    return vector;
  }

  isLevelTriggered(vector: number): boolean {
    return (this.#registers[APIC.TRIGGER_MODE + (vector >> 5)] & (1 << (vector & 31))) !== 0;
  }

  #highest(first: number): number {
    for (let word = 7; word >= 0; word--) {
      const bits = this.#registers[first + word];
      if (bits !== 0) return word * 32 + 31 - Math.clz32(bits);
    }
    return -1;
  }

  #set(first: number, vector: number): void {
    this.#registers[first + (vector >> 5)] |= 1 << (vector & 31);
  }

  #clear(first: number, vector: number): void {
    this.#registers[first + (vector >> 5)] &= ~(1 << (vector & 31));
  }
}
