// SPDX-License-Identifier: Apache-2.0
import type { InterruptLine } from '../hardware/interrupts.ts';
import type { BusRegistry } from '../hardware/memory.ts';
import type { Timer, TimerService } from '../hardware/time.ts';
import { BytePortDevice } from './byte-ports.ts';
import { copyState, restoreState } from './bus-state.ts';
import { nanosecondsOfTick, ticksAt } from './ticks.ts';

/** What the FADT says of this device: offsets from the port base, lengths in bytes. */
// prettier-ignore
export const ACPI_PM_LAYOUT = {
  DEFAULT_BASE:        0x600,
  SIZE:                0x18,
  PM1_EVENT_OFFSET:    0x00, PM1_EVENT_LENGTH:    4, // status 2, enable 2
  PM1_CONTROL_OFFSET:  0x04, PM1_CONTROL_LENGTH:  2,
  PM_TIMER_OFFSET:     0x08, PM_TIMER_LENGTH:     4,
  GPE0_OFFSET:         0x10, GPE0_LENGTH:         4, // status 2, enable 2
  /** The line the device should be given. */
  SCI_INTERRUPT:       9,
  /** SLP_TYPa of \_S5. */
  SOFT_OFF_SLEEP_TYPE: 5,
} as const;

export const PM_TIMER_HERTZ = 3_579_545;

/** See: ACPI 4.8.3.1 PM1 Event Grouping. */
// prettier-ignore
export const PM1_EVENT = {
  //              bit      cleared by writing 1; the enable register has it unless said otherwise
  TIMER:          0x0001,
  BUS_MASTER:     0x0010, // no enable
  GLOBAL:         0x0020,
  POWER_BUTTON:   0x0100,
  SLEEP_BUTTON:   0x0200,
  REAL_TIME_CLOCK: 0x0400,
  WAKE:           0x8000, // no enable
} as const;
const PM1_STATUS_BITS = 0x8731;
const PM1_ENABLE_BITS = 0x0721;

/** See: ACPI 4.8.3.2 PM1 Control Grouping. */
// prettier-ignore
const PM1_CONTROL = {
  SCI_ENABLED:  0x0001, // always: the machine has no SMI_CMD, so it is always in ACPI mode
  BUS_MASTER:   0x0002,
  SLEEP_TYPE:   0x1c00,
  SLEEP_ENABLE: 0x2000, // write only
} as const;

export type AcpiPmState = {
  status: number;
  enable: number;
  control: number;
  generalStatus: number;
  generalEnable: number;
  /** Half periods of the PM timer whose end has been noticed. */
  timerToggles: number;
};

export interface AcpiPmOptions {
  /** First port, a multiple of 4. */
  readonly base?: number;
  /** FADT flag TMR_VAL_EXT. */
  readonly timerBits?: 24 | 32;
  readonly name?: string;
}

/** ACPI's fixed hardware: PM1a events and control, the PM timer, one block of general-purpose events. */
export class AcpiPm extends BytePortDevice {
  readonly base: number;
  readonly state: AcpiPmState;
  readonly #time: TimerService;
  readonly #timer: Timer;
  readonly #line: InterruptLine;
  readonly #powerOff: () => void;
  readonly #timerBits: number;

  /** `powerOff` may be called in the middle of an instruction's port write. */
  constructor(time: TimerService, line: InterruptLine, powerOff: () => void, options: AcpiPmOptions = {}) {
    super();
    this.base = options.base ?? ACPI_PM_LAYOUT.DEFAULT_BASE;
    this.#timerBits = options.timerBits ?? 32;
    this.#time = time;
    this.#line = line;
    this.#powerOff = powerOff;
    this.state = { status: 0, enable: 0, control: 0, generalStatus: 0, generalEnable: 0, timerToggles: 0 };
    this.#timer = time.timer(options.name ?? 'acpi-pm', () => this.#update());
  }

  claim(registry: BusRegistry): void {
    registry.claimPorts(this.base, ACPI_PM_LAYOUT.SIZE, 'ACPI power management', this);
  }

  /** The user pressed the power button. */
  pressPowerButton(): void {
    this.state.status |= PM1_EVENT.POWER_BUTTON;
    this.#update();
  }

