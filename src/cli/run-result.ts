// SPDX-License-Identifier: Apache-2.0
import type { Host } from '../platform/node/host.ts';
import { compilationText } from '../system/compilation.ts';
import type { ConsoleChannel } from '../system/console-channel.ts';
import type { GuestDescription } from '../system/descriptions.ts';
import { exitTable, recentExits } from '../system/exit-report.ts';
import { profileTable } from '../system/profile.ts';
import type { ProfileSplit } from '../system/profile.ts';
import { findStop } from '../system/progress.ts';
import type { Milestones } from '../system/progress.ts';
import type { makeRecorder } from '../system/recording.ts';
import type { KvmParameters } from '../system/kvm-parameters.ts';
import { reportJson } from '../system/report.ts';
import type { RunOptions, RunResult } from '../system/report.ts';
import { wedgeText } from '../system/wedge.ts';
import type { Wedge } from '../system/wedge.ts';
import { STATUS } from './statuses.ts';
import type { Session } from '../system/session.ts';
import type { EntryFailures } from '../system/entry-failures.ts';
import type { SlicesEnd } from '../system/slices.ts';
import { summaryText } from '../system/summary.ts';
import type { HostTimes } from '../system/summary.ts';
import type { RunArguments } from './run-options.ts';

export interface FinishedRun {
  readonly args: RunArguments;
  readonly options: RunOptions;
  readonly description: GuestDescription;
  readonly session: Session;
  readonly consoles: readonly ConsoleChannel[];
  readonly milestones: Milestones;
  readonly kvm: KvmParameters;
  readonly recorder: ReturnType<typeof makeRecorder>;
  readonly how: SlicesEnd;
  /** With `how` wedged. */
  readonly wedge: Wedge | undefined;
  /** The VM entries that failed. */
  readonly failed: Pick<EntryFailures, 'stopped' | 'remark' | 'count' | 'explained'>;
  /** The text of --until has come. */
  readonly found: boolean;
  readonly times: HostTimes;
  /** Of a run with --profile. */
  readonly profile: ProfileSplit | undefined;
  readonly host: Host;
}

const LAST_LINES = 12;

/** Says how the run came out: tables and summary in batch, the JSON file when asked for. Returns the exit status. */
export function finishRun(run: FinishedRun): number {
  const result = judge(run);
  const summary = run.session.summary();
  const remark = run.failed.remark();
  if (remark !== undefined) run.host.writeError(`turtles: ${remark}\n`);
  if (run.args.batch) run.host.write(`\n${tables(run)}\n${summaryText(summary, run.times)}\n`);
  if (run.profile !== undefined)
    run.host.write(`\n${profileTable(run.profile)}\n${compilationText(run.session.compilation)}\n`);
  if (run.args.json !== undefined) {
    const { host, session } = run;
    const report = reportJson({
      ...run,
      result,
      summary,
      instructions: session.instructions,
      memorySha256: host.sha256(session.ram),
      sha256: host.sha256,
      host: run.times,
      jit: session.compilation,
      nodeVersion: host.nodeVersion,
    });
    host.writeWhole(run.args.json, report, '--json');
  }
  if (result.ok) return 0;
  run.host.writeError(failureText(run, result));
  return statusOf(run);
}

function statusOf({ how, session, found, failed }: FinishedRun): number {
  if (failed.stopped) return STATUS.failedEntry;
  if (how === 'timeout') return STATUS.timeout;
  if (how === 'wedged') return STATUS.wedged;
  return session.end?.kind === 'shutdown' && !found ? STATUS.shutdown : STATUS.failed;
}

/** Whether the run is what was asked for. Own kernels say nothing that we would know: powering off is enough. */
export function judge(run: JudgedRun): RunResult {
  const { args } = run;
  if (run.found) return { ok: true, reason: `the console showed ${JSON.stringify(args.until)}` };
  if (run.failed.stopped) return { ok: false, reason: 'a VM entry failed' };
  if (run.how === 'stopped') return { ok: true, reason: 'the user left' };
  const { end } = run.session;
  const reason =
    run.wedge !== undefined ? wedgeText(run.wedge) : end === undefined ? HOW[run.how] : run.session.endText();
  if (args.until !== undefined)
    return { ok: false, reason: `no console showed ${JSON.stringify(args.until)}: ${reason}` };
  const stop = args.batch && args.kernel === undefined ? findStop(run.milestones) : undefined;
  if (stop !== undefined) {
    const stoppedLevel = run.description.levels[stop.console]!.name;
    return { ok: false, stoppedLevel, reason: `${stop.says}: ${reason}` };
  }
  const faults = run.kvm.faults(args.cpu, args);
  if (faults.length > 0)
    return { ok: false, reason: `L1's kvm_intel is not as the ${args.cpu} profile has it: ${faults.join(', ')}` };
  return { ok: end?.kind === 'powerOff', reason };
}

/** What the judgement is made of. */
export type JudgedRun = Pick<
  FinishedRun,
  'args' | 'description' | 'milestones' | 'kvm' | 'how' | 'wedge' | 'failed' | 'found'
> & {
  readonly session: Pick<Session, 'end' | 'endText'>;
};

// prettier-ignore
const HOW: Readonly<Record<SlicesEnd, string>> = {
  ended:   'the guest ended the run',
  stopped: 'the run was stopped',
  timeout: 'the time of --timeout was over',
  idle:    'every processor waits for an interrupt that does not come',
  wedged:  'a level makes no progress',
};

function tables({ description, recorder, options }: FinishedRun): string {
  const outermost = options.bare ? 1 : 0;
  return description.levels
    .map(({ name, level }) =>
      level <= outermost
        ? `Exits of ${name}: it owns the machine, nothing is under it.\n`
        : exitTable(name, recorder.exitsOf(level)),
    )
    .join('\n');
}

/** The reason, and what the level that stopped and those under it said and did last. */
function failureText(
  { description, consoles, recorder, how, args, session }: FinishedRun,
  { reason, stoppedLevel }: RunResult,
): string {
  const inner = description.levels.findIndex(({ name }) => name === stoppedLevel);
  const shown = inner < 0 ? description.levels : description.levels.slice(0, inner + 1).toReversed();
  const parts = shown.map((level) => [
    ...section(`last lines of ${level.name}'s console`, consoles[description.levels.indexOf(level)]!.tail(LAST_LINES)),
    ...section(`last exits of ${level.name}`, recentExits(recorder.exitsOf(level.level))),
  ]);
  const deeper = description.levels.at(-1)!.level + 1;
  if (recorder.exitsOf(deeper).count > 0)
    parts.push(section(`last exits of L${deeper}`, recentExits(recorder.exitsOf(deeper))));
  const hint =
    how === 'timeout'
      ? `give it longer than --timeout ${args.timeout}`
      : 'what the consoles said last may tell why; --trace FILE and --json FILE keep more';
  const where = session.whereItEnded(recorder).map((line) => `  ${line}\n`);
  return `turtles: ${reason}\n${where.join('')}  ${hint}\n${parts.flat().join('')}`;
}

function section(title: string, lines: readonly string[]): string[] {
  if (lines.length === 0) return [`  ${title}: none\n`];
  return [`  ${title}:\n`, ...lines.map((line) => `    ${line}\n`)];
}
