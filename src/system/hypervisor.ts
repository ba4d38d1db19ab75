// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../base/errors.ts';

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

/**
 * Decides what owns the machine: the guest itself, or L0. The one place where L0 is put under a guest. Throws UserError
 * for what this version does not have; `bareOption` is how the user asks for a machine without L0.
 */
export function checkHypervisor(choice: HypervisorChoice, bareOption: string): void {
  if (choice.bare) return;
  throw new UserError(
    'L0, the hypervisor between the machine and L1, is not part of this version yet',
    `run with ${bareOption}: L1 then owns the machine itself`,
  );
}
