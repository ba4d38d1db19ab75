// SPDX-License-Identifier: Apache-2.0
import type { Host } from '../platform/node/host.ts';
import { ConsoleChannel } from '../system/console-channel.ts';
import { findDescription } from '../system/descriptions.ts';
import type { GuestDescription } from '../system/descriptions.ts';
import { TRACE_HEADER, traceLine } from '../system/exit-report.ts';
import { checkHypervisor, CPU_PROFILES } from '../system/hypervisor.ts';
import { Milestones } from '../system/progress.ts';
import { parseMemory } from '../system/quantities.ts';
import { makeRecorder } from '../system/recording.ts';
import type { RunOptions } from '../system/report.ts';
import { Session } from '../system/session.ts';
import type { SessionDescription } from '../system/session.ts';
import { runSlices } from '../system/slices.ts';
import { bootRequest } from './boot-request.ts';
import type { Failures } from './failures.ts';
import { parseRunArguments } from './run-options.ts';
import type { RunArguments } from './run-options.ts';
import { finishRun } from './run-result.ts';
import { BatchView, checkTerminal, TerminalView } from './views.ts';

/** 2026-01-01: a run must not depend on the day. */
export const START_TIME = 1767225600;

/** `turtles run`. Returns the exit status; throws UserError. */
export async function runCommand(words: readonly string[], host: Host, failures: Failures): Promise<number> {
  const args = parseRunArguments(words, host.write);
  if (args === undefined) return 0;
  const description = findDescription(args.description);
  checkHypervisor(args, '--bare');
  if (!args.batch && args.until === undefined) checkTerminal(host);
  const boot = await bootRequest(args, description, host);
  const trace = args.trace === undefined ? undefined : host.createFile(args.trace, '--trace');
  trace?.write(TRACE_HEADER);
  host.atExit(() => trace?.close());
  const recorder = makeRecorder(trace && ((event) => trace.write(traceLine(event))));
  const wantsView = args.batch || !host.hasTerminal;
  const consoles = description.levels.map(() => new ConsoleChannel(wantsView));
  const session = new Session({ pc: machineOf(args, description), consoles, boot, recorder });
  const options = optionsOf(args, description, boot, host);
  failures.run = { options, instructions: () => session.instructions };
  for (const remark of session.remarks) host.writeError(`turtles: ${remark}\n`);

  const view = wantsView ? new BatchView(description, consoles, host) : new TerminalView(description, consoles, host);
  const milestones = new Milestones(description);
  const watch = watchConsoles(consoles, args.until, () => session.stop());
  const lines = (index: number, text: string): void => {
    view.line(index, text);
    milestones.line(index, text);
  };
  watch.onLine = lines;
  const started = { wall: host.now(), cpu: host.cpuSeconds() };
  let how;
  try {
    how = await runSlices(session, host, {
      slice: args.slice,
      realTime: view.interactive,
      awaitsInput: () => view.interactive,
      timeout: args.timeout === undefined ? undefined : args.timeout * 1000,
      before: () => session.poll(),
      after: () => {
        view.show();
        return watch.found || view.left;
      },
    });
  } finally {
    view.close();
    trace?.close();
  }
  const times = { wall: (host.now() - started.wall) / 1000, cpu: host.cpuSeconds() - started.cpu };
  return finishRun({
    args,
    options,
    description,
    session,
    consoles,
    milestones,
    recorder,
    how,
    found: watch.found,
    times,
    host,
  });
}

function machineOf(args: RunArguments, description: GuestDescription): SessionDescription['pc'] {
  return {
    ramBytes: args.memory ?? parseMemory(description.memory, '--memory'),
    processors: 1,
    startTime: START_TIME,
    disks: [],
    frequencyHz: args.frequency,
    seed: args.seed,
    vmxProfile: CPU_PROFILES[args.cpu],
  };
}

function optionsOf(
  args: RunArguments,
  description: GuestDescription,
  boot: SessionDescription['boot'],
  host: Host,
): RunOptions {
  const initrd = boot.modules[0];
  const machine = machineOf(args, description);
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

interface Watch {
  found: boolean;
  onLine: (console: number, text: string) => void;
}

/** Sees every line, and the text to wait for as soon as its last byte is sent: the run then ends at that instruction. */
function watchConsoles(consoles: readonly ConsoleChannel[], until: string | undefined, stop: () => void): Watch {
  const watch: Watch = { found: false, onLine: () => {} };
  for (const [index, console] of consoles.entries()) {
    console.listener = (line, complete) => {
      if (complete) watch.onLine(index, line);
      else if (until !== undefined && line.endsWith(until)) {
        watch.found = true;
        stop();
      }
    };
  }
  return watch;
}
