// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../../base/errors.ts';
import type { Host } from '../../platform/node/host.ts';
import type { Failures } from '../failures.ts';
import { parseQemuArguments } from './parse.ts';

/** `turtles qemu`: returns QEMU's exit status; throws UserError. The machine is loaded when there is something to run. */
export async function qemuCommand(args: readonly string[], host: Host, failures: Failures): Promise<number> {
  const settings = parseQemuArguments(args);
  if (settings.print !== undefined) {
    host.write(settings.print);
    return 0;
  }
  if (settings.kernel === undefined) throw new UserError('there is nothing to boot', 'give a kernel with -kernel FILE');
  const { runQemu } = await import('./run.ts');
  return runQemu(settings, settings.kernel, host, failures);
}
