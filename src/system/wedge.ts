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
  readonly #session: Session;
  readonly #recorder: RunRecorder;
  readonly #nanoseconds: number;
  readonly #stays = new Map<string, Stay>();

  /** `seconds`: how long without progress is enough, in virtual time. */
  constructor(session: Session, recorder: RunRecorder, seconds: number) {
    this.#session = session;
    this.#recorder = recorder;
    this.#nanoseconds = seconds * BILLION;
  }

  /** What goes in circles, once it has lasted long enough. To be asked between slices. */
  look(): Wedge | undefined {
    for (const position of positionsOf(this.#session.pc)) {
      const wedge = this.#lookAt(position);
      if (wedge !== undefined) return wedge;
    }
    return undefined;
  }

  #lookAt({ processor, level, active, address, interruptsOpen }: Position): Wedge | undefined {
    const key = `${processor} ${level}`;
    const now = this.#session.nanoseconds;
    const page = Math.floor(address / PAGE);
    const stay = this.#stays.get(key);
    const [exits, said] = [this.#exitsOf(level), this.#said()];
    if (!active || interruptsOpen) {
      this.#stays.delete(key);
      return undefined;
    }
    if (stay === undefined || stay.page !== page || stay.exits !== exits || stay.said !== said) {
      this.#stays.set(key, { page, since: now, exits, said, looks: 1 });
      return undefined;
    }
    this.#stays.set(key, { ...stay, looks: stay.looks + 1 });
    const lasted = now - stay.since;
    if (lasted < this.#nanoseconds || stay.looks < LEAST_LOOKS) return undefined;
    return { level, processor, address, seconds: lasted / BILLION };
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
