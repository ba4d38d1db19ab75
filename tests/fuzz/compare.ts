// SPDX-License-Identifier: Apache-2.0
// What two machines that executed the same program disagree about: what L1 wrote down, how they ended, memory.
import { LAYOUT, REGION_COUNT } from './layout.ts';
import { firstDifference } from './log.ts';
import type { Difference } from './log.ts';
import type { Side } from './machines.ts';
import type { Program } from './program.ts';
import type { RunEnd } from './pair.ts';

const PAGE = 0x1000;

/** The pages of VMCS regions: how a processor keeps a VMCS is its own affair. */
const REGION_PAGES = { from: LAYOUT.VMXON_REGION / PAGE, to: LAYOUT.REGIONS / PAGE + REGION_COUNT } as const;

/** One program's run on one machine. */
export interface Run {
  readonly side: Side;
  readonly end: RunEnd;
}

/** The first thing that differs, undefined: nothing. */
export function compareRuns(program: Program, bare: Run, l0: Run): Difference | undefined {
  if ((bare.end.kind === 'lost') !== (l0.end.kind === 'lost')) return behindLog(endsDiffer('kind', bare, l0));
  const log = firstDifference(program, bare.side, l0.side);
  if (log !== undefined) return log;
  // When L1 has killed itself nobody sees the time.
  const parts = bare.end.kind === 'done' ? (['kind', 'ticks', 'inits'] as const) : (['kind', 'inits'] as const);
  const part = parts.find((each) => bare.end[each] !== l0.end[each]);
  if (part !== undefined) return behindLog(endsDiffer(part, bare, l0));
  return compareMemory(bare.side, l0.side);
}

/** Whether what one run does otherwise is nothing but what another does otherwise, too, and no earlier. */
export function isPartOf(difference: Difference, open: Difference | undefined): boolean {
  if (open === undefined || open.record > difference.record) return false;
  if (open.record < difference.record || difference.pages === undefined || open.pages === undefined) return true;
  return difference.pages.every((page) => open.pages?.includes(page));
}

const behindLog = (message: string, pages?: readonly number[]): Difference => ({ record: Infinity, message, pages });

const endsDiffer = (part: keyof RunEnd, bare: Run, l0: Run): string =>
  `${part} at the end: ${bare.end[part]} on the bare machine, ${l0.end[part]} under L0`;

/** All but the VMCS regions, and the log, which has been compared. */
function compareMemory({ pages: bare }: Side, { pages: l0 }: Side): Difference | undefined {
  const differs = (page: number): boolean => firstByte(page, bare[page], l0[page]) >= 0;
  const pages = Array.from({ length: LAYOUT.LOG / PAGE }, (_, page) => page).filter(differs);
  if (pages.length === 0) return undefined;
  const [page] = pages;
  return behindLog(differentMemory(page, firstByte(page, bare[page], l0[page]), bare[page], l0[page]), pages);
}

/** Of those that differ; -1: none. */
function firstByte(page: number, bare: Uint8Array, l0: Uint8Array): number {
  if (page >= REGION_PAGES.from && page < REGION_PAGES.to) return -1;
  if (Buffer.compare(bare, l0) === 0) return -1;
  return bare.findIndex((byte, i) => byte !== l0[i] && !isResumeFlag(page, byte, l0[i]));
}

/** RFLAGS.RF as a double fault pushes it onto a stack of L2: see `onlyResumeFlag` in log.ts. */
function isResumeFlag(page: number, bare: number, l0: number): boolean {
  return (bare ^ l0) === 1 && page * PAGE < LAYOUT.MONITOR;
}

function differentMemory(page: number, at: number, bare: Uint8Array, l0: Uint8Array): string {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(at & ~7, (at & ~7) + 8)).toString('hex');
  return `memory at ${(page * PAGE + at).toString(16)}: ${hex(bare)} on the bare machine, ${hex(l0)} under L0`;
}
