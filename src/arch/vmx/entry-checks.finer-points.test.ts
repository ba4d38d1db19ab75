// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ENTRY, SECONDARY } from './controls.ts';
import type { VmxCapabilities } from './capabilities.ts';
import { ENTRY_CHECKS } from './entry-checks.ts';
import { exampleVmcs } from './example-vmcs.ts';
import { OFFSET, fieldAtOffset } from './fields.ts';
import { PROFILES } from './profiles.ts';
import {
  EVERYTHING,
  FIELD,
  all,
  secondary,
  entry,
  set,
  clear,
  facts,
  inject,
  unrestrictedGuest,
  legacyGuest,
  realMode,
  userGuest,
  NOT_CANONICAL,
} from './entry-check-changes.test.ts';
import type { Change } from './entry-check-changes.test.ts';
import { firstFailed } from './entry-check-examples.test.ts';

describe('entry checks: finer points', () => {
  const outcome = (capabilities: VmxCapabilities, ...changes: Change[]): string | undefined => {
    const vmcs = exampleVmcs(capabilities);
    all(...changes)(vmcs);
    return firstFailed(vmcs)?.id;
  };

  it('secondary controls count only when activated', () => {
    const idle = all(secondary(SECONDARY.UNRESTRICTED_GUEST | 0x20000000), clear(FIELD.primary, 0x80000000));
    assert.equal(outcome(EVERYTHING, idle), undefined);
  });

  it('no error code is delivered in real mode', () => {
    assert.equal(outcome(EVERYTHING, realMode, inject(3, 13)), undefined);
    assert.equal(outcome(EVERYTHING, realMode, inject(3, 13, 0x800)), 'controls.injection.error-code-unexpected');
  });

  it('with IA32_VMX_BASIC[56], any hardware exception may have an error code or not', () => {
    const free = facts({ basicHigh: EVERYTHING.IA32_VMX_BASIC!.high | (1 << 24) });
    assert.equal(outcome(EVERYTHING, free, inject(3, 6, 0x800)), undefined);
    assert.equal(outcome(EVERYTHING, free, inject(3, 13)), undefined);
    assert.equal(outcome(EVERYTHING, free, inject(0, 0x30, 0x800)), 'controls.injection.error-code-unexpected');
  });

  it('each activity state takes its events', () => {
    const events = {
      interrupt: inject(0, 0x30),
      nmi: inject(2, 2),
      db: inject(3, 1),
      mc: inject(3, 18),
      mtf: inject(7, 0),
      ud: inject(3, 6),
    };
    const taken = [1, 2, 3].map((state) =>
      Object.keys(events).filter(
        (name) =>
          outcome(EVERYTHING, set('GUEST_ACTIVITY_STATE', state), events[name as keyof typeof events]) === undefined,
      ),
    );
    assert.deepEqual(taken, [['interrupt', 'nmi', 'db', 'mc', 'mtf'], ['nmi', 'mc'], []]);
  });

  it('event type 7 needs the monitor trap flag', () => {
    assert.equal(outcome(PROFILES['paper-1'], inject(7, 0)), 'controls.injection.type');
    assert.equal(outcome(PROFILES['modern-1'], inject(7, 0)), undefined);
  });

  it('PAT bytes 2 and 3 do not exist, the other six do', () => {
    const valid = [...Array(256).keys()].filter(
      (type) => outcome(EVERYTHING, entry(ENTRY.LOAD_IA32_PAT), set('GUEST_IA32_PAT', 0, type << 16)) === undefined,
    );
    assert.deepEqual(valid, [0, 1, 4, 5, 6, 7]);
  });

  it('conforming CS may be less privileged than SS says, never more', () => {
    const conforming = all(userGuest, set('GUEST_CS_AR_BYTES', 0xa09f));
    assert.equal(outcome(EVERYTHING, conforming), undefined);
    assert.equal(outcome(EVERYTHING, set('GUEST_CS_AR_BYTES', 0xa0ff)), 'guest.cs.dpl');
  });

  it('CS type 3 needs "unrestricted guest"', () => {
    assert.equal(outcome(EVERYTHING, legacyGuest, set('GUEST_CS_AR_BYTES', 0xc093)), 'guest.cs.type');
    assert.equal(outcome(EVERYTHING, unrestrictedGuest, legacyGuest, set('GUEST_CS_AR_BYTES', 0xc093)), undefined);
  });

  it('unusable registers are not looked at', () => {
    const junk = all(
      ...(['DS', 'ES', 'SS'] as const).map((name) => set(`GUEST_${name}_AR_BYTES`, 0x10f00)),
      set('GUEST_LDTR_BASE', 0, NOT_CANONICAL),
    );
    assert.equal(outcome(EVERYTHING, junk), undefined);
  });

  it('a 16-bit TSS is for guests outside IA-32e mode', () => {
    assert.equal(outcome(EVERYTHING, set('GUEST_TR_AR_BYTES', 0x83)), 'guest.tr.type');
    assert.equal(outcome(EVERYTHING, legacyGuest, set('GUEST_TR_AR_BYTES', 0x83)), undefined);
  });

  it('addresses may use the whole physical-address width and no more', () => {
    const at = (width: number, high: number): string | undefined =>
      outcome(EVERYTHING, facts({ physicalAddressWidth: width }), set('GUEST_CR3', 0, high));
    assert.deepEqual(
      [at(46, 0x3fff), at(46, 0x4000), at(52, 0xfffff), at(32, 1)],
      [undefined, 'guest.cr3.width', undefined, 'guest.cr3.width'],
    );
  });

  it('the offsets that the checks name are fields', () => {
    for (const check of ENTRY_CHECKS)
      for (const name of check.reads) assert.equal(fieldAtOffset(OFFSET[name])?.name, name);
  });
});
