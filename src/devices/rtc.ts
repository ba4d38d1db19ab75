// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';
import type { InterruptLine } from '../hardware/interrupts.ts';
import type { BusRegistry } from '../hardware/memory.ts';
import type { Timer, TimerService } from '../hardware/time.ts';
import { BytePortDevice } from './byte-ports.ts';
import { copyState, restoreState } from './bus-state.ts';
import { nextAlarm, readCalendar, RTC_TIME, type RtcFormat, writeCalendar } from './rtc-calendar.ts';
import { NANOSECONDS_PER_SECOND, nanosecondsOfTick, ticksAt } from './ticks.ts';

export const RTC_PORTS = { FIRST: 0x70, COUNT: 2 } as const;

// prettier-ignore
const REGISTER = { A: 0x0a, B: 0x0b, C: 0x0c, D: 0x0d } as const;
// prettier-ignore
const A = {
  UPDATE_IN_PROGRESS: 0x80, // read only
  DIVIDER:            0x70,
  DIVIDER_RESET:      0x60, // 11x holds the divider in reset
  RATE:               0x0f,
} as const;
// prettier-ignore
const B = {
  SET:         0x80, // no updates: the time registers are written
  PERIODIC:    0x40, // interrupt enables: the bits of register C
  ALARM:       0x20,
  UPDATE:      0x10,
  SQUARE_WAVE: 0x08,
  BINARY:      0x04,
  HOURS_24:    0x02,
} as const;
const INTERRUPT_REQUEST = 0x80;
const VALID_RAM_AND_TIME = 0x80;
const ENABLES = B.PERIODIC | B.ALARM | B.UPDATE;

const OSCILLATOR_HERTZ = 32_768;
/** The update-in-progress bit is up for 244 us before an update and the 1984 us that it takes. */
const UPDATE_NANOSECONDS = 2_228_000;

export type RtcState = {
  index: number;
  /** Registers and CMOS RAM. While the clock runs the time registers follow from `calendar`. */
  cmos: Uint8Array;
  /** Unix seconds at `origin`. */
  calendar: number;
  /** Virtual nanoseconds at which the divider began to count. */
  origin: number;
  /** Seconds and oscillator ticks since `origin` that the flags of register C know of. */
  seenSeconds: number;
  seenTicks: number;
};

export interface RtcOptions {
  /** The time at power-on, Unix seconds. */
  readonly startTime: number;
  readonly name?: string;
}

/** MC146818 real-time clock with 128 bytes of CMOS RAM. The line is IRQ 8. */
export class Rtc extends BytePortDevice {
  readonly state: RtcState;
  readonly #time: TimerService;
  readonly #timer: Timer;
  readonly #line: InterruptLine;

  constructor(time: TimerService, line: InterruptLine, options: RtcOptions) {
    super();
    this.state = {
      index: 0,
      cmos: new Uint8Array(128),
      calendar: options.startTime,
      origin: time.nanoseconds(),
      seenSeconds: 0,
      seenTicks: 0,
    };
    this.state.cmos[REGISTER.A] = 0x26; // 32.768 kHz, 1024 Hz
    this.state.cmos[REGISTER.B] = B.HOURS_24;
    this.state.cmos[REGISTER.D] = VALID_RAM_AND_TIME;
    this.#time = time;
    this.#line = line;
    this.#timer = time.timer(options.name ?? 'rtc', () => this.#update());
  }

  claim(registry: BusRegistry): void {
    registry.claimPorts(RTC_PORTS.FIRST, RTC_PORTS.COUNT, 'real-time clock', this);
  }

  /** Presets a byte of CMOS RAM (0Eh..7Fh), as firmware would have left it. */
  preset(index: number, value: number): void {
    assert(index > REGISTER.D && index < 128 && index !== RTC_TIME.CENTURY, 'not a byte of CMOS RAM');
    this.state.cmos[index] = value;
  }

  /** The index port reads as absent. */
  readByte(port: number): number {
    if (port !== RTC_PORTS.FIRST + 1) return 0xff;
    this.#notice();
    const { cmos, index } = this.state;
    if (index === REGISTER.A) return cmos[REGISTER.A] | (this.#updateInProgress() ? A.UPDATE_IN_PROGRESS : 0);
    if (index === REGISTER.C) return this.#readFlags();
    if (this.#ticking()) writeCalendar(cmos, this.#calendarNow(), this.#format());
    return cmos[index];
  }

  writeByte(port: number, value: number): void {
    if (port === RTC_PORTS.FIRST) this.state.index = value & 0x7f;
    else this.#writeRegister(this.state.index, value);
  }

  /** The RESET pin: interrupts off; time and RAM stay. */
  reset(): void {
    this.#notice();
    this.state.index = 0;
    this.state.cmos[REGISTER.B] &= ~(ENABLES | B.SQUARE_WAVE);
    this.state.cmos[REGISTER.C] = 0;
    this.#update();
  }

  save(): RtcState {
    return copyState(this.state);
  }

  restore(saved: RtcState): void {
    restoreState(this.state, saved);
    this.#schedule();
  }

  #format(): RtcFormat {
    const b = this.state.cmos[REGISTER.B];
    return { binary: (b & B.BINARY) !== 0, hours24: (b & B.HOURS_24) !== 0 };
  }

  #dividing(): boolean {
    return (this.state.cmos[REGISTER.A] & A.DIVIDER_RESET) !== A.DIVIDER_RESET;
  }

