// SPDX-License-Identifier: Apache-2.0
import { InternalError } from '../../base/assert.ts';
import { UserError } from '../../base/errors.ts';
import type { Host } from '../../platform/node/host.ts';
import { TRACE_HEADER, traceLine } from '../../system/exit-report.ts';
import { grouped } from '../../system/quantities.ts';
import { makeRecorder } from '../../system/recording.ts';
import { registersText } from '../../system/registers-text.ts';
import { readReplay } from '../../system/replay-file.ts';
import type { ReplayFile } from '../../system/replay-file.ts';
import { replay } from '../../system/replayer.ts';
import { Session } from '../../system/session.ts';
import { checkMemory } from '../check-memory.ts';
import { STATUS } from '../statuses.ts';
import { parseReplayArguments } from './options.ts';
import type { ReplayArguments } from './options.ts';
import { recorded } from './recorded.ts';

/** Milliseconds between two lines of progress. */
const PROGRESS = 2000;

/** `turtles replay`. Returns the exit status; throws UserError, and the recorded bug when it comes as another one. */
export async function replayCommand(words: readonly string[], host: Host): Promise<number> {
  const args = parseReplayArguments(words, host.write);
  if (args === undefined) return STATUS.ok;
  const file = readReplay(host.readFile(args.file, 'turtles replay'), args.file);
  checkInstruction(file, args);
  const session = await sessionOf(file, args, host);
  return run(session, file, args, host);
}

function checkInstruction({ instructions, error }: ReplayFile, { file, to }: ReplayArguments): void {
  if (to === undefined || error !== undefined || instructions === undefined || to <= instructions) return;
  throw new UserError(
    `--to ${to}: ${file} ends at instruction ${instructions}`,
    'give a smaller number, or leave --to out',
  );
}

async function sessionOf(file: ReplayFile, args: ReplayArguments, host: Host): Promise<Session> {
  const { session: description, names } = await recorded(file, args.file, host);
  checkMemory(description.pc.ramBytes, '--memory or -m when it is recorded', host);
  const trace = args.trace === undefined ? undefined : host.createFile(args.trace, '--trace');
  trace?.write(TRACE_HEADER);
  host.atExit(() => trace?.close());
  for (const [index, console] of description.consoles.entries()) {
    console.listener = (line, complete) => {
      if (complete) host.write(Uint8Array.from(`${names[index]}: ${line}\n`, (letter) => letter.charCodeAt(0)));
    };
  }
  const recorder = makeRecorder(trace && ((event) => trace.write(traceLine(event))));
  return new Session({ ...description, recorder });
}

async function run(session: Session, file: ReplayFile, args: ReplayArguments, host: Host): Promise<number> {
  const { journal, error, instructions } = file;
  if (journal === undefined)
    throw new UserError(
      `${args.file}: no machine ran when it was written`,
      `run the command again: turtles ${file.arguments.join(' ')}`,
    );
  // A run that a listener stopped ended in the middle of a slice.
  const to = args.to ?? (error === undefined ? instructions : undefined);
  try {
    const end = await replay(session, journal, { to, after: progress(host, to ?? instructions ?? 0) });
    host.write(`\n${registersText(session.pc)}\n`);
    return endStatus(end === 'reached' || to === undefined, file, args, session, host);
  } catch (thrown) {
    if (!(thrown instanceof Error) || thrown instanceof UserError || error === undefined) throw thrown;
    if (thrown.message !== error)
      throw new InternalError(`${args.file} recorded another bug (${error}); now it is: ${thrown.message}`);
    host.writeError(
      `turtles: the recorded bug, again after ${grouped(session.instructions)} instructions: ${error}\n${thrown.stack ?? ''}\n`,
    );
    return STATUS.ourBug;
  }
}

function endStatus(
  arrived: boolean,
  { error }: ReplayFile,
  { file, to }: ReplayArguments,
  session: Session,
  host: Host,
): number {
  const at = `instruction ${grouped(session.instructions)}`;
  if (error !== undefined && to === undefined) {
    host.writeError(
      `turtles: the bug that ${file} recorded did not come again; its journal ends at ${at}\n  the version of Turtles is another one, or it was mended\n`,
    );
    return STATUS.failed;
  }
  host.writeError(`turtles: ${arrived ? 'replayed to' : 'the journal ends before that, at'} ${at}\n`);
  return arrived ? STATUS.ok : STATUS.failed;
}

/** Lets signals be handled after each slice, and says now and then how far it is. */
function progress(host: Host, whole: number): (instructions: number) => Promise<void> {
  let last = host.now();
  return async (instructions) => {
    await host.pause(0);
    if (host.now() - last < PROGRESS) return;
    last = host.now();
    const share = whole === 0 ? '' : `${Math.floor((instructions / whole) * 100)} %, `;
    host.writeError(`turtles: replaying, ${share}instruction ${grouped(instructions)}\n`);
  };
}
