// SPDX-License-Identifier: Apache-2.0
// Table: mutants that no test finds, and why. They count as survivors all the same.

import type { Mutant } from './mutant.ts';

/** By file, texts of ids, and the reason. */
const REASONS: readonly (readonly [file: string, id: RegExp, reason: string])[] = [];

export function reasonFor({ file, id }: Mutant): string | undefined {
  return REASONS.find(([of, pattern]) => file.endsWith(of) && pattern.test(id))?.[2];
}
