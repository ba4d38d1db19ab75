// SPDX-License-Identifier: Apache-2.0
import type { InterruptLine } from '../hardware/interrupts.ts';
import type { BusRegistry } from '../hardware/memory.ts';
import type { Timer, TimerService } from '../hardware/time.ts';
import { BytePortDevice } from './byte-ports.ts';
import { copyState, restoreState } from './bus-state.ts';
import {
  type ChannelState,
  countOf,
  nextChange,
  outputOf,
  resetChannel,
  setGate,
  settle,
  statusOf,
  writeControl,
  writeCount,
} from './pit-channel.ts';
import { nanosecondsOfTick, ticksAt } from './ticks.ts';

/** The clock of all three channels. */
export const PIT_HERTZ = 1_193_182;
/** Channel 1 asks for a memory refresh every 18 ticks; bit 4 of port 61h toggles with it. */
const REFRESH_TICKS = 18;

// prettier-ignore
export const PIT_PORTS = [
  // first  count  name
  [ 0x40,   4,     'interval timer'      ],
  [ 0x61,   1,     'system control port B' ],
] as const;

// prettier-ignore
const PORT_61 = {
  GATE_2:  0x01, // read/write
  SPEAKER: 0x02, // read/write
  CHECKS:  0x0c, // read/write: parity and channel check enables, without effect
  REFRESH: 0x10, // read only
  OUT_2:   0x20, // read only
} as const;

export type PitState = {
  channels: ChannelState[];
  /** The writable bits of port 61h. */
  systemControl: number;
};

/** The 8254 interval timer, and port 61h which belongs to its channel 2. Channel 0 drives IRQ 0. */
export class Pit extends BytePortDevice {
  readonly state: PitState;
  readonly #line: InterruptLine;
  readonly #time: TimerService;
  readonly #timer: Timer;

  constructor(time: TimerService, line: InterruptLine, name = 'pit') {
    super();
    this.state = { channels: [resetChannel(1), resetChannel(1), resetChannel(0)], systemControl: 0 };
    this.#line = line;
    this.#time = time;
    this.#timer = time.timer(name, () => this.#update());
  }

  claim(registry: BusRegistry): void {
    for (const [first, count, name] of PIT_PORTS) registry.claimPorts(first, count, name, this);
  }

  /** The OUT pin of a channel now; whether the speaker's cone is pushed is `output(2)` and port 61h bit 1. */
  output(channel: number): boolean {
    return outputOf(this.#channel(channel), this.#tick());
  }

  readByte(port: number): number {
    if (port === 0x61) return this.#readSystemControl();
    if (port < 0x40 || port > 0x42) return 0xff; // the control word cannot be read
    return this.#readChannel(this.#channel(port - 0x40));
  }

  writeByte(port: number, value: number): void {
    if (port === 0x61) this.#writeSystemControl(value);
    else if (port === 0x43) this.#writeControl(value);
    else if (port >= 0x40 && port <= 0x42) writeCount(this.#channel(port - 0x40), this.#tick(), value);
    this.#update();
  }

  reset(): void {
    this.state.channels.forEach((channel, index) => Object.assign(channel, resetChannel(index === 2 ? 0 : 1)));
    this.state.systemControl = 0;
    this.#update();
  }

  save(): PitState {
    return copyState(this.state);
  }

  restore(saved: PitState): void {
    restoreState(this.state, saved);
    this.#schedule();
  }

  #tick(): number {
    return ticksAt(this.#time.nanoseconds(), PIT_HERTZ);
  }

  #channel(index: number): ChannelState {
    const channel = this.state.channels[index];
    settle(channel, this.#tick());
    return channel;
  }

  #update(): void {
    this.#line.set(this.output(0));
    this.#schedule();
  }

  #schedule(): void {
    const change = nextChange(this.#channel(0), this.#tick());
    if (change === Infinity) this.#timer.disarm();
    else this.#timer.arm(nanosecondsOfTick(change, PIT_HERTZ));
  }

  #writeControl(value: number): void {
    const select = value >> 6;
    if (select === 3) return this.#readBack(value);
    const channel = this.#channel(select);
    if ((value & 0x30) === 0) this.#latchCount(channel);
    else writeControl(channel, value);
  }

  #readBack(value: number): void {
    for (let index = 0; index < 3; index++) {
      if ((value & (2 << index)) === 0) continue;
      const channel = this.#channel(index);
      if ((value & 0x20) === 0) this.#latchCount(channel);
      if ((value & 0x10) === 0 && channel.latchedStatus < 0) channel.latchedStatus = statusOf(channel, this.#tick());
    }
  }

  /** A count that is latched stays until it has been read. */
  #latchCount(channel: ChannelState): void {
    if (channel.latchedCount < 0) channel.latchedCount = countOf(channel, this.#tick());
  }

  #readChannel(channel: ChannelState): number {
    if (channel.latchedStatus >= 0) {
      const status = channel.latchedStatus;
      channel.latchedStatus = -1;
      return status;
    }
    const count = channel.latchedCount >= 0 ? channel.latchedCount : countOf(channel, this.#tick());
    const high = channel.access === 2 || (channel.access === 3 && channel.readHighNext !== 0);
    if (channel.access === 3) channel.readHighNext = high ? 0 : 1;
    if (high || channel.access === 1) channel.latchedCount = -1;
    return high ? count >> 8 : count & 0xff;
  }

  #readSystemControl(): number {
    const refresh = Math.floor(this.#tick() / REFRESH_TICKS) % 2 === 1;
    return this.state.systemControl | (refresh ? PORT_61.REFRESH : 0) | (this.output(2) ? PORT_61.OUT_2 : 0);
  }

  #writeSystemControl(value: number): void {
    this.state.systemControl = value & (PORT_61.GATE_2 | PORT_61.SPEAKER | PORT_61.CHECKS);
    setGate(this.#channel(2), this.#tick(), (value & PORT_61.GATE_2) !== 0);
  }
}
