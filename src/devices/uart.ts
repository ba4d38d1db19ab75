// SPDX-License-Identifier: Apache-2.0
import type { InterruptLine } from '../hardware/interrupts.ts';
import type { BusRegistry, PortDevice } from '../hardware/memory.ts';
import type { ByteChannel } from '../hardware/ports.ts';
import { copyState, restoreState } from './bus-state.ts';
import type { StateRecord, Stateful } from './bus-state.ts';
import { ByteWideDevice } from './bus-width.ts';

/** See: PC16550D datasheet, 8.0 Registers. */
const FIFO_BYTES = 16;

const IER_RECEIVED_DATA = 1 << 0;
const IER_TRANSMITTER_EMPTY = 1 << 1;
const IER_LINE_STATUS = 1 << 2;
const IER_MODEM_STATUS = 1 << 3;
const IER_BITS = 0x0f;

const IIR_NONE = 0x01;
const IIR_FIFOS_ENABLED = 0xc0;

const FCR_ENABLE = 1 << 0;
const FCR_RESET_RECEIVER = 1 << 1;
const TRIGGER_LEVELS = [1, 4, 8, 14];

const LCR_DIVISOR_LATCH = 1 << 7;

const MCR_OUT2 = 1 << 3;
const MCR_LOOP = 1 << 4;
const MCR_BITS = 0x1f;

const LSR_DATA_READY = 1 << 0;
const LSR_OVERRUN = 1 << 1;
const LSR_ERRORS = 0x1e;
const LSR_TRANSMITTER_IDLE = 0x60;

/** Clear To Send, Data Set Ready, Data Carrier Detect: somebody is connected. */
const MSR_CONNECTED = 0xb0;
const MSR_DELTAS = 0x0f;
const MSR_RING = 1 << 6;

export type UartState = {
  ier: number;
  lcr: number;
  mcr: number;
  msr: number;
  scr: number;
  divisor: number;
  fifoControl: number;
  /** Errors only; data ready and transmitter idle follow from the rest. */
  lineErrors: number;
  /** The transmitter became empty and nobody has been told. */
  transmitterEmptyPending: number;
  fifo: Uint8Array;
  fifoHead: number;
  fifoCount: number;
};

const RESET: UartState = {
  ier: 0,
  lcr: 0,
  mcr: 0,
  msr: MSR_CONNECTED,
  scr: 0,
  divisor: 1,
  fifoControl: 0,
  lineErrors: 0,
  transmitterEmptyPending: 0,
  fifo: new Uint8Array(FIFO_BYTES),
  fifoHead: 0,
  fifoCount: 0,
};

/** A register: its offset, whether it is there with the divisor latch open (1), closed (0) or always. */
interface UartRegister {
  readonly offset: number;
  readonly latch: 0 | 1 | 'any';
  readonly name: string;
  readonly read: (uart: Uart16550) => number;
  readonly write: (uart: Uart16550, value: number) => void;
}

const ignore = (): void => {};

// prettier-ignore
const REGISTERS: readonly UartRegister[] = [
  { offset: 0, latch: 0,     name: 'RBR, THR', read: (u) => u.receive(),               write: (u, v) => u.transmit(v) },
  { offset: 0, latch: 1,     name: 'DLL',      read: (u) => u.state.divisor & 0xff,    write: (u, v) => { u.state.divisor = (u.state.divisor & 0xff00) | v; } },
  { offset: 1, latch: 0,     name: 'IER',      read: (u) => u.state.ier,               write: (u, v) => u.setInterruptEnable(v) },
  { offset: 1, latch: 1,     name: 'DLM',      read: (u) => u.state.divisor >> 8,      write: (u, v) => { u.state.divisor = (u.state.divisor & 0xff) | (v << 8); } },
  { offset: 2, latch: 'any', name: 'IIR, FCR', read: (u) => u.identifyInterrupt(),     write: (u, v) => u.setFifoControl(v) },
  { offset: 3, latch: 'any', name: 'LCR',      read: (u) => u.state.lcr,               write: (u, v) => { u.state.lcr = v; } },
  { offset: 4, latch: 'any', name: 'MCR',      read: (u) => u.state.mcr,               write: (u, v) => u.setModemControl(v) },
  { offset: 5, latch: 'any', name: 'LSR',      read: (u) => u.readLineStatus(),        write: ignore },
  { offset: 6, latch: 'any', name: 'MSR',      read: (u) => u.readModemStatus(),       write: ignore },
  { offset: 7, latch: 'any', name: 'SCR',      read: (u) => u.state.scr,               write: (u, v) => { u.state.scr = v; } },
];

