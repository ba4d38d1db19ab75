// SPDX-License-Identifier: Apache-2.0
// What a recorded command line comes to now, and whether that is what was recorded.

import { UserError } from '../../base/errors.ts';
import type { Host } from '../../platform/node/host.ts';
import { ConsoleChannel } from '../../system/console-channel.ts';
import { findDescription } from '../../system/descriptions.ts';
import type { ReplayFile } from '../../system/replay-file.ts';
import type { SessionDescription } from '../../system/session.ts';
import { bootRequest } from '../boot-request.ts';
import { qemuBootRequest, qemuMachine, qemuOptions } from '../qemu/machine.ts';
import { parseQemuArguments } from '../qemu/parse.ts';
import { serialSettings } from '../qemu/serial.ts';
import { machineOf, optionsOf } from '../run-machine.ts';
import { parseRunArguments } from '../run-options.ts';

/** A session to be, and what it depends on. */
export interface Recorded {
  readonly session: Omit<SessionDescription, 'recorder'>;
  /** Names of the consoles, COM1 first. */
  readonly names: readonly string[];
  readonly options: object;
}

/** Throws UserError: the command line is no run, or a file of it is gone. */
export async function recorded(file: ReplayFile, path: string, host: Host): Promise<Recorded> {
  const [command, ...words] = file.arguments;
  const found =
    command === 'run' ? await ofRun(words, host) : command === 'qemu' ? ofQemu(words, file, host) : undefined;
  if (found !== undefined) return checked(found, file, path);
  throw new UserError(
    `${path} records no run, but: turtles ${file.arguments.join(' ')}`,
    'run that command again instead',
  );
}

async function ofRun(words: readonly string[], host: Host): Promise<Recorded | undefined> {
  const args = parseRunArguments(words, () => {});
  if (args === undefined) return undefined;
  const description = findDescription(args.description);
  const boot = await bootRequest(args, description, host);
  const consoles = description.levels.map(() => new ConsoleChannel(false));
  return {
    session: { pc: machineOf(args, description, host), consoles, boot, hypervisor: args },
    names: description.levels.map(({ name }) => name),
    options: optionsOf(args, description, boot, host),
  };
}

function ofQemu(words: readonly string[], { options }: ReplayFile, host: Host): Recorded | undefined {
  const settings = parseQemuArguments(words);
  if (settings.kernel === undefined) return undefined;
  const start = options?.startTime;
  if (typeof start === 'number') settings.startTime = start;
  const boot = qemuBootRequest(settings, settings.kernel, host);
  const names = serialSettings(settings).map((_, index) => `COM${index + 1}`);
  const hypervisor = { bare: !settings.l0, paging: settings.paging };
  const pc = qemuMachine(settings, host);
  return {
    session: { pc, consoles: names.map(() => new ConsoleChannel(false)), boot, hypervisor },
    names,
    options: qemuOptions(settings, pc, boot, host),
  };
}

/** The same bytes on the same machine, or a message that names the first thing that differs. */
function checked(found: Recorded, { options }: ReplayFile, path: string): Recorded {
  if (options === undefined) return found;
  const now = JSON.parse(JSON.stringify(found.options)) as Record<string, unknown>;
  const different = Object.keys({ ...options, ...now }).find(
    (name) => JSON.stringify(options[name]) !== JSON.stringify(now[name]),
  );
  if (different === undefined) return found;
  throw new UserError(
    `${path} was recorded with another ${different}: ${JSON.stringify(options[different])}, and now it is ${JSON.stringify(now[different])}`,
    'replay it in the folder, with the files and the version of Turtles that it was recorded with',
  );
}
