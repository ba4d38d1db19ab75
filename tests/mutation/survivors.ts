// SPDX-License-Identifier: Apache-2.0
// Table: mutants that no test finds, and why. They count as survivors all the same.

import type { Mutant } from './mutant.ts';

const EQUAL = 'changes no result: ';

/** The end of a file's path, texts of ids, and the reason. */
// prettier-ignore
const REASONS: readonly (readonly [file: string, id: RegExp, reason: string])[] = [
  ['exit-conditions.ts',       /setsPe.*CR0_PE → /,                     `${EQUAL}a bit among those that the next line asks for`],
  ['exit-conditions.ts',       /CR3_TARGET_VALUE0 \+ 8 \* i.*8 → 9/,    `${EQUAL}offsets are rounded down to words`],
  ['field-origins.ts',         /^TSC_MULTIPLIER :: vmcs12's/,           `${EQUAL}without TSC scaling nobody reads the field`],
  ['field-origins.ts',         /without PRIMARY.USE_TSC_OFFSETTING/,    `${EQUAL}L0 forces it on`],
  ['field-origins.ts',         /PAGE_FAULT_BIT = 1 << 14/,              `${EQUAL}vmcs01 has the bit whenever L0 wants page faults`],
  ['field-origins.ts',         /IO_BITMAP_[AB].* 0 → 1$/,               'an address that is not used: the hardware does not look at it'],
  ['checks-controls.ts',       /TPR_THRESHOLD\) & 0xf.*0xf → 0x1f/,     `${EQUAL}bit 4 is another rule's, before this one`],
  ['checks-controls.ts',       /secondaryHas\(v, 0xffffffff\)/,         'bit 31 alone: no processor of ours lacks the rule that it is 0'],
  ['checks-controls.ts',       /16 \* v\.low\(countOffset\)/,           `${EQUAL}areas begin and end at multiples of 16`],
  ['checks-controls.ts',       /vectorOf\(v\) < 32/,                    `${EQUAL}vectors above 31 are another rule's, before this one`],
  ['checks-guest-registers.ts', /RELAXED_CR0/,                          `${EQUAL}only the sign differs`],
  ['checks-guest-segments.ts', /ifUsed/,                                'the words of a sentence'],
  ['checks-guest-segments.ts', /11 → 12/,                               `${EQUAL}type 12 is not accessed, another rule's`],
  ['checks-guest-segments.ts', /type === 3.*3 → 4/,                     `${EQUAL}with CS type 3 the DPL of SS is 0, another rule's`],
  ['checks-guest-state.ts',    /const vector .*0xff → 0x7f/,            `${EQUAL}vectors above 31 are another rule's, before this one`],
  ['checks-guest-state.ts',    /EXTERNAL_INTERRUPT → /,                 `${EQUAL}the constant is 0`],
  ['checks-guest-state.ts',    /LINKED_REGION → /,                      'the words of a description'],
  ['checks-guest-state.ts',    /physicalAddressWidth - 32.*- → \+/,     `${EQUAL}shifts count modulo 32`],
  ['entry-check-row.ts',       /physicalAddressWidth - 32.*- → \+/,     `${EQUAL}shifts count modulo 32`],
  ['entry-check-row.ts',       /\? -1 .*1 → 2/,                         `${EQUAL}callers ask whether it is negative or a type`],
];

export function reasonFor({ file, id }: Mutant): string | undefined {
  return REASONS.find(([of, pattern]) => file.endsWith(of) && pattern.test(id))?.[2];
}
