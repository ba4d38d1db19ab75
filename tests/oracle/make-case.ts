// SPDX-License-Identifier: Apache-2.0

import type { CaseInput } from './case.ts';
import { Draft } from './draft.ts';
import type { Form } from './form.ts';
import { Random } from './random.ts';
import { makeStream } from './stream.ts';

/** The case number `index` of a form: the same for the same seed, on every host. */
export function makeCase(form: Form, seed: number, index: number): CaseInput {
  if (form.stream) return makeStream(form.name, seed, index, false);
  const draft = new Draft(form, new Random(`${seed}/${form.name}/${index}`));
  draft.build();
  const { state, patches: memory, allowance } = draft;
  return {
    form: form.name,
    index,
    code: Uint8Array.from(draft.code),
    state,
    memory,
    repeat: form.repeat ?? false,
    allowance,
  };
}
