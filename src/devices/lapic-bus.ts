// SPDX-License-Identifier: Apache-2.0
import { copyState, restoreState } from './bus-state.ts';

/** See: SDM 11.5.1 Local Vector Table, 11.6.1 Interrupt Command Register (ICR). */
// prettier-ignore
export const DELIVERY_MODE = {
  FIXED:           0,
  LOWEST_PRIORITY: 1,
  SMI:             2,
  NMI:             4,
  INIT:            5,
  STARTUP:         6,
  EXTINT:          7,
} as const;

/** What travels between APICs: an IPI, a message of the I/O APIC, an MSI. */
export interface ApicMessage {
  readonly vector: number;
  /** A DELIVERY_MODE. */
  readonly deliveryMode: number;
  readonly logical: boolean;
  readonly destination: number;
  /** Everybody, whatever the destination says. */
  readonly broadcast: boolean;
  readonly levelTriggered: boolean;
}

/** A message that names its destination in 8 bits, where 0FFh means everybody. */
export function message8(
  destination: number,
  logical: boolean,
  deliveryMode: number,
  vector: number,
  levelTriggered: boolean,
): ApicMessage {
  return { vector, deliveryMode, logical, destination, broadcast: destination === 0xff, levelTriggered };
}

/** A local APIC as the bus sees it. */
export interface ApicReceiver {
  matches(message: ApicMessage): boolean;
  /** Whether it takes part in lowest-priority arbitration, and with which processor priority (0..255). */
  readonly acceptsInterrupts: boolean;
  readonly processorPriority: number;
  /** False when the message is refused. */
  receive(message: ApicMessage): boolean;
  setLocalInput(input: 0 | 1, asserted: boolean): void;
}

/** An I/O APIC as the bus sees it. */
export interface EndOfInterruptListener {
  endOfInterrupt(vector: number): void;
  /** Some local APIC may now take a message that it refused before. */
  destinationsChanged(): void;
}

export type ApicBusState = {
  /** The position after the receiver that won the last arbitration. */
  next: number;
};

/** Connects the local and I/O APICs of one machine. */
export class ApicBus {
  readonly state: ApicBusState = { next: 0 };
  readonly #receivers: ApicReceiver[] = [];
  readonly #listeners: EndOfInterruptListener[] = [];

  attach(receiver: ApicReceiver): void {
    this.#receivers.push(receiver);
  }

  listen(listener: EndOfInterruptListener): void {
    this.#listeners.push(listener);
  }

  /** Delivers to every matching local APIC, or to one of them by arbitration; false when nobody took it. */
  deliver(message: ApicMessage, except?: ApicReceiver): boolean {
    const matching = this.#receivers.filter((receiver) => receiver !== except && receiver.matches(message));
    if (message.deliveryMode === DELIVERY_MODE.LOWEST_PRIORITY) return this.#arbitrate(message, matching);
    let accepted = false;
    for (const receiver of matching) accepted = receiver.receive(message) || accepted;
    return accepted;
  }

  endOfInterrupt(vector: number): void {
    for (const listener of this.#listeners) listener.endOfInterrupt(vector);
  }

  destinationsChanged(): void {
    for (const listener of this.#listeners) listener.destinationsChanged();
  }

  /** Drives LINT0 or LINT1 of every processor: INTR of the 8259A pair, and NMI. */
  setLocalInputs(input: 0 | 1, asserted: boolean): void {
    for (const receiver of this.#receivers) receiver.setLocalInput(input, asserted);
  }

  save(): ApicBusState {
    return copyState(this.state);
  }

  restore(saved: ApicBusState): void {
    restoreState(this.state, saved);
  }

  /**
   * The lowest processor priority wins; among equals turns are taken, in the order of attachment.
   * See: SDM 11.6.2.4 Lowest Priority Delivery Mode.
   */
  #arbitrate(message: ApicMessage, matching: readonly ApicReceiver[]): boolean {
    const count = this.#receivers.length;
    let winner = -1;
    for (let step = 0; step < count; step++) {
      const position = (this.state.next + step) % count;
      const receiver = this.#receivers[position];
      if (!receiver.acceptsInterrupts || !matching.includes(receiver)) continue;
      if (winner < 0 || receiver.processorPriority < this.#receivers[winner].processorPriority) winner = position;
    }
    if (winner < 0) return false;
    this.state.next = (winner + 1) % count;
    return this.#receivers[winner].receive(message);
  }
}
