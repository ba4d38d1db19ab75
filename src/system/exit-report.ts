// SPDX-License-Identifier: Apache-2.0
import { exitReason } from '../arch/vmx/exit-reasons.ts';
import { hex } from '../base/hex.ts';
import { exitReasonText, FTRACE_HEADER, ftraceLine } from '../formats/ftrace.ts';
import { perfKvmStat } from '../formats/perf-kvm-stat.ts';
import type { TraceEvent } from '../trace/events.ts';
import type { ExitCount, ExitStatistics } from '../trace/exit-statistics.ts';

const nameOf = (reason: number): string => exitReason(reason)?.name ?? hex(reason);

/** One level's exits as `perf kvm stat` shows them; times are virtual. */
export function exitTable(level: string, exits: ExitStatistics): string {
  if (exits.count === 0) return `Exits of ${level}: none.\n`;
  const rows = exits.counts().map((count) => ({ ...count, name: nameOf(count.reason) }));
  return perfKvmStat(`Exits of ${level}, all VCPUs, in virtual time:`, rows);
}

/** The last exits of a level, one a line, oldest first. */
export function recentExits(exits: ExitStatistics): string[] {
  return exits.recent().map(({ reason, rip, nanoseconds }) => {
    return `${(nanoseconds / 1e9).toFixed(9)} ${exitReasonText(reason)} rip ${hex(rip)}`;
  });
}

/** The rows of a level for the JSON report. Times in virtual nanoseconds. */
export function exitRows(exits: ExitStatistics): (Omit<ExitCount, 'reason'> & { reason: string; number: number })[] {
  return exits.counts().map(({ reason, ...count }) => ({ reason: nameOf(reason), number: reason, ...count }));
}

/** Text of a trace file: its head, then what turns an event into a line. */
export const TRACE_HEADER = FTRACE_HEADER;
export const traceLine = (event: TraceEvent): string => `${ftraceLine(event)}\n`;
