// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../base/errors.ts';
import type { Host } from '../platform/node/host.ts';
import { Failures } from './failures.ts';
import { qemuCommand } from './qemu/command.ts';
import { replayCommand } from './replay/command.ts';
import { runCommand } from './run-command.ts';
import { VERSION } from './version.ts';

interface Command {
  readonly name: string;
  /** What messages begin with. */
  readonly program: string;
  readonly says: string;
  /** Returns the exit status. */
  readonly run: (args: readonly string[], host: Host, failures: Failures) => Promise<number>;
}

// prettier-ignore
const COMMANDS: readonly Command[] = [
  { name: 'run',  program: 'turtles',      says: 'boot guests by description, or your own kernel',      run: runCommand },
  { name: 'replay', program: 'turtles',    says: 'run once more what a file has recorded, to the instruction', run: replayCommand },
  { name: 'qemu', program: 'turtles-qemu', says: "the same machine behind QEMU's options, for suites written for QEMU", run: qemuCommand },
];

const HELP = `Turtles: a software x86-64 PC with VT-x, and nested virtualization on it

  turtles COMMAND [OPTION...]

${COMMANDS.map(({ name, says }) => `  ${name.padEnd(8)}${says}`).join('\n')}

  turtles COMMAND --help    the options of a command
  turtles --version
`;

/** Runs the command line; returns the exit status. Every failure comes out as one message and a status, never a trace. */
export async function main(args: readonly string[], host: Host): Promise<number> {
  const [name, ...rest] = args;
  const command = COMMANDS.find((candidate) => candidate.name === name);
  const failures = new Failures(host, command?.program ?? 'turtles', args);
  try {
    if (command !== undefined) return await command.run(rest, host, failures);
    return withoutCommand(name, host);
  } catch (error) {
    return failures.report(error);
  }
}

function withoutCommand(word: string | undefined, host: Host): number {
  if (word === '--version' || word === '-V') host.write(`turtles ${VERSION}\n`);
  else if (word === '--help' || word === '-h' || word === 'help') host.write(HELP);
  else {
    const what = word === undefined ? 'no command was given' : `there is no command ${word}`;
    throw new UserError(
      what,
      `choose one of: ${COMMANDS.map(({ name }) => name).join(', ')}; turtles --help says more`,
    );
  }
  return 0;
}
