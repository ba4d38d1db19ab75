// SPDX-License-Identifier: Apache-2.0
// A level that goes in circles: whenever it was looked at it was in the same page of code with interrupts off, it had no
// exits but those that interrupts of the level below make, and no console said anything. Nothing but a reset, or an NMI, gets it out.

import { EXIT_REASON } from '../arch/vmx/exit-reasons.ts';
import { hex } from '../base/hex.ts';
import type { RunRecorder } from '../trace/recorder.ts';
import { positionsOf } from './positions.ts';
import type { Position } from './positions.ts';
import type { Session } from './session.ts';

/** What is said of a wedge. */
export interface Wedge {
  readonly level: number;
  readonly processor: number;
  /** Linear address of the next instruction, a signed Number. */
  readonly address: number;
  /** Virtual seconds that it has lasted. */
  readonly seconds: number;
}

const PAGE = 4096;
const BILLION = 1e9;
/** Looks at a level that must agree: few would be chance. */
const LEAST_LOOKS = 20;
/** Exits that come from below and say nothing of the guest. */
const FROM_BELOW: readonly number[] = [EXIT_REASON.EXTERNAL_INTERRUPT, EXIT_REASON.PREEMPTION_TIMER];

/** Since when one processor is where it is, in one level. */
interface Stay {
  readonly page: number;
  readonly since: number;
  readonly exits: number;
  readonly said: number;
  readonly looks: number;
}

/** Looks at the machine after each slice. One object for one run. */
export class WedgeWatch {
  /** What goes in circles, once it has lasted long enough. */
  wedge: Wedge | undefined;
  readonly #session: Session;
  readonly #recorder: RunRecorder;
  readonly #nanoseconds: number;
  readonly #stays = new Map<string, Stay>();

  /** `seconds`: how long without progress is enough, in virtual time; 0: nobody looks. */
  constructor(session: Session, recorder: RunRecorder, seconds: number) {
    this.#session = session;
    this.#recorder = recorder;
    this.#nanoseconds = seconds * BILLION;
  }

  /** Whether something goes in circles. To be asked between slices. */
  look(): boolean {
    if (this.#nanoseconds !== 0) this.wedge = this.#longest();
    return this.wedge !== undefined;
  }

  #longest(): Wedge | undefined {
    const wedges = positionsOf(this.#session.pc)
      .filter(({ active }) => active)
      .map((position) => this.#lookAt(position));
    // A processor that waits for another, which works, is no wedge.
    return wedges.includes(undefined) ? undefined : wedges[0];
  }

  #lookAt({ processor, level, address, interruptsOpen }: Position): Wedge | undefined {
    const stay = this.#stayAt(processor, level, Math.floor(address / PAGE), interruptsOpen);
    const lasted = this.#session.nanoseconds - stay.since;
    if (lasted < this.#nanoseconds || stay.looks < LEAST_LOOKS) return undefined;
    return { level, processor, address, seconds: lasted / BILLION };
  }

  /** The stay that this look belongs to: the one before, if nothing has happened since. */
  #stayAt(processor: number, level: number, page: number, interruptsOpen: boolean): Stay {
    const key = `${processor} ${level}`;
    const seen = { page, exits: this.#exitsOf(level), said: this.#said() };
    const before = this.#stays.get(key);
    const same =
      before !== undefined &&
      !interruptsOpen &&
      before.page === seen.page &&
      before.exits === seen.exits &&
      before.said === seen.said;
    const stay = same
      ? { ...before, looks: before.looks + 1 }
      : { ...seen, since: this.#session.nanoseconds, looks: 1 };
    this.#stays.set(key, stay);
    return stay;
  }

  #exitsOf(level: number): number {
    const exits = this.#recorder.exitsOf(level);
    return FROM_BELOW.reduce((count, reason) => count - exits.samplesOf(reason), exits.count);
  }

  #said(): number {
    return this.#session.description.consoles.reduce((sum, console) => sum + console.sent, 0);
  }
}

export function wedgeText({ level, processor, address, seconds }: Wedge): string {
  return (
    `L${level} makes no progress: for ${seconds.toFixed(0)} virtual seconds processor ${processor} has been in the page around ${hex(address)} ` +
    'with interrupts off, without an exit of its own and without a word on a console'
  );
}
