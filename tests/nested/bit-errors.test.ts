// SPDX-License-Identifier: Apache-2.0
// The comparison bites: an error of one bit, anywhere, is found and named, and nothing else is.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { PROFILE_NAMES } from '../../src/arch/vmx/profiles.ts';
import { BitErrorWatch, everyBit, flip, names, random } from './bit-errors.ts';
import type { BitError } from './bit-errors.ts';
import { RecordedExits } from './exit-sequence.ts';
import type { Difference } from './exit-sequence.ts';
import { ExitDiffers, NestedWatch } from './exit-watch.ts';
import { ALL_CASES } from './scripted/all-cases.ts';
import { programOf } from './scripted/case.ts';
import type { Program } from './scripted/image.ts';
import { compareUnderL0, runBare } from './scripted/run.ts';
import type { BareRun } from './scripted/run.ts';
import { MASK } from './seen-exit.ts';
import type { Layout, UnderL0 } from './seen-exit.ts';

const SEED = 2010;
const LASTING = 4;

/** Makes one error, and leaves it. */
class LastingError extends NestedWatch {
  readonly #error: BitError;

  constructor(layout: Layout, recorded: RecordedExits, error: BitError) {
    super(layout, recorded);
    this.#error = error;
  }

  protected override look(seen: UnderL0): readonly Difference[] {
    if (this.compared.count - 1 === this.#error.exit) flip(seen, this.#error);
    return super.look(seen);
  }
}

function withoutLast({ layout, recorded }: BareRun): RecordedExits {
  const shorter = new RecordedExits(layout);
  const [next, exit] = [recorded.player(), new Uint32Array(layout.words)];
  while (shorter.count < recorded.count - 1 && next(exit)) shorter.add(exit);
  return shorter;
}

for (const profile of PROFILE_NAMES)
  describe(`one-bit errors, ${profile}`, () => {
    let program: Program;
    let bare: BareRun;

    before(() => {
      const [many] = ALL_CASES.filter(({ name }) => name === 'by control');
      program = programOf(many, profile);
      bare = runBare(program);
    });

    test('each bit of each field, at exits drawn by lot', () => {
      const errors = everyBit(bare.layout, bare.recorded.count, SEED);
      const watch = new BitErrorWatch(bare.layout, bare.recorded, errors);
      compareUnderL0(program, bare, watch);
      assert.deepEqual([watch.missed, watch.made], [[], errors.length]);
      assert.ok(errors.length > 5000);
    });

    test('one that stays ends the run at its exit, which the message names with the field and the exits before', () => {
      const all = everyBit(bare.layout, bare.recorded.count, SEED + 1);
      const draw = random(SEED + 2);
      for (let i = 0; i < LASTING; i++) {
        const error = all[draw(all.length)];
        assert.throws(
          () => compareUnderL0(program, bare, new LastingError(bare.layout, bare.recorded, error)),
          (thrown) => {
            assert.ok(thrown instanceof ExitDiffers);
            assert.ok(names(error, thrown.found), thrown.message);
            assert.match(thrown.message, RegExp(`^exit ${error.exit}: ${error.field.name} is [0-9a-f]+ bare, `));
            return true;
          },
        );
      }
    });

    test('an exit more, and one less', () => {
      const more = new NestedWatch(bare.layout, withoutLast(bare));
      assert.throws(() => compareUnderL0(program, bare, more), /an exit under L0 after the last one bare/);
      const longer = new RecordedExits(bare.layout);
      const [next, exit] = [bare.recorded.player(), new Uint32Array(bare.layout.words)];
      while (next(exit)) longer.add(exit);
      longer.add(exit);
      const less = new NestedWatch(bare.layout, longer);
      const count = bare.recorded.count;
      assert.throws(() => compareUnderL0(program, bare, less), RegExp(`${count} exits under L0, ${count + 1} bare`));
    });
  });

test('nothing is masked', () => {
  assert.deepEqual(MASK, []);
});
