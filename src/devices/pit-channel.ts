// SPDX-License-Identifier: Apache-2.0

/**
 * One counter of the 8254; a flag is 0 or 1. Nothing is counted: the counter's value and output follow from the tick at which it started.
 * See: Intel 8254 Programmable Interval Timer, order number 231164.
 */
export type ChannelState = {
  /** 0..5 */
  mode: number;
  /** The read/write field of the control word: 1 low byte, 2 high byte, 3 low then high. */
  access: number;
  binaryCodedDecimal: number;
  /** Whether a count has been loaded since the control word. */
  counting: number;
  /** Initial count in ticks, 1..65536. */
  reload: number;
  /** The tick at which the initial count entered the counting element. */
  start: number;
  /** The output until `start`. */
  outputBefore: number;
  /** A count that waits for the end of a cycle (modes 2, 3) or for a trigger (modes 1, 5); 0 when none does. */
  nextReload: number;
  /** When the waiting count is loaded, and the `start` it then has. Infinity: at the next trigger. */
  nextAt: number;
  nextStart: number;
  gate: number;
  /** Ticks counted when the gate stopped the counter, or -1 while it runs. */
  held: number;
  /** The low byte of a count of which the high byte is still to come, or -1. */
  lowByte: number;
  readHighNext: number;
  /** Latched count and status, or -1. */
  latchedCount: number;
  latchedStatus: number;
};

export function resetChannel(gate: number): ChannelState {
  return {
    mode: 0,
    access: 3,
    binaryCodedDecimal: 0,
    counting: 0,
    reload: 65536,
    start: 0,
    outputBefore: 0,
    nextReload: 0,
    nextAt: Infinity,
    nextStart: 0,
    gate,
    held: -1,
    lowByte: -1,
    readHighNext: 0,
    latchedCount: -1,
    latchedStatus: -1,
  };
}

const toBinaryCodedDecimal = (value: number): number => parseInt(String(value % 10000), 16);
const fromBinaryCodedDecimal = (value: number): number =>
  (value >> 12) * 1000 + ((value >> 8) & 15) * 100 + ((value >> 4) & 15) * 10 + (value & 15);

/** Modes 1 and 5 start at a rising gate; modes 2 and 3 restart there. */
const isTriggered = (mode: number): boolean => mode === 1 || mode === 5;
const isPeriodic = (mode: number): boolean => mode === 2 || mode === 3;
const highTicks = (reload: number): number => Math.ceil(reload / 2);

/** Takes over a count that waited for the end of a cycle. Called before every other function. */
export function settle(channel: ChannelState, tick: number): void {
  if (channel.nextReload === 0 || tick < channel.nextAt) return;
  channel.reload = channel.nextReload;
  channel.start = channel.nextStart;
  channel.nextReload = 0;
  channel.nextAt = Infinity;
}

const elapsed = (channel: ChannelState, tick: number): number =>
  channel.held >= 0 ? channel.held : tick - channel.start;

/** The OUT pin. */
export function outputOf(channel: ChannelState, tick: number): boolean {
  const { mode, reload } = channel;
  if (channel.counting === 0) return mode !== 0;
  if (isPeriodic(mode) && channel.held >= 0) return true;
  const count = elapsed(channel, tick);
  if (count < 0) return channel.outputBefore !== 0;
  if (mode <= 1) return count >= reload;
  if (mode === 2) return count % reload !== reload - 1;
  if (mode === 3) return count % reload < highTicks(reload);
  return count !== reload;
}

/** The next tick after this one at which OUT may change, or Infinity. */
export function nextChange(channel: ChannelState, tick: number): number {
  const { mode, reload, start } = channel;
  if (channel.counting === 0 || channel.held >= 0) return Infinity;
  const count = tick - start;
  if (count < 0) return start;
  if (isPeriodic(mode)) {
    const position = count % reload;
    const change = mode === 2 ? reload - 1 : highTicks(reload);
    if (reload < 2) return Infinity; // not allowed by the data sheet
    return tick + (position < change ? change : reload) - position;
  }
  if (count < reload) return start + reload;
  return mode >= 4 && count === reload ? tick + 1 : Infinity;
}

