// SPDX-License-Identifier: Apache-2.0

import type { Form } from './form.ts';
import { BIT_FORMS } from './forms/bits.ts';
import { EXTENDED_STATE_FORMS } from './forms/extended-state.ts';
import { HINT_FORMS } from './forms/hint.ts';
import { INTEGER_FORMS } from './forms/integer.ts';
import { INVALID_FORMS } from './forms/invalid.ts';
import { PREFIX_FORMS } from './forms/prefix.ts';
import { SEGMENT_FORMS } from './forms/segment.ts';
import { SSE_FORMS } from './forms/sse.ts';
import { BRANCH_FORMS, STACK_FORMS } from './forms/stack.ts';
import { STREAM_FORMS } from './forms/stream.ts';
import { STRING_FORMS } from './forms/string.ts';
import { MMX_FORMS, X87_FORMS } from './forms/x87.ts';

/** Every encoding the oracle knows, by group. */
export const FORMS: readonly Form[] = [
  ...INTEGER_FORMS,
  ...BIT_FORMS,
  ...STACK_FORMS,
  ...BRANCH_FORMS,
  ...SEGMENT_FORMS,
  ...STRING_FORMS,
  ...HINT_FORMS,
  ...INVALID_FORMS,
  ...SSE_FORMS,
  ...MMX_FORMS,
  ...X87_FORMS,
  ...EXTENDED_STATE_FORMS,
  ...PREFIX_FORMS,
  ...STREAM_FORMS,
];

/** Forms whose mnemonic, group or full name is in the list; all for an empty list. */
export function selectForms(names: readonly string[]): Form[] {
  if (names.length === 0) return [...FORMS];
  return FORMS.filter((form) =>
    names.some((name) => name === form.mnemonic || name === form.group || name === form.name),
  );
}
