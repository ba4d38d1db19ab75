// SPDX-License-Identifier: Apache-2.0
import { Command, CommanderError } from 'commander';
import { UserError } from '../base/errors.ts';
import { ON_ENTRY_FAILURE } from '../system/entry-failures.ts';
import type { OnEntryFailure } from '../system/entry-failures.ts';
import { JIT_MODES } from '../system/compilation.ts';
import { DEFAULT_DESCRIPTION, DESCRIPTIONS } from '../system/descriptions.ts';
import { CPU_PROFILES, PAGING_MODES } from '../system/hypervisor.ts';
import type { CpuProfile, PagingMode } from '../system/hypervisor.ts';
import { STATUSES } from './statuses.ts';
import { parseCount, parseFrequency, parseMemory } from '../system/quantities.ts';

/** What `turtles run` was asked for. */
export interface RunArguments {
  readonly description: string;
  readonly bare: boolean;
  readonly paging: PagingMode;
  readonly cpu: CpuProfile;
  /** Bytes; undefined: what the description says. */
  readonly memory?: number;
  readonly batch: boolean;
  readonly json?: string;
  readonly until?: string;
  /** Seconds of wall clock. */
  readonly timeout?: number;
  /** Virtual seconds without progress after which the run is given up, 0: never; undefined: 30 without a terminal. */
  readonly wedgeTimeout?: number;
  readonly onEntryFailure: OnEntryFailure;
  /** A list of L1's symbols. */
  readonly symbols?: string;
  readonly trace?: string;
  readonly record?: string;
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append?: string;
  readonly kernelPackage?: string;
  readonly qemuPackage?: string;
  readonly seed: number;
  readonly frequency: number;
  /** What of the guests' code is compiled. */
  readonly jit: (typeof JIT_MODES)[number];
  /** Say what processor time went into. */
  readonly profile: boolean;
  /** Ticks; undefined: as the wall clock suggests. */
  readonly slice?: number;
}

interface OptionRow {
  readonly flags: string;
  readonly says: string;
  readonly initial?: string | number;
  readonly parse?: (text: string) => unknown;
}

const MOST = 2 ** 32 - 1;

const oneOf =
  <T extends string>(option: string, values: readonly T[]) =>
  (text: string): T => {
    const found = values.find((value) => value === text);
    if (found !== undefined) return found;
    throw new UserError(`${option} ${text}: there is no such choice`, `choose one of: ${values.join(', ')}`);
  };

function seconds(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value > 0 && value < MOST / 1000) return value;
  throw new UserError(`--timeout ${text}: that is no number of seconds`, 'write it as --timeout 600');
}

function virtualSeconds(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= 0 && value < MOST / 1000) return value;
  throw new UserError(
    `--wedge-timeout ${text}: that is no number of virtual seconds`,
    'write it as --wedge-timeout 30, or 0 for never',
  );
}

function someText(text: string): string {
  if (text !== '') return text;
  throw new UserError('--until: an empty text is everywhere', 'give the text to wait for');
}

// prettier-ignore
export const RUN_OPTIONS: readonly OptionRow[] = [
  { flags: '--bare',                   says: 'no L0: L1 owns the machine itself' },
  { flags: '--paging <mode>',          says: `how L0 keeps L2's page tables: ${PAGING_MODES.join(', ')}`, initial: 'multi-dimensional', parse: oneOf('--paging', PAGING_MODES) },
  { flags: '--cpu <profile>',          says: 'what the processor shows of VT-x: paper (2010), modern', initial: 'modern', parse: oneOf('--cpu', Object.keys(CPU_PROFILES) as CpuProfile[]) },
  { flags: '--memory <size>',          says: 'of the machine: 512M, 2G',             parse: (text) => parseMemory(text, '--memory') },
  { flags: '--batch',                  says: 'no terminal: the guests check themselves, power off, and tables follow' },
  { flags: '--json <file>',            says: 'write the figures of the run there (docs/json.md)' },
  { flags: '--until <text>',           says: 'end the run when a console shows this',parse: someText },
  { flags: '--timeout <seconds>',      says: 'give up after so long, by the wall clock', parse: seconds },
  { flags: '--on-entry-failure <what>', says: 'when a VM entry fails, explain it and go on, or stop: report, stop', initial: 'report', parse: oneOf('--on-entry-failure', ON_ENTRY_FAILURE) },
  { flags: '--symbols <file>',         says: "names of L1's functions, for explanations: what nm prints, System.map or /proc/kallsyms; Linux 6.1 and ELF kernels bring their own" },
  { flags: '--wedge-timeout <seconds>', says: 'give up when a level goes in circles with interrupts off for so long, in virtual time; 0: never (without a terminal: 30)', parse: virtualSeconds },
  { flags: '--trace <file>',           says: "write events there, KVM's tracepoints as ftrace text" },
  { flags: '--record <file>',          says: 'write there what `turtles replay` needs to run this once more, to the instruction' },
  { flags: '--kernel <file>',          says: 'boot this kernel instead of the description\'s images' },
  { flags: '--initrd <file>',          says: 'its initial ramdisk' },
  { flags: '--append <words>',         says: 'its command line; with images: words added to theirs' },
  { flags: '--kernel-package <name>',  says: "Debian package of the guests' kernel: NAME or NAME=VERSION" },
  { flags: '--qemu-package <name>',    says: "Debian package of L1's QEMU: NAME or NAME=VERSION" },
  { flags: '--jit <mode>',             says: `what of the guests' code is compiled; no guest can tell: ${JIT_MODES.join(', ')} (the last two are for tests)`, initial: 'on', parse: oneOf('--jit', JIT_MODES) },
  { flags: '--profile',                says: 'say at the end what processor time went into' },
  { flags: '--seed <number>',          says: 'of everything random',                 initial: 1, parse: (text) => parseCount(text, '--seed', 0, MOST) },
  { flags: '--frequency <hertz>',      says: 'instructions in a virtual second: 1G', initial: 1e9, parse: (text) => parseFrequency(text, '--frequency') },
  { flags: '--slice <ticks>',          says: 'run this many at a time; no guest can tell', parse: (text) => parseCount(text, '--slice', 1, MOST) },
];

function command(write: (text: string) => void): Command {
  const result = new Command('turtles run')
    .exitOverride()
    .configureOutput({ writeOut: write, writeErr: () => {} })
    .description(DESCRIPTIONS.map(({ name, says }) => `  ${name.padEnd(8)}${says}`).join('\n'))
    .argument('[description]', 'what to run, see above', DEFAULT_DESCRIPTION)
    .addHelpText(
      'after',
      `\nExit statuses:\n${STATUSES.map(({ status, says }) => `  ${String(status).padEnd(4)}${says}`).join('\n')}`,
    )
    .showSuggestionAfterError(false);
  for (const { flags, says, initial, parse } of RUN_OPTIONS) {
    if (parse === undefined) result.option(flags, says, initial as string | undefined);
    else result.option(flags, says, parse, initial);
  }
  return result;
}

/** Undefined when help was asked for and has been written. Throws UserError. */
export function parseRunArguments(args: readonly string[], write: (text: string) => void): RunArguments | undefined {
  const parser = command(write);
  try {
    parser.parse(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === 'commander.helpDisplayed') return undefined;
    throw new UserError(error.message.replace(/^error: /, ''), 'turtles run --help lists the descriptions and options');
  }
  const options = parser.opts<Omit<RunArguments, 'description'>>();
  return {
    ...options,
    description: parser.processedArgs[0] as string,
    bare: options.bare ?? false,
    batch: options.batch ?? false,
    profile: options.profile ?? false,
  };
}
