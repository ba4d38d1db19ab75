// SPDX-License-Identifier: Apache-2.0
import { DeviceBus } from '../devices/bus.ts';
import { ApicBus } from '../devices/lapic-bus.ts';
import type { BusMasterPort, PhysicalAddress } from '../hardware/memory.ts';
import { ProcessorUnit } from './processor-unit.ts';
import type { ProcessorUnitDescription } from './processor-unit.ts';
import { ATTENTION } from './cpu/state.ts';
import { Memory } from './memory/memory.ts';
import { Schedule } from './schedule.ts';

export interface MachineDescription extends ProcessorUnitDescription {
  readonly processors: number;
  /** Bytes, whole pages. */
  readonly ramBytes: number;
  /** Guest-physical start of the PCI hole below 4 GiB. */
  readonly hole: PhysicalAddress;
  /** Room for translated code, a multiple of 64 KiB: small for many machines with little code. */
  readonly recordPoolBytes?: number | undefined;
}

/** Why `run` returned. */
export type RunOutcome =
  | { readonly kind: 'limit' }
  /** Every processor waits and no deadline is set: only the outside can wake them. */
  | { readonly kind: 'idle' }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'shutdown'; readonly processor: number };

/**
 * With several processors, how long each runs before the next has its turn, in ticks. Turns end at multiples of it, and
 * `run` then overshoots its limit to the end of one: how a run is sliced must not change how processors interleave.
 */
const TURN = 1000;

/**
 * The PC without its devices: memory, processors, buses and virtual time. `run` is synchronous, and the size of its
 * slices cannot be seen by the guest: processors stop at exact ticks, and timers fire at theirs.
 */
export class Machine {
  readonly description: MachineDescription;
  readonly memory: Memory;
  readonly bus = new DeviceBus();
  readonly apicBus = new ApicBus();
  readonly schedule: Schedule;
  readonly processors: ProcessorUnit[];
  /** Ticks every processor has reached. */
  private time = 0;
  private running: ProcessorUnit | undefined;
  private stopRequested = false;

  /** `externalInterrupts` gives the vector of an ExtINT: the 8259A pair. */
  constructor(description: MachineDescription, externalInterrupts: { acknowledge(): number }) {
    this.description = description;
    this.memory = new Memory(
      description.processors,
      description.ramBytes,
      description.hole,
      description.recordPoolBytes,
    );
    this.schedule = new Schedule(description.frequencyHz);
    this.schedule.now = () => this.ticks;
    this.schedule.reschedule = () => this.running?.attend(ATTENTION.reschedule);
    const shared = {
      memory: this.memory,
      bus: this.bus,
      apicBus: this.apicBus,
      schedule: this.schedule,
      externalInterrupts,
    };
    this.processors = [];
    for (let i = 0; i < description.processors; i++)
      this.processors.push(new ProcessorUnit(i, description, shared, this.processors));
  }

  /** Virtual time now: that of the processor which is running, else what all have reached. */
  get ticks(): number {
    return this.running === undefined ? this.time : this.running.exactTicks;
  }
  /** Instructions retired by all processors. */
  get instructions(): number {
    return this.processors.reduce((sum, unit) => sum + unit.cpu.instructions, 0);
  }

  /** The bus-master port of a device; accesses reach RAM only. */
  busMaster = (requesterId: number): BusMasterPort => ({
    requesterId,
    read: (address, bytes) => this.memory.read(address, bytes),
    write: (address, bytes) => this.memory.write(address, bytes),
  });

  /** Makes `run` return as soon as the current instruction is done. */
  stop(): void {
    this.stopRequested = true;
    this.running?.attend(ATTENTION.stop);
  }

  /** Runs until `limit` ticks have passed since power-on, or until something ends it before. */
  run(limit: number): RunOutcome {
    this.stopRequested = false;
    while (this.time < limit) {
      this.schedule.fireDue(this.time);
      if (this.stopRequested) return { kind: 'stopped' };
      const end = this.endOfTurn(limit);
      if (end === Infinity) return { kind: 'idle' };
      this.runTurn(end);
      const down = this.processors.findIndex((unit) => unit.isDown);
      if (down >= 0) return { kind: 'shutdown', processor: down };
      if (this.stopRequested) return { kind: 'stopped' };
    }
    return { kind: 'limit' };
  }

  /** Moves all processors to `end`, or to where one of them asked for the schedule to be worked out again. */
  private runTurn(end: number): void {
    let reached = end;
    for (const unit of this.processors) {
      this.running = unit;
      reached = Math.min(reached, unit.runTo(reached));
    }
    this.running = undefined;
    // When nothing will wake it, time stands still where it halted, not where this slice happened to end.
    const [only] = this.processors;
    if (this.processors.length === 1 && !only.canRun && this.endOfTurn(Infinity) === Infinity)
      reached = Math.min(reached, only.cpu.ticks);
    for (const unit of this.processors) unit.idleTo(reached);
    this.time = reached;
  }

  private endOfTurn(limit: number): number {
    let deadline = this.schedule.nextDeadline();
    for (const unit of this.processors) if (!unit.canRun) deadline = Math.min(deadline, unit.deadline);
    if (this.processors.every((unit) => !unit.canRun))
      return deadline === Infinity ? Infinity : Math.min(limit, Math.max(deadline, this.time));
    if (this.processors.length === 1) return Math.min(limit, deadline);
    return Math.min(deadline, (Math.floor(this.time / TURN) + 1) * TURN);
  }
}
