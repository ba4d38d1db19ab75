// SPDX-License-Identifier: Apache-2.0
// Each row is broken by exactly one example, and must then be the first that fails. The examples start from a valid
// VMCS (or a variant of it that is checked to be valid as well).
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  ALL_GROUPS,
  ENTRY_CHECKS,
  ENTRY_CHECK_GROUPS,
  GROUPS_EVERY_ENTRY,
  allFailures,
  findEntryCheck,
  firstFailure,
  groupsWritten,
} from './entry-checks.ts';
import { FIELDS_END } from './encoding.ts';
import { exampleVmcs } from './example-vmcs.ts';
import type { ExampleVmcs } from './example-vmcs.ts';
import { OFFSET, fieldAtOffset } from './fields.ts';
import { PROFILES, PROFILE_NAMES } from './profiles.ts';
import type { VmcsView } from './vmcs-view.ts';
import {
  EVERYTHING,
  all,
  set,
  or,
  inject,
  unrestrictedGuest,
  legacyGuest,
  legacyBoth,
  paeGuest,
  realMode,
  v8086Guest,
  usable,
  userGuest,
  linked,
  shadowed,
  hlt,
} from './entry-check-changes.test.ts';
import { ROWS, firstFailed } from './entry-check-examples.test.ts';

/** Records which fields are read. */
class RecordingView implements VmcsView {
  readonly names = new Set<string>();
  readonly view: VmcsView;
  constructor(view: VmcsView) {
    this.view = view;
  }
  low(offset: number): number {
    this.names.add(fieldAtOffset(offset)?.name ?? `offset ${offset}`);
    return this.view.low(offset);
  }
  high(offset: number): number {
    this.names.add(fieldAtOffset(offset)?.name ?? `offset ${offset}`);
    return this.view.high(offset);
  }
}

describe('entry checks: the example passes', () => {
  for (const name of PROFILE_NAMES) {
    it(`on ${name}`, () => assert.deepEqual(allFailures(...pair(exampleVmcs(PROFILES[name]))), []));
  }
  const pair = (vmcs: ExampleVmcs) => [vmcs.view, vmcs.context] as const;
  const variants = {
    usable,
    userGuest,
    legacyGuest,
    legacyBoth,
    paeGuest,
    realMode,
    v8086Guest,
    unrestrictedGuest,
    linked,
    shadowed,
  };
  for (const [name, change] of Object.entries(variants)) {
    it(`as ${name}`, () => {
      const vmcs = exampleVmcs(PROFILES['modern-1']);
      change(vmcs);
      assert.equal(firstFailed(vmcs)?.id, undefined);
    });
  }
});

describe('entry checks: each row is broken by its example, and by nothing before it', () => {
  for (const [id, from, broken] of ROWS) {
    it(id, () => {
      const vmcs = exampleVmcs(EVERYTHING);
      from(vmcs);
      assert.equal(firstFailed(vmcs)?.id, undefined, 'the variant is valid');
      broken(vmcs);
      assert.equal(firstFailed(vmcs)?.id, id);
      const stage = findEntryCheck(id)?.stage;
      assert.ok(stage !== undefined && firstFailure(stage, vmcs.view, vmcs.context)?.id === id);
    });
  }

  it('every row has exactly one example', () => {
    assert.deepEqual(ROWS.map(([id]) => id).sort(), ENTRY_CHECKS.map((check) => check.id).sort());
  });
});

