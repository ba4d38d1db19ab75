// SPDX-License-Identifier: Apache-2.0
import type { InterruptLine } from '../hardware/interrupts.ts';
import type { BusRegistry } from '../hardware/memory.ts';
import { BytePortDevice } from './byte-ports.ts';
import { copyState, restoreState } from './bus-state.ts';

export const COPROCESSOR_ERROR_PORT = 0xf0;
export const COPROCESSOR_ERROR_IRQ = 13;

export type CoprocessorErrorState = {
  ferr: number;
  ignne: number;
};

/**
 * The PC's way of reporting x87 errors, for processors with CR0.NE clear: FERR# raises IRQ 13; a write to port F0h takes
 * that back and asserts IGNNE# until FERR# goes away.
 */
export class CoprocessorError extends BytePortDevice {
  readonly state: CoprocessorErrorState = { ferr: 0, ignne: 0 };
  readonly #line: InterruptLine;

  constructor(line: InterruptLine) {
    super();
    this.#line = line;
  }

  claim(registry: BusRegistry): void {
    registry.claimPorts(COPROCESSOR_ERROR_PORT, 1, 'coprocessor error', this);
  }

  /** The processor's FERR# pin. */
  ferr(asserted: boolean): void {
    if (asserted === (this.state.ferr !== 0)) return;
    this.state.ferr = asserted ? 1 : 0;
    this.state.ignne = 0;
    this.#line.set(asserted);
  }

  get ignne(): boolean {
    return this.state.ignne !== 0;
  }

  readByte(): number {
    return 0xff;
  }

  writeByte(): void {
    this.#line.set(false);
    this.state.ignne = this.state.ferr;
  }

  reset(): void {
    this.ferr(false);
  }

  save(): CoprocessorErrorState {
    return copyState(this.state);
  }

  restore(saved: CoprocessorErrorState): void {
    restoreState(this.state, saved);
  }
}