  /** Whether the time registers are updated once a second. */
  #ticking(): boolean {
    return this.#dividing() && (this.state.cmos[REGISTER.B] & B.SET) === 0;
  }

  #sinceOrigin(): number {
    return this.#time.nanoseconds() - this.state.origin;
  }

  #seconds(): number {
    return Math.floor(this.#sinceOrigin() / NANOSECONDS_PER_SECOND);
  }

  #calendarNow(): number {
    return this.state.calendar + this.#seconds();
  }

  #updateInProgress(): boolean {
    const left = (this.#seconds() + 1) * NANOSECONDS_PER_SECOND - this.#sinceOrigin();
    return this.#ticking() && left <= UPDATE_NANOSECONDS;
  }

  /** Oscillator ticks between periodic flags; 0 for none. */
  #period(): number {
    const rate = this.state.cmos[REGISTER.A] & A.RATE;
    if (rate === 0) return 0;
    return rate <= 2 ? 2 ** (rate + 6) : 2 ** (rate - 1);
  }

  /** Sets the flags of register C for what has happened since the last look. */
  #notice(): void {
    const { state } = this;
    if (!this.#dividing()) return;
    const seconds = this.#seconds();
    const ticks = ticksAt(this.#sinceOrigin(), OSCILLATOR_HERTZ);
    if (this.#ticking() && seconds > state.seenSeconds) this.#noticeSeconds(seconds);
    const period = this.#period();
    if (period !== 0 && Math.floor(ticks / period) > Math.floor(state.seenTicks / period))
      state.cmos[REGISTER.C] |= B.PERIODIC;
    state.seenSeconds = seconds;
    state.seenTicks = ticks;
  }

  #noticeSeconds(seconds: number): void {
    const { state } = this;
    state.cmos[REGISTER.C] |= B.UPDATE;
    const alarm = nextAlarm(state.cmos, state.calendar + state.seenSeconds, this.#format());
    if (alarm <= state.calendar + seconds) state.cmos[REGISTER.C] |= B.ALARM;
  }

  /** Reading register C clears it and lets go of the line. */
  #readFlags(): number {
    const { cmos } = this.state;
    const flags = cmos[REGISTER.C];
    const requests = (flags & cmos[REGISTER.B] & ENABLES) !== 0;
    cmos[REGISTER.C] = 0;
    this.#update();
    return flags | (requests ? INTERRUPT_REQUEST : 0);
  }

  #writeRegister(index: number, value: number): void {
    this.#notice();
    const { cmos } = this.state;
    if (index === REGISTER.A) this.#writeControl(REGISTER.A, value & ~A.UPDATE_IN_PROGRESS);
    else if (index === REGISTER.B) this.#writeControl(REGISTER.B, (value & B.SET) !== 0 ? value & ~B.UPDATE : value);
    else if (index === REGISTER.C || index === REGISTER.D) return;
    else if (this.#isTime(index) && this.#ticking()) this.#writeTime(index, value);
    else cmos[index] = value;
    this.#update();
  }

  #isTime(index: number): boolean {
    return index === RTC_TIME.CENTURY || (index <= RTC_TIME.YEAR && (index > 5 || (index & 1) === 0));
  }

  #writeTime(index: number, value: number): void {
    const { cmos } = this.state;
    writeCalendar(cmos, this.#calendarNow(), this.#format());
    cmos[index] = value;
    this.#takeTime();
  }

  /** Takes the calendar over from the time registers. */
  #takeTime(): void {
    this.state.calendar = readCalendar(this.state.cmos, this.#format()) - this.#seconds();
  }

  /** Writes register A or B; the time registers freeze or start to run when the bits that do so change. */
  #writeControl(register: number, value: number): void {
    const { state } = this;
    const wasTicking = this.#ticking();
    const wasDividing = this.#dividing();
    if (wasTicking) writeCalendar(state.cmos, this.#calendarNow(), this.#format());
    state.cmos[register] = value;
    if (!wasDividing && this.#dividing()) this.#startDivider();
    if (!wasTicking && this.#ticking()) this.#takeTime();
  }

  /** The first update comes half a second after the divider left reset. */
  #startDivider(): void {
    this.state.origin = this.#time.nanoseconds() - NANOSECONDS_PER_SECOND / 2;
    this.state.seenSeconds = 0;
    this.state.seenTicks = OSCILLATOR_HERTZ / 2;
  }

  #update(): void {
    this.#notice();
    const { cmos } = this.state;
    this.#line.set((cmos[REGISTER.C] & cmos[REGISTER.B] & ENABLES) !== 0);
    this.#schedule();
  }

  /** A timer runs only for an interrupt that is enabled and not already requested. */
  #schedule(): void {
    const { state } = this;
    const waits = state.cmos[REGISTER.B] & ~state.cmos[REGISTER.C] & ENABLES;
    let next = Infinity;
    if ((waits & B.UPDATE) !== 0 && this.#ticking()) next = (this.#seconds() + 1) * NANOSECONDS_PER_SECOND;
    if ((waits & B.ALARM) !== 0 && this.#ticking()) {
      const alarm = nextAlarm(state.cmos, this.#calendarNow(), this.#format()) - state.calendar;
      next = Math.min(next, alarm * NANOSECONDS_PER_SECOND);
    }
    const period = this.#period();
    if ((waits & B.PERIODIC) !== 0 && this.#dividing() && period !== 0) {
      const tick = (Math.floor(state.seenTicks / period) + 1) * period;
      next = Math.min(next, nanosecondsOfTick(tick, OSCILLATOR_HERTZ));
    }
    if (next === Infinity) this.#timer.disarm();
    else this.#timer.arm(state.origin + next);
  }
}