describe('entry checks: rows', () => {
  it('have unique ids and say something', () => {
    assert.equal(new Set(ENTRY_CHECKS.map((check) => check.id)).size, ENTRY_CHECKS.length);
    for (const check of ENTRY_CHECKS) {
      assert.match(check.id, /^(controls|host|guest)\.[a-z0-9.-]+$/);
      assert.match(check.section, /^27\.[0-9.]+ [A-Z]/);
      assert.ok(check.sentence.length > 10 && !check.sentence.endsWith('.'), check.id);
    }
  });

  it('fail in the way of their stage', () => {
    const failure = (id: string) => findEntryCheck(id)?.failure;
    assert.deepEqual(failure('controls.vpid'), { kind: 'VMfailValid', error: 7 });
    assert.deepEqual(failure('host.size.pae'), { kind: 'VMfailValid', error: 8 });
    assert.deepEqual(failure('guest.rflags.bit1'), { kind: 'exit', reason: 33, qualification: 0 });
    assert.deepEqual(failure('guest.pdpte0.field'), { kind: 'exit', reason: 33, qualification: 2 });
    assert.deepEqual(failure('guest.interruptibility.nmi-sti'), { kind: 'exit', reason: 33, qualification: 3 });
    assert.deepEqual(failure('guest.link-pointer.revision'), { kind: 'exit', reason: 33, qualification: 4 });
  });

  it('declare exactly the fields that they read', () => {
    const seen = new Map<string, Set<string>>();
    const note = (id: string, reads: ReadonlySet<string>): void => {
      const names = seen.get(id) ?? new Set<string>();
      reads.forEach((name) => names.add(name));
      seen.set(id, names);
    };
    const examples = ROWS.flatMap(([, from, broken]) => [[from], [from, broken]]);
    const further = [
      unrestrictedGuest,
      realMode,
      set('GUEST_TR_AR_BYTES', 0x83),
      all(legacyGuest, hlt, or('GUEST_RFLAGS', 0x100)),
    ];
    const exceptions = [0, 0x800].flatMap((code) => further.map((from) => [from, inject(3, 13, code)]));
    for (const changes of [...examples, ...exceptions]) {
      const vmcs = exampleVmcs(EVERYTHING);
      changes.forEach((change) => change(vmcs));
      for (const group of ENTRY_CHECK_GROUPS) {
        for (const row of [...(group.when ? [{ id: group.name, holds: group.when.holds }] : []), ...group.checks]) {
          const view = new RecordingView(vmcs.view);
          row.holds(view, vmcs.context);
          note(row.id, view.names);
        }
      }
    }
    for (const group of ENTRY_CHECK_GROUPS) {
      if (group.when) assert.deepEqual([...seen.get(group.name)!].sort(), [...group.when.reads].sort(), group.name);
      for (const check of group.checks) {
        assert.deepEqual([...seen.get(check.id)!].sort(), [...new Set(check.reads)].sort(), check.id);
      }
    }
  });

  it('can be left out by group when nothing they read has changed', () => {
    assert.ok(ENTRY_CHECK_GROUPS.length <= 31);
    for (const [id, from, broken] of ROWS) {
      const vmcs = exampleVmcs(EVERYTHING);
      from(vmcs);
      const before = vmcs.view.words.slice();
      broken(vmcs);
      let written = 0;
      for (let slot = 0; slot < FIELDS_END >> 3; slot++) {
        const [low, high] = [before[2 * slot], before[2 * slot + 1]];
        const after = vmcs.view.words[2 * slot];
        if (low !== after || high !== vmcs.view.words[2 * slot + 1]) written |= groupsWritten(8 * slot, low, after);
      }
      const { stage } = findEntryCheck(id)!;
      assert.equal(firstFailure(stage, vmcs.view, vmcs.context, GROUPS_EVERY_ENTRY | written)?.id, id);
      assert.equal(
        firstFailure(stage, vmcs.view, vmcs.context, ALL_GROUPS & ~(GROUPS_EVERY_ENTRY | written)),
        undefined,
        id,
      );
    }
  });

  it('have conditions that look at some bits of a field, and are checked again when these change', () => {
    let seen = 0;
    ENTRY_CHECK_GROUPS.forEach(({ name, when }, index) => {
      if (when?.bits === undefined) return;
      seen++;
      const { view, context } = exampleVmcs(EVERYTHING);
      const { bits } = when;
      const values: readonly number[] = [0, 2, 0x246, 0x20202, 0xffffffff, bits];
      for (const field of when.reads)
        for (const value of values) {
          const offset = OFFSET[field];
          const holds = (low: number): boolean => (view.write(offset, low, 0), when.holds(view, context));
          assert.equal(holds(value), holds((value ^ ~bits) >>> 0), `${name} looks at more bits`);
          assert.notEqual(groupsWritten(offset, value, (value ^ bits) >>> 0) & (1 << index), 0, name);
        }
    });
    assert.equal(seen, 2);
    assert.equal(groupsWritten(OFFSET.GUEST_RFLAGS, 2, 0x246), groupsWritten(OFFSET.GUEST_RFLAGS, 2, 2));
  });

  it('that read memory are checked at every entry', () => {
    for (const group of ENTRY_CHECK_GROUPS) {
      if (group.checks.some((check) => check.memory !== undefined)) assert.equal(group.again, 'each', group.name);
    }
  });
});
