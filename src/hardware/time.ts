// SPDX-License-Identifier: Apache-2.0

/**
 * Virtual time. It is the guest instruction counter at a stated frequency: `nanoseconds` grows only as instructions
 * retire or as idle time is skipped. Numbers are exact (below 2^53).
 */
export interface Clock {
  /** Virtual nanoseconds since power-on. */
  nanoseconds(): number;
}

/**
 * A timer is a row with a deadline in virtual time, never a host timer or a closure kept elsewhere:
 * its owner re-registers the handler by name when state is restored.
 */
export interface Timer {
  /** Absolute virtual nanoseconds; Infinity when disarmed. Arming replaces the old deadline. */
  deadline: number;
  arm(deadline: number): void;
  disarm(): void;
}

export interface TimerService extends Clock {
  /** `name` is unique in a machine and stable between runs; `expired` is called at the deadline, timer disarmed. */
  timer(name: string, expired: () => void): Timer;
}