/** By divisor latch << 3 | offset. */
const REGISTER_AT = Array.from({ length: 16 }, (_, key) =>
  REGISTERS.find(({ offset, latch }) => offset === (key & 7) && (latch === 'any' || latch === key >> 3)),
) as UartRegister[];

/** Interrupt sources in order of priority. See: PC16550D datasheet, Table IV Interrupt Control Functions. */
// prettier-ignore
const SOURCES: readonly { identification: number; enable: number; active: (uart: Uart16550) => boolean }[] = [
  { identification: 0x06, enable: IER_LINE_STATUS,       active: (u) => u.state.lineErrors !== 0 },
  { identification: 0x04, enable: IER_RECEIVED_DATA,     active: (u) => u.state.fifoCount >= u.triggerLevel },
  { identification: 0x0c, enable: IER_RECEIVED_DATA,     active: (u) => u.state.fifoCount > 0 },
  { identification: 0x02, enable: IER_TRANSMITTER_EMPTY, active: (u) => u.state.transmitterEmptyPending !== 0 },
  { identification: 0x00, enable: IER_MODEM_STATUS,      active: (u) => (u.state.msr & MSR_DELTAS) !== 0 },
];
const TRANSMITTER_EMPTY = 0x02;

export interface UartOptions {
  /** For claims and messages: COM1. */
  readonly name: string;
  /** First of eight ports: 3F8h for COM1. */
  readonly base: number;
  readonly line: InterruptLine;
  readonly channel: ByteChannel;
}

/**
 * A 16550A. A byte sent is out at once, in no virtual time: the transmitter is always idle, and becomes empty (anew)
 * with each byte. Input below the trigger level reports its character timeout at once.
 */
export class Uart16550 extends ByteWideDevice implements PortDevice, Stateful {
  readonly state: UartState = copyState(RESET);
  readonly #options: UartOptions;

  constructor(options: UartOptions) {
    super();
    this.#options = options;
  }

  claim(registry: BusRegistry): void {
    registry.claimPorts(this.#options.base, 8, this.#options.name, this);
  }

  readPort(port: number, width: 1 | 2 | 4): number {
    return this.readMemory(port - this.#options.base, width);
  }

  writePort(port: number, width: 1 | 2 | 4, value: number): void {
    this.writeMemory(port - this.#options.base, width, value);
  }

  override readByte(offset: number): number {
    return this.#register(offset).read(this);
  }

  override writeByte(offset: number, value: number): void {
    this.#register(offset).write(this, value);
    this.#driveLine();
  }

  #register(offset: number): UartRegister {
    return REGISTER_AT[((this.state.lcr & LCR_DIVISOR_LATCH) >> 4) | offset];
  }

  /** Takes input as far as there is room. The machine calls it when input may be there. */
  poll(): void {
    if (this.state.mcr & MCR_LOOP) return;
    while (this.state.fifoCount < this.#capacity) {
      const byte = this.#options.channel.receive();
      if (byte < 0) break;
      this.#accept(byte);
    }
    this.#driveLine();
  }

  get #fifosEnabled(): boolean {
    return (this.state.fifoControl & FCR_ENABLE) !== 0;
  }

  get #capacity(): number {
    return this.#fifosEnabled ? FIFO_BYTES : 1;
  }

  get triggerLevel(): number {
    return this.#fifosEnabled ? TRIGGER_LEVELS[this.state.fifoControl >> 6] : 1;
  }

  /** A full FIFO keeps what it has; without FIFOs the new byte replaces the old. */
  #accept(byte: number): void {
    const { state } = this;
    if (state.fifoCount === this.#capacity) {
      state.lineErrors |= LSR_OVERRUN;
      if (this.#fifosEnabled) return;
      state.fifoCount = 0;
    }
    state.fifo[(state.fifoHead + state.fifoCount) % FIFO_BYTES] = byte;
    state.fifoCount++;
  }