  /** A general-purpose event 0..15 happened. */
  raiseGeneralPurposeEvent(event: number): void {
    this.state.generalStatus |= (1 << event) & 0xffff;
    this.#update();
  }

  override readPort(port: number, width: 1 | 2 | 4): number {
    this.#noticeTimer();
    return super.readPort(port, width);
  }

  // prettier-ignore
  readByte(port: number): number {
    const { state } = this;
    const offset = port - this.base;
    const shift = 8 * (offset & 1);
    switch (offset & ~1) {
      case 0x00: return (state.status >> shift) & 0xff;
      case 0x02: return (state.enable >> shift) & 0xff;
      case 0x04: return ((state.control | PM1_CONTROL.SCI_ENABLED) >> shift) & 0xff;
      case 0x08: case 0x0a: return (this.#timerValue() >>> (8 * (offset & 3))) & 0xff;
      case 0x10: return (state.generalStatus >> shift) & 0xff;
      case 0x12: return (state.generalEnable >> shift) & 0xff;
      default: return 0;
    }
  }

  override writePort(port: number, width: 1 | 2 | 4, value: number): void {
    this.#noticeTimer();
    super.writePort(port, width, value);
    this.#update();
  }

  // prettier-ignore
  writeByte(port: number, value: number): void {
    const { state } = this;
    const offset = port - this.base;
    const shift = 8 * (offset & 1);
    const bits = value << shift;
    const kept = 0xff00 >> shift;
    switch (offset & ~1) {
      case 0x00: state.status &= ~bits; break;
      case 0x02: state.enable = ((state.enable & kept) | bits) & PM1_ENABLE_BITS; break;
      case 0x04: this.#writeControl((state.control & kept) | bits); break;
      case 0x10: state.generalStatus &= ~bits; break;
      case 0x12: state.generalEnable = (state.generalEnable & kept) | bits; break;
      default: break;
    }
  }

  reset(): void {
    Object.assign(this.state, { status: 0, enable: 0, control: 0, generalStatus: 0, generalEnable: 0 });
    this.state.timerToggles = this.#toggles();
    this.#update();
  }

  save(): AcpiPmState {
    return copyState(this.state);
  }

  restore(saved: AcpiPmState): void {
    restoreState(this.state, saved);
    this.#schedule();
  }

  #ticks(): number {
    return ticksAt(this.#time.nanoseconds(), PM_TIMER_HERTZ);
  }

  #timerValue(): number {
    return this.#ticks() % 2 ** this.#timerBits;
  }

  /** How often the timer's most significant bit has changed. */
  #toggles(): number {
    return Math.floor(this.#ticks() / 2 ** (this.#timerBits - 1));
  }

  /** TMR_STS is set whenever the timer's most significant bit changes. */
  #noticeTimer(): void {
    const toggles = this.#toggles();
    if (toggles === this.state.timerToggles) return;
    this.state.timerToggles = toggles;
    this.state.status |= PM1_EVENT.TIMER;
  }

  /** A sleep type that no \_Sx package names does nothing. */
  #writeControl(value: number): void {
    this.state.control = value & (PM1_CONTROL.SLEEP_TYPE | PM1_CONTROL.BUS_MASTER);
    const type = (value & PM1_CONTROL.SLEEP_TYPE) >> 10;
    if ((value & PM1_CONTROL.SLEEP_ENABLE) !== 0 && type === ACPI_PM_LAYOUT.SOFT_OFF_SLEEP_TYPE) this.#powerOff();
  }

  #update(): void {
    const { state } = this;
    this.#noticeTimer();
    state.status &= PM1_STATUS_BITS;
    this.#line.set((state.status & state.enable) !== 0 || (state.generalStatus & state.generalEnable) !== 0);
    this.#schedule();
  }

  /** A timer runs only while an interrupt can come of it; a reader notices the bit by himself. */
  #schedule(): void {
    const { state } = this;
    const waits = (state.enable & ~state.status & PM1_EVENT.TIMER) !== 0;
    if (!waits) return this.#timer.disarm();
    const tick = (state.timerToggles + 1) * 2 ** (this.#timerBits - 1);
    this.#timer.arm(nanosecondsOfTick(tick, PM_TIMER_HERTZ));
  }
}