/** The counting element as a program reads it: 16 bits, BCD when so programmed. */
export function countOf(channel: ChannelState, tick: number): number {
  const count = Math.max(0, channel.counting !== 0 ? elapsed(channel, tick) : 0);
  const { reload } = channel;
  let value = reload - count;
  if (channel.mode === 2) value = reload - (count % reload);
  if (channel.mode === 3) {
    const position = count % reload;
    const high = highTicks(reload);
    value = (reload & ~1) - 2 * (position < high ? position : position - high);
  }
  const modulus = channel.binaryCodedDecimal !== 0 ? 10000 : 65536;
  value = ((value % modulus) + modulus) % modulus;
  return channel.binaryCodedDecimal !== 0 ? toBinaryCodedDecimal(value) : value;
}

/** The status byte of the read-back command. */
export function statusOf(channel: ChannelState, tick: number): number {
  const nullCount = channel.counting === 0 || channel.nextReload !== 0 || elapsed(channel, tick) < 0;
  return (
    (outputOf(channel, tick) ? 0x80 : 0) |
    (nullCount ? 0x40 : 0) |
    (channel.access << 4) |
    (channel.mode << 1) |
    channel.binaryCodedDecimal
  );
}

export function writeControl(channel: ChannelState, control: number): void {
  const mode = (control >> 1) & 7;
  Object.assign(channel, {
    ...resetChannel(channel.gate),
    reload: channel.reload,
    mode: mode > 5 ? mode - 4 : mode,
    access: (control >> 4) & 3,
    binaryCodedDecimal: control & 1,
  });
}

export function writeCount(channel: ChannelState, tick: number, byte: number): void {
  if (channel.access === 1) return loadCount(channel, tick, byte);
  if (channel.access === 2) return loadCount(channel, tick, byte << 8);
  if (channel.lowByte < 0) {
    channel.lowByte = byte;
    // In mode 0 the first byte stops the counter and takes OUT low.
    if (channel.mode === 0) channel.counting = 0;
    return;
  }
  const value = channel.lowByte | (byte << 8);
  channel.lowByte = -1;
  loadCount(channel, tick, value);
}

function loadCount(channel: ChannelState, tick: number, written: number): void {
  const value = channel.binaryCodedDecimal !== 0 ? fromBinaryCodedDecimal(written) : written;
  const reload = value !== 0 ? value : channel.binaryCodedDecimal !== 0 ? 10000 : 65536;
  const { mode } = channel;
  if (isTriggered(mode)) {
    channel.nextReload = reload;
  } else if (isPeriodic(mode) && channel.counting !== 0 && channel.held < 0 && tick >= channel.start) {
    loadAtEndOfCycle(channel, tick, reload);
  } else {
    const before = mode !== 0;
    channel.reload = reload;
    startAt(channel, tick + 1, before);
    if (channel.gate === 0) channel.held = 0;
  }
}

/** Mode 2 takes a new count at the end of its cycle, mode 3 at the end of its half cycle. */
function loadAtEndOfCycle(channel: ChannelState, tick: number, reload: number): void {
  const position = (tick - channel.start) % channel.reload;
  const high = highTicks(channel.reload);
  const endsHigh = channel.mode === 3 && position < high;
  channel.nextReload = reload;
  channel.nextAt = tick - position + (endsHigh ? high : channel.reload);
  channel.nextStart = channel.nextAt - (endsHigh ? highTicks(reload) : 0);
}

function startAt(channel: ChannelState, start: number, outputBefore: boolean): void {
  channel.counting = 1;
  channel.start = start;
  channel.outputBefore = outputBefore ? 1 : 0;
  channel.held = -1;
}

/** The GATE pin: a level in modes 0 and 4, a trigger in modes 1 and 5, both in modes 2 and 3. */
export function setGate(channel: ChannelState, tick: number, gate: boolean): void {
  if ((channel.gate !== 0) === gate) return;
  const before = outputOf(channel, tick);
  channel.gate = gate ? 1 : 0;
  if (isTriggered(channel.mode)) {
    if (gate) trigger(channel, tick, before);
  } else if (channel.counting === 0) {
    return;
  } else if (!gate) {
    channel.held = Math.max(0, tick - channel.start);
  } else if (isPeriodic(channel.mode)) {
    trigger(channel, tick, true);
  } else {
    channel.start = tick - channel.held;
    channel.held = -1;
  }
}

function trigger(channel: ChannelState, tick: number, outputBefore: boolean): void {
  if (channel.nextReload !== 0) channel.reload = channel.nextReload;
  else if (channel.counting === 0) return; // no count was ever written
  channel.nextReload = 0;
  channel.nextAt = Infinity;
  startAt(channel, tick + 1, outputBefore);
}
