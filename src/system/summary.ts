// SPDX-License-Identifier: Apache-2.0
import { hex } from '../base/hex.ts';
import type { UnclaimedAccess } from '../devices/bus.ts';
import type { UnknownMsr } from '../machine/cpu/msr-state.ts';
import { grouped } from './quantities.ts';

/** What a summary is made of: the machine, and what its outermost guest sees, which is the same without L0. */
export interface SummarySource {
  readonly machine: {
    readonly instructions: number;
    readonly ticks: number;
    readonly schedule: { toNanoseconds(ticks: number): number };
    readonly processors: readonly {
      readonly decoding: { readonly routines: { readonly missing: ReadonlyMap<string, number> } };
    }[];
  };
  readonly bus: { unclaimed(): UnclaimedAccess[] };
  /** Of each processor, or of all in one. */
  readonly unknownMsrs: readonly ReadonlyMap<number, UnknownMsr>[];
}

/** The figures of one power-on; exact and the same in every run of the same description. */
export interface RunSummary {
  readonly instructions: number;
  /** Instructions and skipped idleness. */
  readonly ticks: number;
  readonly virtualSeconds: number;
  /** Opcodes of the manual that the machine does not have: #UD, by how often they were translated. */
  readonly missingOpcodes: readonly { readonly opcode: string; readonly times: number }[];
  readonly unknownMsrs: readonly ({ readonly index: number } & UnknownMsr)[];
  /** Accesses to ports and memory addresses where no device is. */
  readonly unclaimed: readonly UnclaimedAccess[];
}

export function summarize({ machine, bus, unknownMsrs }: SummarySource): RunSummary {
  const missing = [...machine.processors[0]!.decoding.routines.missing].map(([opcode, times]) => ({ opcode, times }));
  return {
    instructions: machine.instructions,
    ticks: machine.ticks,
    virtualSeconds: machine.schedule.toNanoseconds(machine.ticks) / 1e9,
    missingOpcodes: missing.toSorted((a, b) => b.times - a.times || (a.opcode < b.opcode ? -1 : 1)),
    unknownMsrs: sumOf(unknownMsrs),
    unclaimed: bus.unclaimed(),
  };
}

function sumOf(processors: readonly ReadonlyMap<number, UnknownMsr>[]): RunSummary['unknownMsrs'] {
  const sums = new Map<number, UnknownMsr>();
  for (const unknown of processors) {
    for (const [index, { reads, writes }] of unknown) {
      const sum = sums.get(index) ?? { reads: 0, writes: 0 };
      sums.set(index, { reads: sum.reads + reads, writes: sum.writes + writes });
    }
  }
  return [...sums].map(([index, count]) => ({ index, ...count })).toSorted((a, b) => a.index - b.index);
}

/** How long the run took on this computer, in seconds. */
export interface HostTimes {
  readonly wall: number;
  readonly cpu: number;
}

/** At most this many of a kind are named. */
const NAMED = 12;

/** The end of a run in a few lines of text. */
export function summaryText(summary: RunSummary, host: HostTimes): string {
  const mips = summary.instructions / 1e6 / Math.max(host.wall, 1e-9);
  const ports = summary.unclaimed.filter(({ space }) => space === 'port');
  const memory = summary.unclaimed.filter(({ space }) => space === 'memory');
  const count = ({ reads, writes }: { reads: number; writes: number }) => `${reads} r, ${writes} w`;
  return [
    `${grouped(summary.instructions)} instructions, ${summary.virtualSeconds.toFixed(3)} virtual seconds, ${host.wall.toFixed(1)} host seconds (CPU ${host.cpu.toFixed(1)}), ${mips.toFixed(1)} MIPS`,
    list('missing opcodes', summary.missingOpcodes, ({ opcode, times }) => `${opcode} × ${times}`),
    list('unknown MSRs', summary.unknownMsrs, (msr) => `${hex(msr.index)} (${count(msr)})`),
    list('unclaimed ports', ports, (port) => `${hex(port.address)} (${count(port)})`),
    ...(memory.length === 0 ? [] : [list('unclaimed memory', memory, (at) => `${hex(at.address)} (${count(at)})`)]),
  ].join('\n');
}

function list<T>(what: string, items: readonly T[], text: (item: T) => string): string {
  if (items.length === 0) return `${what}: none`;
  const more = items.length > NAMED ? `, and ${items.length - NAMED} more` : '';
  return `${what}: ${items.slice(0, NAMED).map(text).join(', ')}${more}`;
}
