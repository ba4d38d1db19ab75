// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../base/errors.ts';
import type { Host } from '../platform/node/host.ts';
import type { GuestDescription } from '../system/descriptions.ts';
import { CPU_PROFILES } from '../system/hypervisor.ts';
import { parseMemory } from '../system/quantities.ts';
import type { RunOptions } from '../system/report.ts';
import type { SessionDescription } from '../system/session.ts';
import type { RunArguments } from './run-options.ts';
import { START_TIME } from './start-time.ts';

/** Bytes of the machine. Throws UserError: known to be too few for this description's images. */
export function memoryOf(args: RunArguments, { name, memory, leastMemory }: GuestDescription): number {
  const bytes = args.memory ?? parseMemory(memory, '--memory');
  if (args.kernel !== undefined || leastMemory === undefined) return bytes;
  if (bytes >= parseMemory(leastMemory, '--memory')) return bytes;
  throw new UserError(
    `too little memory: ${name} needs at least ${leastMemory}, or a guest in it runs out of memory`,
    `give it more with --memory ${leastMemory} or above`,
  );
}

/** The PC that the options describe. */
export function machineOf(args: RunArguments, description: GuestDescription, host: Host): SessionDescription['pc'] {
  return {
    ramBytes: memoryOf(args, description),
    processors: 1,
    startTime: START_TIME,
    disks: [],
    frequencyHz: args.frequency,
    seed: args.seed,
    vmxProfile: CPU_PROFILES[args.cpu],
    jit: args.jit,
    hostClock: host.now,
  };
}

/** What was run, for the report and for a replay. */
export function optionsOf(
  args: RunArguments,
  description: GuestDescription,
  boot: SessionDescription['boot'],
  host: Host,
): RunOptions {
  const initrd = boot.modules[0];
  const machine = machineOf(args, description, host);
  return {
    description: description.name,
    bare: args.bare,
    paging: args.paging,
    cpu: args.cpu,
    memoryBytes: machine.ramBytes,
    frequencyHz: machine.frequencyHz,
    seed: machine.seed,
    startTime: machine.startTime,
    batch: args.batch,
    kernel: host.sha256(boot.kernel),
    initrd: initrd && host.sha256(initrd.bytes),
    commandLine: boot.commandLine,
  };
}
