// SPDX-License-Identifier: Apache-2.0

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
