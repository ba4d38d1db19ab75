// SPDX-License-Identifier: Apache-2.0

/** Exit statuses of `turtles run`. `turtles qemu` has QEMU's, 64 and more of these, 66 for a wedge and 68 for a failed entry. */
// prettier-ignore
export const STATUSES = [
  { name: 'ok',          status: 0,   says: 'the run came out as asked for' },
  { name: 'failed',      status: 1,   says: 'it did not, or something on the command line is wrong' },
  { name: 'shutdown',    status: 3,   says: 'a processor of L1 shut down: a triple fault, or a VMX abort' },
  { name: 'wedged',      status: 4,   says: 'a level went in circles with interrupts off (--wedge-timeout)' },
  { name: 'failedEntry', status: 5,   says: 'a VM entry failed (--on-entry-failure stop)' },
  { name: 'ourBug',      status: 70,  says: 'a bug of ours; turtles-bug.json repeats it' },
  { name: 'timeout',     status: 124, says: 'the time of --timeout was over' },
] as const;

export type StatusName = (typeof STATUSES)[number]['name'];

/** By name. */
export const STATUS = Object.fromEntries(STATUSES.map(({ name, status }) => [name, status])) as {
  readonly [Name in StatusName]: number;
};
