// SPDX-License-Identifier: Apache-2.0
import type { Host } from '../platform/node/host.ts';
import { findDescription } from '../system/descriptions.ts';
import type { Failures } from './failures.ts';
import { memoryOf } from './run-machine.ts';
import { parseRunArguments } from './run-options.ts';
import { checkTerminal } from './views.ts';

/** `turtles run`. Returns the exit status; throws UserError. The machine is loaded when there is something to run. */
export async function runCommand(words: readonly string[], host: Host, failures: Failures): Promise<number> {
  const args = parseRunArguments(words, host.write);
  if (args === undefined) return 0;
  const description = findDescription(args.description);
  if (!args.batch && args.until === undefined) checkTerminal(host);
  memoryOf(args, description);
  const endProfile = args.profile ? await host.startProfile() : undefined;
  const { bootRequest } = await import('./boot-request.ts');
  const { runGuest } = await import('./run.ts');
  const boot = await bootRequest(args, description, host);
  return runGuest({ args, description, boot, host, failures, endProfile });
}
