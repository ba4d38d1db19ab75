// SPDX-License-Identifier: Apache-2.0
import { Command, CommanderError } from 'commander';
import { UserError } from '../../base/errors.ts';
import { parseCount } from '../../system/quantities.ts';

/** What `turtles replay` was asked for. */
export interface ReplayArguments {
  readonly file: string;
  /** Instructions since power-on at which to stop; undefined: the whole journal. */
  readonly to?: number;
  readonly trace?: string;
}

const MOST = Number.MAX_SAFE_INTEGER;

/** Undefined when help was asked for and has been written. Throws UserError. */
export function parseReplayArguments(
  args: readonly string[],
  write: (text: string) => void,
): ReplayArguments | undefined {
  const parser = new Command('turtles replay')
    .exitOverride()
    .configureOutput({ writeOut: write, writeErr: () => {} })
    .description(
      'Runs what a file has recorded once more, to the instruction: a turtles-bug.json, or what --record wrote.',
    )
    .argument('<file>', 'the file')
    .option('--to <instruction>', 'stop there, and show the registers', (text) => parseCount(text, '--to', 0, MOST))
    .option('--trace <file>', "write events there, KVM's tracepoints as ftrace text")
    .showSuggestionAfterError(false);
  try {
    parser.parse(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === 'commander.helpDisplayed') return undefined;
    throw new UserError(
      error.message.replace(/^error: /, ''),
      'write turtles replay FILE; turtles replay --help says more',
    );
  }
  return { file: parser.processedArgs[0] as string, ...parser.opts<Omit<ReplayArguments, 'file'>>() };
}