  receive(): number {
    const { state } = this;
    if (state.fifoCount === 0) return 0;
    const byte = state.fifo[state.fifoHead];
    state.fifoHead = (state.fifoHead + 1) % FIFO_BYTES;
    state.fifoCount--;
    this.#driveLine();
    return byte;
  }

  transmit(byte: number): void {
    if (this.state.mcr & MCR_LOOP) this.#accept(byte);
    else this.#options.channel.send(byte);
    this.state.transmitterEmptyPending = 1;
  }

  /** Enabling the transmitter interrupt reports an idle transmitter; Linux tests that it does so each time. */
  setInterruptEnable(value: number): void {
    const { state } = this;
    const enabled = value & ~state.ier & IER_TRANSMITTER_EMPTY;
    state.ier = value & IER_BITS;
    if (enabled) state.transmitterEmptyPending = 1;
  }

  #highestSource(): (typeof SOURCES)[number] | undefined {
    return SOURCES.find(({ enable, active }) => this.state.ier & enable && active(this));
  }

  /** Reading IIR acknowledges the transmitter interrupt if that is what it reports. */
  identifyInterrupt(): number {
    const identification = this.#highestSource()?.identification ?? IIR_NONE;
    if (identification === TRANSMITTER_EMPTY) {
      this.state.transmitterEmptyPending = 0;
      this.#driveLine();
    }
    return identification | (this.#fifosEnabled ? IIR_FIFOS_ENABLED : 0);
  }

  /** Bit 0 must be set for the others to be programmed; changing it empties the FIFOs. */
  setFifoControl(value: number): void {
    const { state } = this;
    const toggled = (value ^ state.fifoControl) & FCR_ENABLE;
    state.fifoControl = value & FCR_ENABLE ? value & (FCR_ENABLE | 0xc0) : 0;
    if (toggled || (value & FCR_ENABLE && value & FCR_RESET_RECEIVER)) state.fifoCount = 0;
  }

  /** In loopback the modem inputs show the modem outputs: CTS = RTS, DSR = DTR, RI = OUT1, DCD = OUT2. */
  setModemControl(value: number): void {
    const { state } = this;
    state.mcr = value & MCR_BITS;
    const [dtr, rts, out1, out2] = [0, 1, 2, 3].map((bit) => (value >> bit) & 1);
    const inputs = value & MCR_LOOP ? (rts << 4) | (dtr << 5) | (out1 << 6) | (out2 << 7) : MSR_CONNECTED;
    this.#setModemInputs(inputs);
  }

  /** RI reports only its trailing edge. */
  #setModemInputs(inputs: number): void {
    const { state } = this;
    const changed = (inputs ^ state.msr) & 0xf0;
    const ringEnded = changed & state.msr & MSR_RING;
    state.msr = inputs | (state.msr & MSR_DELTAS) | (((changed & ~MSR_RING) | ringEnded) >> 4);
  }

  readLineStatus(): number {
    const { state } = this;
    const status = LSR_TRANSMITTER_IDLE | state.lineErrors | (state.fifoCount > 0 ? LSR_DATA_READY : 0);
    state.lineErrors &= ~LSR_ERRORS;
    this.#driveLine();
    return status;
  }

  readModemStatus(): number {
    const { msr } = this.state;
    this.state.msr = msr & ~MSR_DELTAS;
    this.#driveLine();
    return msr;
  }

  /** On a PC, OUT2 connects the interrupt output to the bus; in loopback that output is off. */
  #driveLine(): void {
    const connected = (this.state.mcr & (MCR_OUT2 | MCR_LOOP)) === MCR_OUT2;
    this.#options.line.set(connected && this.#highestSource() !== undefined);
  }

  reset(): void {
    restoreState(this.state, RESET);
    this.#driveLine();
  }

  save(): StateRecord {
    return copyState(this.state);
  }

  restore(saved: StateRecord): void {
    restoreState(this.state, saved);
    this.#driveLine();
  }
}
