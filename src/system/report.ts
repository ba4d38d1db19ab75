// SPDX-License-Identifier: Apache-2.0
import type { CompilationCounts } from './compilation.ts';
import type { ConsoleChannel } from './console-channel.ts';
import type { GuestDescription } from './descriptions.ts';
import type { EntryFailures } from './entry-failures.ts';
import { exitRows } from './exit-report.ts';
import type { HypervisorChoice, CpuProfile } from './hypervisor.ts';
import type { KvmParameters } from './kvm-parameters.ts';
import type { ProfileSplit } from './profile.ts';
import type { Milestones } from './progress.ts';
import type { HostTimes, RunSummary } from './summary.ts';
import type { RunRecorder } from '../trace/recorder.ts';

/** Counted up when a reader of the report would have to change. */
export const REPORT_SCHEMA = 'turtles-run-1';

/** What was run: everything on which the figures depend. */
export interface RunOptions extends HypervisorChoice {
  readonly description: string;
  readonly cpu: CpuProfile;
  readonly memoryBytes: number;
  readonly frequencyHz: number;
  readonly seed: number;
  readonly startTime: number;
  readonly batch: boolean;
  /** SHA-256 of what was booted. */
  readonly kernel: string;
  readonly initrd: string | undefined;
  readonly commandLine: string;
}

/** How the run came out. */
export interface RunResult {
  readonly ok: boolean;
  /** Name of the level that stopped, if one did. */
  readonly stoppedLevel?: string;
  /** One sentence. */
  readonly reason: string;
}

export interface ReportParts {
  readonly options: RunOptions;
  readonly description: GuestDescription;
  readonly result: RunResult;
  readonly summary: RunSummary;
  readonly instructions: number;
  readonly consoles: readonly ConsoleChannel[];
  readonly milestones: Milestones;
  readonly kvm: KvmParameters;
  readonly recorder: RunRecorder;
  readonly failed: Pick<EntryFailures, 'count' | 'explained'>;
  readonly memorySha256: string;
  readonly sha256: (bytes: Uint8Array) => string;
  readonly host: HostTimes;
  readonly jit: CompilationCounts;
  /** Of a run with --profile. */
  readonly profile: ProfileSplit | undefined;
  readonly nodeVersion: string;
}

/** The report of `--json`, as docs/json.md describes it. Only `host` differs between runs of the same description. */
export function reportJson(parts: ReportParts): string {
  const { options, result, summary, instructions } = parts;
  const report = {
    schema: REPORT_SCHEMA,
    options,
    result,
    instructions,
    ticks: summary.ticks,
    virtualSeconds: summary.virtualSeconds,
    levels: parts.consoles.map((_, index) => levelOf(parts, index)),
    failedEntries: { count: parts.failed.count, explained: parts.failed.explained },
    kvmParameters: Object.fromEntries(parts.kvm.values),
    missingOpcodes: summary.missingOpcodes,
    unknownMsrs: summary.unknownMsrs,
    unclaimed: summary.unclaimed,
    memorySha256: parts.memorySha256,
    host: hostOf(parts),
  };
  return `${JSON.stringify(report, undefined, 2)}\n`;
}

function hostOf({ host, instructions, nodeVersion, jit, profile }: ReportParts) {
  return {
    ...host,
    mips: instructions / 1e6 / Math.max(host.wall, 1e-9),
    node: nodeVersion,
    jit,
    profile: profile && Object.fromEntries(profile),
  };
}

function levelOf({ consoles, description, milestones, recorder, sha256 }: ReportParts, index: number) {
  const { name, level } = description.levels[index]!;
  const console = consoles[index]!;
  const exits = recorder.exitsOf(level);
  return {
    name,
    console: { bytes: console.sent, sha256: sha256(console.transcript), tail: console.tail(20) },
    milestones: description.milestones
      .filter((milestone) => milestone.console === index)
      .map((milestone) => ({ marker: milestone.marker, passed: milestones.passed(milestone) })),
    exits: { samples: exits.count, reasons: exitRows(exits) },
  };
}
