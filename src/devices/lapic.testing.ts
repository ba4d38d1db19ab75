// SPDX-License-Identifier: Apache-2.0
import { ManualTime } from './manual-time.ts';
import type { LocalApicDescription } from './lapic-description.ts';
import { ApicBus } from './lapic-bus.ts';
import { MSR_APIC_BASE, LocalApic } from './lapic.ts';

/** Some local APICs on one bus, and what their processors were told. For tests. */
export class ApicBench {
  readonly time = new ManualTime();
  readonly bus = new ApicBus();
  readonly apics: LocalApic[] = [];
  /** `nmi 0`, `init 1`, `startup 1 9a`: event, position, vector. */
  readonly signals: string[] = [];
  /** Virtual nanoseconds at which processor 0 was told that its interrupts changed. */
  readonly changes: number[] = [];
  /** The TSC counts this many per nanosecond. */
  tscPerNanosecond = 2;
  tscOffset = 0;
  externalVector = 0x20;
  externalAcknowledges = 0;

  constructor(count = 1, options: Partial<LocalApicDescription> = {}, ids: readonly number[] = []) {
    for (let position = 0; position < count; position++) this.#add(position, options, ids[position] ?? position);
  }

  /** Enables all of them in software. */
  enable(): this {
    for (const apic of this.apics) apic.writeMemory(0xf0, 4, 0x1ff);
    return this;
  }

  x2apic(): this {
    for (const apic of this.apics) apic.writeMsr(MSR_APIC_BASE, apic.state.baseLow | 0xc00, 0);
    return this;
  }

  /** Which of the APICs have this vector requested. */
  requested(vector: number): number[] {
    const bit = (apic: LocalApic): number => apic.state.registers[0x20 + (vector >> 5)] & (1 << (vector & 31));
    return this.apics.flatMap((apic, position) => (bit(apic) !== 0 ? [position] : []));
  }

  #add(position: number, options: Partial<LocalApicDescription>, id: number): void {
    const note = (text: string): void => void this.signals.push(text);
    const signals = {
      interruptsChanged: () => {
        if (position === 0) this.changes.push(this.time.nanoseconds());
      },
      nmi: () => note(`nmi ${position}`),
      init: () => note(`init ${position}`),
      startup: (vector: number) => note(`startup ${position} ${vector.toString(16)}`),
    };
    const tsc = {
      nanosecondsAt: (low: number, high: number) =>
        Math.ceil((high * 2 ** 32 + low - this.tscOffset) / this.tscPerNanosecond),
    };
    const acknowledge = (): number => {
      this.externalAcknowledges++;
      return this.externalVector;
    };
    const externalInterrupts = { acknowledge };
    const description = { id, bootstrap: position === 0, x2apic: true, tscDeadline: true, physicalAddressBits: 46 };
    const services = { signals, time: this.time, tsc, bus: this.bus, externalInterrupts };
    this.apics.push(new LocalApic({ ...description, ...options }, services));
  }
}
