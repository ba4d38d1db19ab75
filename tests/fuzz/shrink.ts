// SPDX-License-Identifier: Apache-2.0
// A program that shows a finding, made smaller as long as it shows the same: fewer steps, fewer patches, fewer fields, then
// simpler bytes. What "the same" is, the caller says.
import type { FieldList, Program } from './program.ts';

type StillFails = (program: Program) => boolean;

/** The fewest elements for which `fails` holds, as far as leaving out ever smaller runs of them finds it. */
export function fewest<T>(all: readonly T[], fails: (some: readonly T[]) => boolean): readonly T[] {
  let kept = all;
  for (let size = Math.ceil(kept.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < kept.length;) {
      const without = [...kept.slice(0, from), ...kept.slice(from + size)];
      if (fails(without)) kept = without;
      else from += size;
    }
  }
  return kept;
}

export function shrink(program: Program, fails: StillFails): Program {
  let small = program;
  for (let before = ''; before !== size(small);) {
    before = size(small);
    small = { ...small, steps: fewest(small.steps, (steps) => fails({ ...small, steps })) };
    small = { ...small, patches: fewest(small.patches, (patches) => fails({ ...small, patches })) };
    if (small.races) small = { ...small, races: fewest(small.races, (races) => fails({ ...small, races })) };
    small = fewerFields(small, fails);
  }
  return simplerBytes(small, fails);
}

const size = ({ steps, patches, lists, races = [] }: Program): string =>
  [steps.length, patches.length, races.length, ...lists.map(({ rows }) => rows.length)].join();

/** A list that no step uses any more loses all its rows. */
function fewerFields(program: Program, fails: StillFails): Program {
  let small = program;
  program.lists.forEach((_, index) => {
    const withRows = (rows: FieldList['rows']): Program => ({
      ...small,
      lists: small.lists.map((list, i) => (i === index ? { rows } : list)),
    });
    small = withRows(fewest(small.lists[index].rows, (rows) => fails(withRows(rows))));
  });
  return small;
}

/** Long patches lose what is behind the byte that matters, and bytes that do not matter become 0. */
function simplerBytes(program: Program, fails: StillFails): Program {
  let small = program;
  program.patches.forEach((patch, index) => {
    if (patch.bytes.length <= 16) return;
    const withBytes = (bytes: readonly number[]): Program => ({
      ...small,
      patches: small.patches.map((each, i) => (i === index ? { ...each, bytes } : each)),
    });
    let bytes = patch.bytes;
    for (let width = Math.ceil(bytes.length / 2); width >= 16; width = Math.ceil(width / 2)) {
      for (let from = 0; from < bytes.length; from += width) {
        const zeroed = bytes.map((byte, i) => (i >= from && i < from + width ? 0 : byte));
        if (zeroed.some((byte, i) => byte !== bytes[i]) && fails(withBytes(zeroed))) bytes = zeroed;
      }
    }
    small = withBytes(bytes);
  });
  return small;
}
