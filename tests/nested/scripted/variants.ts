// SPDX-License-Identifier: Apache-2.0
import type { Case } from './case.ts';

/**
 * The same case with EPT and VPID for L2: the other paging scheme of L0. Undefined where it has them, or where without
 * EPT is what it is about.
 */
export function withEpt(each: Case): Case | undefined {
  const { controls = [], fields = {} } = each;
  if (controls.includes('secondary.ENABLE_EPT') || 'GUEST_CR3' in fields) return undefined;
  return {
    ...each,
    name: `${each.name}, with EPT and VPID`,
    controls: [...controls, 'secondary.ENABLE_EPT', 'secondary.ENABLE_VPID'],
  };
}
