// SPDX-License-Identifier: Apache-2.0
import { OFFSET } from '../arch/vmx/fields.ts';
import type { TimeStampCounter } from '../hardware/processor.ts';
import type { Halves } from '../hardware/vmx.ts';
import type { Vcpu } from './vcpu.ts';

const { TSC_OFFSET } = OFFSET;
const TWO_32 = 0x1_0000_0000;

/**
 * L1's time-stamp counter: the processor's and an offset, modulo 2^64. RDTSC does not exit. Every write of the counter
 * changes IA32_TSC_ADJUST by as much, and the other way round. See: SDM 18.17.3 Time-Stamp Counter Adjustment.
 */
export class GuestTimeStampCounter implements TimeStampCounter {
  readonly #vcpu: Vcpu;
  readonly #frequencyHz: number;

  constructor(vcpu: Vcpu, frequencyHz: number) {
    this.#vcpu = vcpu;
    this.#frequencyHz = frequencyHz;
  }

  /** What L1's RDTSC would give now. */
  read(out: Halves): void {
    const { processor, state } = this.#vcpu;
    processor.readTsc(out);
    add(out, state.tscOffsetLow, state.tscOffsetHigh);
  }

  /** WRMSR of IA32_TIME_STAMP_COUNTER: unsigned halves. */
  write(low: number, high: number): void {
    const by = { low: 0, high: 0 };
    this.read(by);
    this.#move(difference(low, high, by.low, by.high));
  }

  /** WRMSR of IA32_TSC_ADJUST. */
  writeAdjust(low: number, high: number): void {
    const { tscAdjustLow, tscAdjustHigh } = this.#vcpu.state;
    this.#move(difference(low, high, tscAdjustLow, tscAdjustHigh));
  }

  /** Puts L1's offset into the current VMCS, which is vmcs01. */
  apply(): void {
    const { processor, state } = this.#vcpu;
    processor.write(TSC_OFFSET, state.tscOffsetLow, state.tscOffsetHigh);
  }

  nanosecondsAt(low: number, high: number): number {
    const ticks: Halves = { low: 0, high: 0 };
    this.#vcpu.processor.readTsc(ticks);
    const now: Halves = { low: 0, high: 0 };
    this.read(now);
    const ahead = (high >>> 0) - now.high || (low >>> 0) - now.low;
    if (ahead <= 0) return 0;
    const by = difference(low, high, now.low, now.high);
    // Beyond this a Number is not exact, and the machine never gets there.
    if (by.high >= 0x100000) return Infinity;
    // A fraction where the frequency gives one: rounded up, it would be a tick late.
    return ((ticks.high * TWO_32 + ticks.low + by.high * TWO_32 + by.low) * 1e9) / this.#frequencyHz;
  }

  #move(by: Halves): void {
    const { state, machine, localApic } = this.#vcpu;
    const offset = { low: state.tscOffsetLow, high: state.tscOffsetHigh };
    const adjust = { low: state.tscAdjustLow, high: state.tscAdjustHigh };
    add(offset, by.low, by.high);
    add(adjust, by.low, by.high);
    Object.assign(state, {
      tscOffsetLow: offset.low,
      tscOffsetHigh: offset.high,
      tscAdjustLow: adjust.low,
      tscAdjustHigh: adjust.high,
    });
    if (state.level === 1) this.apply();
    else machine.nested?.tscOffsetChanged(this.#vcpu);
    localApic.tscChanged();
  }
}

function add(to: Halves, low: number, high: number): void {
  const sum = to.low + low;
  to.low = sum >>> 0;
  to.high = (to.high + high + (sum >= TWO_32 ? 1 : 0)) >>> 0;
}

function difference(low: number, high: number, fromLow: number, fromHigh: number): Halves {
  const result = (low >>> 0) - fromLow;
  return { low: result >>> 0, high: ((high >>> 0) - fromHigh - (result < 0 ? 1 : 0)) >>> 0 };
}
