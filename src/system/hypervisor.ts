// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../base/errors.ts';
import type { L0Options } from '../l0/l0.ts';
import type { Recorder } from '../trace/recorder.ts';
import { L0Pc } from './l0-pc.ts';
import { Pc } from './pc.ts';
import type { PcOptions } from './pc.ts';

/** How L0 keeps the page tables of its guests' guests. */
export const PAGING_MODES = ['shadow-on-ept', 'multi-dimensional'] as const;
export type PagingMode = (typeof PAGING_MODES)[number];

/** VMX capability profiles by the names users give them; the versioned names are what snapshots keep. */
export const CPU_PROFILES = { paper: 'paper-1', modern: 'modern-1' } as const;
export type CpuProfile = keyof typeof CPU_PROFILES;

export interface HypervisorChoice {
  /** Nothing of ours under the guest: it owns the machine. */
  readonly bare: boolean;
  readonly paging: PagingMode;
}

/** What L0 is built with to give L1 a VT-x of its own; undefined: it cannot yet. */
const NESTED: ((paging: PagingMode) => L0Options['nested']) | undefined = undefined;

/**
 * Refuses what this version cannot put under a guest. `runsHypervisor`: the guest needs VT-x of its own. `bareOption` is
 * how the user asks for a machine without L0. Throws UserError.
 */
export function checkHypervisor({ bare }: HypervisorChoice, runsHypervisor: boolean, bareOption: string): void {
  if (bare || !runsHypervisor || NESTED !== undefined) return;
  throw new UserError(
    'L0, the hypervisor between the machine and L1, does not give L1 a VT-x of its own in this version yet',
    `run with ${bareOption}: L1 then owns the machine itself`,
  );
}

/** A PC that is run: the machine itself, or what L0 shows of it. */
export type AnyPc = Pc | L0Pc;

/** The one place that decides what owns the machine: the guest, or L0 with the guest as its L1. */
export function makePc(options: PcOptions, { bare, paging }: HypervisorChoice, recorder: Recorder): AnyPc {
  if (bare) return new Pc({ ...options, recorder });
  const nested = options.vmxProfile === undefined ? undefined : NESTED?.(paging);
  const vmxProfile = options.vmxProfile ?? CPU_PROFILES.modern;
  return new L0Pc({ ...options, vmxProfile, l0: { recorder, ...(nested ? { nested } : {}) } });
}
