// SPDX-License-Identifier: Apache-2.0
import type { Host } from '../platform/node/host.ts';
import { ConsoleChannel } from '../system/console-channel.ts';
import type { GuestDescription } from '../system/descriptions.ts';
import { TRACE_HEADER, traceLine } from '../system/exit-report.ts';
import { KvmParameters } from '../system/kvm-parameters.ts';
import { splitProfile } from '../system/profile.ts';
import type { ProfileSource } from '../system/profile.ts';
import { Milestones } from '../system/progress.ts';
import { makeRecorder } from '../system/recording.ts';
import { EntryFailures } from '../system/entry-failures.ts';
import { Session } from '../system/session.ts';
import type { SessionDescription } from '../system/session.ts';
import { WedgeWatch } from '../system/wedge.ts';
import { runSlices } from '../system/slices.ts';
import type { SlicesEnd } from '../system/slices.ts';
import { checkMemory } from './check-memory.ts';
import type { Failures } from './failures.ts';
import { machineOf, optionsOf } from './run-machine.ts';
import { levelSymbols } from './level-symbols.ts';
import type { RunArguments } from './run-options.ts';
import { finishRun } from './run-result.ts';
import { BatchView, TerminalView } from './views.ts';
import type { ConsoleView } from './views.ts';

/** How long is too long for interrupts to be off: what Linux allows a processor, three times. */
const WEDGE_SECONDS = 30;

export interface RunPlan {
  readonly args: RunArguments;
  readonly description: GuestDescription;
  readonly boot: SessionDescription['boot'];
  readonly host: Host;
  readonly failures: Failures;
  /** Ends the profile that --profile began. */
  readonly endProfile: (() => ProfileSource) | undefined;
}

/** Boots the guest, runs it to its end and says how it came out. Returns the exit status; throws UserError. */
export async function runGuest({ args, description, boot, host, failures, endProfile }: RunPlan): Promise<number> {
  const trace = args.trace === undefined ? undefined : host.createFile(args.trace, '--trace');
  trace?.write(TRACE_HEADER);
  host.atExit(() => trace?.close());
  const recorder = makeRecorder(trace && ((event) => trace.write(traceLine(event))));
  const joinsTerminal = !args.batch && host.hasTerminal;
  const consoles = description.levels.map(() => new ConsoleChannel(!joinsTerminal));
  const machine = machineOf(args, description, host);
  const symbols = levelSymbols(boot, args.symbols, '--symbols', host);
  checkMemory(machine.ramBytes, '--memory', host);
  const session = new Session({ pc: machine, consoles, boot, hypervisor: args, recorder });
  const options = optionsOf(args, description, boot, host);
  failures.run = { options, instructions: () => session.instructions, journal: () => session.journal.journal };
  for (const remark of session.remarks) host.writeError(`turtles: ${remark}\n`);
  const view = new (joinsTerminal ? TerminalView : BatchView)(description, consoles, host);
  const milestones = new Milestones(description);
  const kvm = new KvmParameters();
  const watch = watchConsoles(consoles, args.until, session, [view, milestones, kvm]);
  const started = { wall: host.now(), cpu: host.cpuSeconds() };
  const failed = new EntryFailures(
    session,
    recorder,
    args.onEntryFailure,
    symbols,
    (lines) => view.notice(lines),
    args.record,
  );
  const circles = new WedgeWatch(session, recorder, args.wedgeTimeout ?? (view.interactive ? 0 : WEDGE_SECONDS));
  const how = await toTheEnd(session, args, view, watch, failed, circles, host).finally(() => trace?.close());
  const times = { wall: (host.now() - started.wall) / 1000, cpu: host.cpuSeconds() - started.cpu };
  const profile = endProfile && splitProfile(endProfile());
  const { found } = watch;
  if (args.record !== undefined) failures.record(args.record);
  return finishRun({
    args,
    options,
    description,
    session,
    consoles,
    milestones,
    kvm,
    recorder,
    how,
    wedge: circles.wedge,
    failed,
    found,
    times,
    profile,
    host,
  });
}

async function toTheEnd(
  session: Session,
  args: RunArguments,
  view: ConsoleView,
  watch: Watch,
  failed: EntryFailures,
  circles: WedgeWatch,
  host: Host,
): Promise<SlicesEnd> {
  try {
    return await runSlices(session, host, {
      slice: args.slice,
      realTime: view.interactive,
      awaitsInput: () => view.interactive,
      timeout: args.timeout === undefined ? undefined : args.timeout * 1000,
      before: () => session.poll(),
      after: () => {
        view.show();
        return watch.found || view.left || failed.stopped;
      },
      wedged: () => circles.look(),
    });
  } finally {
    view.close();
  }
}

interface Watch {
  /** The text to wait for has come. */
  found: boolean;
}

/** Hands every line on; the run ends at the instruction that sends the last byte of the text to wait for. */
function watchConsoles(
  consoles: readonly ConsoleChannel[],
  until: string | undefined,
  session: Session,
  listeners: readonly { line(console: number, text: string): void }[],
): Watch {
  const watch: Watch = { found: false };
  for (const [index, console] of consoles.entries()) {
    console.listener = (line, complete) => {
      if (complete) for (const listener of listeners) listener.line(index, line);
      else if (until !== undefined && line.endsWith(until)) {
        watch.found = true;
        session.stop();
      }
    };
  }
  return watch;
}
