// SPDX-License-Identifier: Apache-2.0
import type { BusRegistry } from '../hardware/memory.ts';
import { BytePortDevice } from './byte-ports.ts';
import { copyState, restoreState } from './bus-state.ts';

/** `init` restarts the processors only; `hard` resets the platform as well. */
export type ResetKind = 'init' | 'hard';

/** The FADT's RESET_REG and RESET_VALUE: a hard reset. */
export const RESET_CONTROL_PORT = 0xcf9;
export const RESET_CONTROL_VALUE = 0x06;
export const SYSTEM_CONTROL_PORT_A = 0x92;
export const KEYBOARD_COMMAND_PORT = 0x64;

// prettier-ignore
const RESET_CONTROL = {
  SYSTEM_RESET: 0x02, // what the next reset is: 1 hard, 0 INIT
  RESET_CPU:    0x04, // 0 to 1 resets
  FULL_RESET:   0x08, // power cycle as well
} as const;
// prettier-ignore
const PORT_92 = {
  FAST_RESET: 0x01, // 0 to 1 is an INIT
  A20:        0x02, // address line 20 is driven
} as const;
/** Pulse output line 0 of the keyboard controller, which is the processor's reset. */
const PULSE_RESET = 0xfe;

export type ResetState = {
  resetControl: number;
  portA: number;
};

export interface ResetListener {
  /** May be called in the middle of an instruction's port write: note it, act after the instruction. */
  reset(kind: ResetKind): void;
  a20Changed(enabled: boolean): void;
}

/**
 * The ways software has to reset a PC: port CF9h, port 92h, and the keyboard controller's pulse (without a keyboard
 * controller: port 64h reads as absent).
 */
export class ResetControl extends BytePortDevice {
  readonly state: ResetState = { resetControl: 0, portA: PORT_92.A20 };
  readonly #listener: ResetListener;

  constructor(listener: ResetListener) {
    super();
    this.#listener = listener;
  }

  claim(registry: BusRegistry): void {
    for (const port of [SYSTEM_CONTROL_PORT_A, KEYBOARD_COMMAND_PORT, RESET_CONTROL_PORT])
      registry.claimPorts(port, 1, 'reset control', this);
  }

  get a20(): boolean {
    return (this.state.portA & PORT_92.A20) !== 0;
  }

  readByte(port: number): number {
    if (port === RESET_CONTROL_PORT) return this.state.resetControl;
    if (port === SYSTEM_CONTROL_PORT_A) return this.state.portA;
    return 0xff;
  }

  writeByte(port: number, value: number): void {
    if (port === RESET_CONTROL_PORT) this.#writeResetControl(value);
    else if (port === SYSTEM_CONTROL_PORT_A) this.#writePortA(value);
    else if (port === KEYBOARD_COMMAND_PORT && value === PULSE_RESET) this.#listener.reset('init');
  }

  reset(): void {
    this.state.resetControl = 0;
    this.#writePortA(PORT_92.A20);
  }

  save(): ResetState {
    return copyState(this.state);
  }

  restore(saved: ResetState): void {
    restoreState(this.state, saved);
  }

  #writeResetControl(value: number): void {
    const rises = (value & ~this.state.resetControl & RESET_CONTROL.RESET_CPU) !== 0;
    this.state.resetControl = value & (RESET_CONTROL.SYSTEM_RESET | RESET_CONTROL.RESET_CPU | RESET_CONTROL.FULL_RESET);
    if (rises) this.#listener.reset((value & RESET_CONTROL.SYSTEM_RESET) !== 0 ? 'hard' : 'init');
  }

  #writePortA(value: number): void {
    const before = this.state.portA;
    this.state.portA = value & (PORT_92.FAST_RESET | PORT_92.A20);
    if (((value ^ before) & PORT_92.A20) !== 0) this.#listener.a20Changed(this.a20);
    if ((value & ~before & PORT_92.FAST_RESET) !== 0) this.#listener.reset('init');
  }
}
