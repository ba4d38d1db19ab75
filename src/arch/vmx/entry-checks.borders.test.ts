// SPDX-License-Identifier: Apache-2.0
// Table: entry checks at their borders: the last value that is kept and the first that is not, each condition of a rule alone,
// how each rule fails, and when its group is checked again. See: SDM 27.2 Checks on VMX Controls and Host-State Area, 27.3
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ENTRY, EXIT, PIN, PRIMARY, SECONDARY } from './controls.ts';
import { ENTRY_CHECKS, ENTRY_CHECK_GROUPS, GROUPS_SAVED } from './entry-checks.ts';
import type { ProcessorFacts } from './processor-facts.ts';
import { exampleVmcs } from './example-vmcs.ts';
import { OFFSET } from './fields.ts';
import type { FieldName } from './fields.ts';
import {
  EVERYTHING,
  LINK,
  all,
  clear,
  entry,
  entryToSmm,
  ept,
  eptpSwitching,
  exit,
  facts,
  guestCet,
  hlt,
  hostCet,
  inSmm,
  inject,
  interruptDelivery,
  legacyBoth,
  legacyGuest,
  linked,
  memory,
  or,
  paeGuest,
  pin,
  postedInterrupts,
  primary,
  realMode,
  secondary,
  set,
  tprShadow,
  unrestrictedGuest,
  usable,
  userGuest,
} from './entry-check-changes.test.ts';
import type { Change } from './entry-check-changes.test.ts';
import { firstFailed } from './entry-check-examples.test.ts';

function outcome(...changes: readonly Change[]): string | undefined {
  const vmcs = exampleVmcs(EVERYTHING);
  all(...changes)(vmcs);
  return firstFailed(vmcs)?.id;
}
const kept = undefined;
type Example = readonly [what: string, expected: string | undefined, ...changes: Change[]];
function table(examples: readonly Example[]): void {
  for (const [what, expected, ...changes] of examples)
    it(`${what}: ${expected ?? 'kept'}`, () => assert.equal(outcome(...changes), expected));
}
/** All bits of a field, one at a time, on top of `from`: those that break this rule. */
function bitsThatBreak(id: string, field: FieldName, ...from: Change[]): number[] {
  return Array.from({ length: 32 }, (_, bit) => bit).filter(
    (bit) => outcome(...from, or(field, (1 << bit) >>> 0)) === id,
  );
}
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe('how each check fails', () => {
  const QUALIFICATIONS: readonly (readonly [RegExp, number])[] = [
    [/^guest\.pdpte/, 2],
    [/^guest\.interruptibility\.nmi-sti$/, 3],
    [/^guest\.link-pointer\./, 4],
    [/^guest\./, 0],
  ];
  for (const { id, failure, stage } of ENTRY_CHECKS)
    it(id, () => {
      if (id.startsWith('controls.'))
        assert.deepEqual([stage, failure], ['controls', { kind: 'VMfailValid', error: 7 }]);
      else if (id.startsWith('host.')) assert.deepEqual([stage, failure], ['host', { kind: 'VMfailValid', error: 8 }]);
      else {
        const qualification = QUALIFICATIONS.find(([ids]) => ids.test(id))?.[1];
        assert.deepEqual(failure, { kind: 'exit', reason: 33, qualification });
        assert.equal(stage, qualification === 2 ? 'pdpte' : 'guest');
      }
    });
});

describe('when a group is checked again', () => {
  const EACH = ['tpr-threshold', 'address-space', 'smm', 'link-pointer', 'pdptes'];
  const SAVED = ['guest-registers', 'rip-rflags', 'interruptibility', 'blocking', 'nmi-injection', 'pending-debug'];
  ENTRY_CHECK_GROUPS.forEach(({ name, again, checks }, index) =>
    it(name, () => {
      assert.equal(again, EACH.includes(name) ? 'each' : SAVED.includes(name) ? 'saved' : 'written');
      for (const field of checks.flatMap((check) => check.reads))
        if (again !== 'each')
          assert.equal((GROUPS_SAVED[OFFSET[field] >> 3] >>> index) & 1, again === 'saved' ? 1 : 0, field);
    }),
  );
});

describe('borders of the controls', () => {
  const both = all(tprShadow, set('TPR_THRESHOLD', 0xf));
  const vtpr = (value: number): Change => memory(0x9080, value);
  const delivered = (vector: number): Change => inject(3, vector, 0x800);
  const WITH_CODE = [8, 10, 11, 12, 13, 14, 17];
  table([
    ['I/O bitmaps are not looked at without their control', kept, set('IO_BITMAP_A', 1), set('IO_BITMAP_B', 1)],
    ['nor with unconditional exiting alone', kept, set('IO_BITMAP_A', 1), primary(PRIMARY.UNCONDITIONAL_IO_EXITING)],
    ['I/O bitmap A', 'controls.io-bitmap-a.aligned', set('IO_BITMAP_A', 1), primary(PRIMARY.USE_IO_BITMAPS)],
    ['with MSR bitmaps only', kept, set('IO_BITMAP_A', 1), primary(PRIMARY.USE_MSR_BITMAPS)],
    ['a threshold with all four bits', kept, both, vtpr(0xf0)],
    ['one above VTPR', 'controls.tpr-threshold.vtpr', both, vtpr(0xe0)],
    ['a threshold of 8 above VTPR 7', 'controls.tpr-threshold.vtpr', tprShadow, set('TPR_THRESHOLD', 8), vtpr(0x70)],
    ['a threshold of 1 above VTPR 0', 'controls.tpr-threshold.vtpr', tprShadow, set('TPR_THRESHOLD', 1), vtpr(0x0f)],
    [
      'more of VTPR does not count',
      'controls.tpr-threshold.vtpr',
      tprShadow,
      set('TPR_THRESHOLD', 1),
      vtpr(0xffffff0f),
    ],
    [
      'nor with APIC accesses',
      kept,
      tprShadow,
      set('TPR_THRESHOLD', 6),
      vtpr(0),
      secondary(SECONDARY.VIRTUALIZE_APIC_ACCESSES),
    ],
    ['nor with virtual-interrupt delivery', kept, interruptDelivery, set('TPR_THRESHOLD', 6), vtpr(0)],
    [
      'whatever other secondary control there is',
      'controls.tpr-threshold.vtpr',
      tprShadow,
      set('TPR_THRESHOLD', 6),
      vtpr(0),
      secondary(SECONDARY.ENABLE_RDTSCP | 2),
      set('EPT_POINTER', 0x301e),
    ],
    ['the threshold is free without a TPR shadow', kept, set('TPR_THRESHOLD', 0xfffffff0)],
    ['and with virtual-interrupt delivery', kept, interruptDelivery, set('TPR_THRESHOLD', 0xfffffff0)],
    ['bit 31 of it is not', 'controls.tpr-threshold.reserved', tprShadow, set('TPR_THRESHOLD', 0x80000000)],
    [
      'an NMI window needs virtual NMIs',
      kept,
      pin(PIN.NMI_EXITING | PIN.VIRTUAL_NMIS),
      primary(PRIMARY.NMI_WINDOW_EXITING),
    ],
    [
      'and nothing else will do',
      'controls.nmi-window',
      pin(PIN.NMI_EXITING | PIN.ACTIVATE_VMX_PREEMPTION_TIMER),
      primary(PRIMARY.NMI_WINDOW_EXITING),
    ],
    ['APIC registers need a TPR shadow', kept, tprShadow, secondary(SECONDARY.APIC_REGISTER_VIRTUALIZATION)],
    [
      'and no NMI window instead',
      'controls.apic-register.tpr-shadow',
      pin(0x28),
      primary(PRIMARY.NMI_WINDOW_EXITING),
      secondary(SECONDARY.APIC_REGISTER_VIRTUALIZATION),
    ],
    ['a notification vector of 255', kept, postedInterrupts, set('POSTED_INTR_NV', 0xff)],
    ['mode-based execution with EPT', kept, ept, secondary(SECONDARY.MODE_BASED_EXECUTE_CONTROL)],
    [
      'uncacheable EPT tables, where the processor has them',
      'controls.eptp.memory-type',
      ept,
      set('EPT_POINTER', 0x3018),
      facts({ eptCapabilities: 0x6014040 }),
    ],
    ['and where it can', kept, ept, set('EPT_POINTER', 0x3018), facts({ eptCapabilities: 0x6014140 })],
    [
      'five levels where the processor has them',
      kept,
      ept,
      set('EPT_POINTER', 0x3026),
      facts({ eptCapabilities: 0x60141c0 }),
    ],
    ['six levels', 'controls.eptp.walk-length', ept, set('EPT_POINTER', 0x302e), facts({ eptCapabilities: 0x60141c0 })],
    ['a VM function that is there', kept, eptpSwitching],
    [
      'one that is not, in the high half',
      'controls.vm-functions.reserved',
      eptpSwitching,
      set('VM_FUNCTION_CONTROL', 1, 1),
    ],
    [
      'the EPTP list without its function',
      kept,
      ept,
      secondary(SECONDARY.ENABLE_VM_FUNCTIONS),
      set('EPTP_LIST_ADDRESS', 8),
    ],
    ['and the function without its control', kept, set('VM_FUNCTION_CONTROL', 1), set('EPTP_LIST_ADDRESS', 8)],
    ['an empty MSR list may be anywhere', kept, set('VM_EXIT_MSR_LOAD_ADDR', 7, 0xffffffff)],
    [
      'one of a single entry may not',
      'controls.exit.msr-load.aligned',
      set('VM_EXIT_MSR_LOAD_ADDR', 1),
      set('VM_EXIT_MSR_LOAD_COUNT', 1),
    ],
    ['at 16 bytes', kept, set('VM_EXIT_MSR_LOAD_ADDR', 0x10), set('VM_EXIT_MSR_LOAD_COUNT', 1)],
    [
      'to the last byte of the width',
      kept,
      set('VM_EXIT_MSR_LOAD_ADDR', 0xfffffff0, 0x7f),
      set('VM_EXIT_MSR_LOAD_COUNT', 1),
    ],
    [
      'and beyond it',
      'controls.exit.msr-load.end',
      set('VM_EXIT_MSR_LOAD_ADDR', 0xfffffff0, 0x7f),
      set('VM_EXIT_MSR_LOAD_COUNT', 2),
    ],
    ['entry to SMM alone, in SMM', kept, entryToSmm],
    [
      'with the end of the dual monitor',
      'controls.entry.smm-exclusive',
      entryToSmm,
      entry(ENTRY.DEACTIVATE_DUAL_MONITOR_TREATMENT),
    ],
    [
      'the end of the dual monitor alone',
      kept,
      inSmm,
      entry(ENTRY.DEACTIVATE_DUAL_MONITOR_TREATMENT),
      set('GUEST_INTERRUPTIBILITY_INFO', 4),
    ],
    ['an event that is not valid is not looked at', kept, set('VM_ENTRY_INTR_INFO_FIELD', 0x7fffffff)],
    ['vector 255 of an interrupt', kept, inject(0, 255)],
    ['an NMI with vector 130', 'controls.injection.nmi-vector', inject(2, 130)],
    ['an exception with vector 32', 'controls.injection.exception-vector', inject(3, 32)],
    ['with vector 31', kept, inject(3, 31)],
    ['a software interrupt of 15 bytes', kept, inject(4, 0x80), set('VM_ENTRY_INSTRUCTION_LEN', 15)],
    ['a pending MTF exit has no length', kept, inject(7, 0), set('VM_ENTRY_INSTRUCTION_LEN', 16)],
    ['an interrupt has none', kept, inject(0, 0x30), set('VM_ENTRY_INSTRUCTION_LEN', 16)],
    ['an NMI has none', kept, inject(2, 2), set('VM_ENTRY_INSTRUCTION_LEN', 16)],
    [
      'a software exception has',
      'controls.injection.length.maximum',
      inject(6, 3),
      set('VM_ENTRY_INSTRUCTION_LEN', 16),
    ],
    [
      'no length where that is not permitted',
      'controls.injection.length.zero',
      inject(4, 0x80),
      facts({ misc: 0x3fe001e0 }),
    ],
    ['and where it is', kept, inject(4, 0x80), facts({ misc: 0x400001e0 })],
    [
      'an unrestricted guest in protected mode has error codes',
      'controls.injection.error-code-missing',
      unrestrictedGuest,
      inject(3, 13),
    ],
    ['and gets them', kept, unrestrictedGuest, delivered(13)],
  ]);
  it('error codes: exactly the exceptions that have them', () => {
    const vectors = range(0, 31);
    assert.deepEqual(
      vectors.filter((vector) => outcome(delivered(vector)) === kept),
      WITH_CODE,
    );
    assert.deepEqual(
      vectors.filter((vector) => outcome(inject(3, vector)) !== kept),
      WITH_CODE,
    );
  });
  it('where exceptions are free to have one, real-address mode is not', () => {
    const free = facts({ basicHigh: EVERYTHING.IA32_VMX_BASIC!.high | (1 << 24) });
    assert.equal(outcome(free, realMode, delivered(13)), 'controls.injection.error-code-unexpected');
    const withMp = set('GUEST_CR0', 0x22);
    assert.equal(outcome(free, realMode, withMp, delivered(13)), 'controls.injection.error-code-unexpected');
    assert.equal(outcome(realMode, withMp, inject(3, 13)), kept);
    assert.equal(outcome(free, unrestrictedGuest, delivered(6)), kept);
    assert.equal(outcome(free, delivered(6)), kept);
    assert.equal(outcome(free, inject(2, 2, 0x800)), 'controls.injection.error-code-unexpected');
  });
  it('reserved bits', () => {
    assert.deepEqual(
      bitsThatBreak('controls.injection.reserved', 'VM_ENTRY_INTR_INFO_FIELD', inject(0, 0x30)),
      range(12, 30),
    );
    const shadowStack = facts({ eptCapabilities: 0x6114141 | (1 << 23) });
    assert.deepEqual(bitsThatBreak('controls.eptp.reserved', 'EPT_POINTER', ept, shadowStack), range(8, 11));
    assert.deepEqual(bitsThatBreak('controls.eptp.reserved', 'EPT_POINTER', ept), range(7, 11));
    const noFlags = facts({ eptCapabilities: 0x6014140 } satisfies Partial<ProcessorFacts>);
    assert.deepEqual(bitsThatBreak('controls.eptp.accessed-dirty', 'EPT_POINTER', ept, noFlags), [6]);
    const list = all(set('VM_ENTRY_MSR_LOAD_ADDR', 0), set('VM_ENTRY_MSR_LOAD_COUNT', 1));
    assert.deepEqual(bitsThatBreak('controls.entry.msr-load.aligned', 'VM_ENTRY_MSR_LOAD_ADDR', list), range(0, 3));
  });
});

describe('borders of the host state', () => {
  table([
    ['SSP high half without CET', kept, legacyBoth, set('HOST_SSP', 3, 1)],
    ['SSP that is not canonical without CET', kept, set('HOST_SSP', 0, 0x8000)],
    ['SSP of a legacy host may be anything below 4 GBytes', kept, legacyBoth, hostCet, set('HOST_SSP', 0xfffffff8)],
    ['SSP + 1', 'host.ssp.aligned', hostCet, set('HOST_SSP', 1)],
    ['neither CR4.CET nor CR0.WP', kept, clear('HOST_CR0', 1 << 16)],
    ['CR4.CET with CR0.WP', kept, facts({ cr4Fixed1: 0xffffffff }), or('HOST_CR4', 1 << 23)],
    ['the high half of CR4', 'host.cr4.must-be-0', set('HOST_CR4', 0x20a0, 1)],
    ['the high half of EFER', 'host.efer.reserved', exit(EXIT.LOAD_IA32_EFER), set('HOST_IA32_EFER', 0xd01, 1)],
    [
      'the counters without their control',
      kept,
      set('HOST_IA32_PERF_GLOBAL_CTRL', 4, 4),
      facts({ perfGlobalCtrlSupported: { low: 3, high: 7 } }),
    ],
    ['and with the one beside it', kept, set('HOST_IA32_PERF_GLOBAL_CTRL', 4), exit(1 << 13)],
  ]);
});

describe('borders of the guest registers', () => {
  const loadEfer = entry(ENTRY.LOAD_IA32_EFER);
  table([
    ['the high half of DEBUGCTL', 'guest.debugctl', entry(ENTRY.LOAD_DEBUG_CONTROLS), set('GUEST_IA32_DEBUGCTL', 0, 1)],
    ['EFER is free without its control', kept, set('GUEST_IA32_EFER', 0x500)],
    [
      'LME without paging',
      kept,
      unrestrictedGuest,
      legacyGuest,
      clear('GUEST_CR0', 0x80000000),
      loadEfer,
      set('GUEST_IA32_EFER', 0x100),
    ],
    ['LME and not LMA with paging', 'guest.efer.lme', legacyGuest, loadEfer, set('GUEST_IA32_EFER', 0x100)],
    ['neither with paging', kept, legacyGuest, loadEfer, set('GUEST_IA32_EFER', 0)],
    ['neither, though NXE and SCE are', kept, legacyGuest, loadEfer, set('GUEST_IA32_EFER', 0x801)],
    ['UINV 255', kept, entry(ENTRY.LOAD_UINV), set('GUEST_UINV', 0xff)],
    ['limits of FFFFH', kept, set('GUEST_GDTR_LIMIT', 0xffff), set('GUEST_IDTR_LIMIT', 0xffff)],
    ['10000H, IDTR', 'guest.idtr.limit', set('GUEST_IDTR_LIMIT', 0x10000)],
    ['64-bit RIP in compatibility mode', 'guest.rip.high', clear('GUEST_CS_AR_BYTES', 0x2000), set('GUEST_RIP', 0, 1)],
    [
      '64-bit RIP outside IA-32e mode, whatever CS.L',
      'guest.rip.high',
      legacyGuest,
      or('GUEST_CS_AR_BYTES', 0x2000),
      set('GUEST_RIP', 0, 1),
    ],
    ['SSP without CET', kept, set('GUEST_SSP', 3, 0x10000)],
    ['SSP of a legacy guest with all bits', kept, legacyGuest, guestCet, set('GUEST_SSP', 0xfffffffc)],
    ['the high half of RFLAGS', 'guest.rflags.reserved', set('GUEST_RFLAGS', 2, 1)],
    ['CF is not bit 1', 'guest.rflags.bit1', set('GUEST_RFLAGS', 1)],
    ['CF and bit 1', kept, set('GUEST_RFLAGS', 3)],
    ['CR0.NE for an unrestricted guest', 'guest.cr0.must-be-1', realMode, clear('GUEST_CR0', 0x20)],
    ['CR0.PG for a guest that is not', 'guest.cr0.must-be-1', legacyGuest, clear('GUEST_CR0', 0x80000000)],
    ['CR0.PE for a guest that is not', 'guest.cr0.must-be-1', legacyGuest, clear('GUEST_CR0', 1)],
  ]);
  it('reserved bits', () => {
    assert.deepEqual(bitsThatBreak('guest.rflags.reserved', 'GUEST_RFLAGS', set('GUEST_RFLAGS', 2)), [
      3,
      5,
      15,
      ...range(22, 31),
    ]);
    assert.deepEqual(
      bitsThatBreak('guest.bndcfgs.reserved', 'GUEST_BNDCFGS', entry(ENTRY.LOAD_IA32_BNDCFGS)),
      range(2, 11),
    );
  });
  it('PAT: each byte of both halves, each bit', () => {
    for (const field of ['low', 'high'])
      for (let byte = 0; byte < 4; byte++)
        for (let type = 0; type < 256; type++) {
          const value = (type << (8 * byte)) >>> 0;
          const pat = field === 'low' ? set('GUEST_IA32_PAT', value) : set('GUEST_IA32_PAT', 0, value);
          const expected = [0, 1, 4, 5, 6, 7].includes(type) ? kept : 'guest.pat';
          if (type < 9 || (type & (type - 1)) === 0) assert.equal(outcome(entry(ENTRY.LOAD_IA32_PAT), pat), expected);
        }
  });
});

describe('borders of the segments', () => {
  const ds = (rights: number, selector: number, ...more: Change[]): string | undefined =>
    outcome(usable, set('GUEST_DS_AR_BYTES', rights), set('GUEST_DS_SELECTOR', selector), ...more);
  it('DS: a DPL below the RPL for conforming code only, or for unrestricted guests', () => {
    const RIGHTS = 0xc090;
    const results = range(0, 15).map((type) => ds(RIGHTS | type, 3));
    const expected = range(0, 15).map((type) =>
      (type & 1) === 0
        ? 'guest.ds.accessed'
        : type === 9 || type === 13
          ? 'guest.ds.readable'
          : type > 11
            ? kept
            : 'guest.ds.dpl',
    );
    assert.deepEqual(results, expected);
    assert.equal(ds(RIGHTS | 3, 3, unrestrictedGuest), kept);
    assert.equal(ds(RIGHTS | 0x63, 3), kept);
    assert.equal(ds(RIGHTS | 0x43, 3), 'guest.ds.dpl');
    assert.equal(outcome(set('GUEST_DS_AR_BYTES', 0x1c093), set('GUEST_DS_SELECTOR', 3)), kept, 'unusable');
  });
  it('CS: type and DPL against SS', () => {
    const cs = (type: number, dpl: number, ...more: Change[]): string | undefined =>
      outcome(...more, set('GUEST_CS_AR_BYTES', 0xa090 | (dpl << 5) | type));
    assert.deepEqual(
      [9, 11].map((type) => [0, 1, 2, 3].map((dpl) => cs(type, dpl, userGuest))),
      Array(2).fill(['guest.cs.dpl', 'guest.cs.dpl', 'guest.cs.dpl', kept]),
    );
    assert.deepEqual(
      [13, 15].map((type) => [0, 1, 2, 3].map((dpl) => cs(type, dpl, userGuest))),
      Array(2).fill([kept, kept, kept, kept]),
    );
    const ring0 = unrestrictedGuest;
    assert.deepEqual(
      [0, 3].map((dpl) => cs(13, dpl, ring0)),
      [kept, 'guest.cs.dpl'],
    );
    assert.deepEqual(
      [0, 1, 2, 3].map((dpl) => outcome(unrestrictedGuest, legacyGuest, set('GUEST_CS_AR_BYTES', 0xc093 | (dpl << 5)))),
      [kept, ...Array(3).fill('guest.cs.dpl')],
    );
  });
  it('SS: type, and its DPL where CS is of type 3 or there is no protection', () => {
    const ss = range(0, 15).filter((type) => outcome(set('GUEST_SS_AR_BYTES', 0xc090 | type)) === kept);
    assert.deepEqual(ss, [3, 7]);
    const dpl1 = or('GUEST_SS_AR_BYTES', 0x20);
    assert.equal(outcome(unrestrictedGuest, legacyGuest, set('GUEST_CS_AR_BYTES', 0xc093), dpl1), 'guest.ss.dpl-real');
    assert.equal(outcome(unrestrictedGuest, legacyGuest, set('GUEST_CS_AR_BYTES', 0xc0bb), dpl1), kept);
    const unprotected = [realMode, set('GUEST_CS_AR_BYTES', 0xbb), set('GUEST_SS_AR_BYTES', 0xb3)];
    assert.equal(outcome(...unprotected), 'guest.ss.dpl-real');
    assert.equal(outcome(...unprotected, set('GUEST_CR0', 0x22)), 'guest.ss.dpl-real', 'with MP');
  });
  table([
    ['D and L in IA-32e mode', 'guest.cs.db', or('GUEST_CS_AR_BYTES', 0x6000)],
    [
      'D without L',
      kept,
      clear('GUEST_CS_AR_BYTES', 0x2000),
      or('GUEST_CS_AR_BYTES', 0x4000),
      set('GUEST_RIP', 0x1000),
    ],
    ['D and L outside IA-32e mode', kept, legacyGuest, or('GUEST_CS_AR_BYTES', 0x6000)],
    ['RPL of the TR selector', kept, set('GUEST_TR_SELECTOR', 0x43)],
    ['RPL of the LDTR selector', kept, usable, set('GUEST_LDTR_SELECTOR', 0x4b)],
    ['bit 31 of a limit without G', 'guest.tr.granularity.page', set('GUEST_TR_LIMIT', 0x80000fff)],
  ]);
});

describe('borders of the state that is in no register', () => {
  table([
    [
      'HLT at DPL 2',
      'guest.activity.hlt-dpl',
      hlt,
      unrestrictedGuest,
      or('GUEST_SS_AR_BYTES', 0x40),
      set('GUEST_CS_AR_BYTES', 0xa09f),
    ],
    [
      'HLT at DPL 1',
      'guest.activity.hlt-dpl',
      hlt,
      unrestrictedGuest,
      or('GUEST_SS_AR_BYTES', 0x20),
      set('GUEST_CS_AR_BYTES', 0xa09f),
    ],
    ['HLT and a hardware exception 0', 'guest.activity.injection', hlt, inject(3, 0)],
    ['HLT and exception 129', 'controls.injection.exception-vector', hlt, inject(3, 129)],
    ['HLT and an interrupt with vector 129', kept, hlt, inject(0, 129)],
    [
      'HLT and a software interrupt 0',
      'guest.activity.injection',
      hlt,
      inject(4, 0),
      set('VM_ENTRY_INSTRUCTION_LEN', 2),
    ],
    ['all defined interruptibility', 'guest.interruptibility.sti-and-mov-ss', set('GUEST_INTERRUPTIBILITY_INFO', 0x1f)],
    [
      'an NMI into blocking by NMI that is not virtual',
      kept,
      inject(2, 2),
      pin(PIN.NMI_EXITING),
      set('GUEST_INTERRUPTIBILITY_INFO', 8),
    ],
    [
      'an interrupt into blocking by NMI',
      kept,
      inject(0, 0x30),
      pin(PIN.NMI_EXITING | PIN.VIRTUAL_NMIS),
      set('GUEST_INTERRUPTIBILITY_INFO', 8),
    ],
    [
      'BS under MOV SS is due with TF',
      'guest.pending-debug.bs-set',
      or('GUEST_RFLAGS', 0x100),
      set('GUEST_INTERRUPTIBILITY_INFO', 1),
    ],
    ['a link pointer with a low half of ones', 'guest.link-pointer.aligned', set('VMCS_LINK_POINTER', 0xffffffff, 0)],
    ['a link pointer with a high half of ones', 'guest.link-pointer.width', set('VMCS_LINK_POINTER', LINK, 0xffffffff)],
    ['a link pointer + 1', 'guest.link-pointer.aligned', linked, or('VMCS_LINK_POINTER', 1)],
    [
      'in SMM it may be the current VMCS, until the entry to SMM',
      kept,
      linked,
      inSmm,
      set('GUEST_INTERRUPTIBILITY_INFO', 4),
      (vmcs) => void (vmcs.context.currentVmcs = LINK),
    ],
    [
      'with the entry to SMM',
      'guest.link-pointer.current',
      linked,
      entryToSmm,
      (vmcs) => void (vmcs.context.currentVmcs = LINK),
    ],
  ]);
  it('reserved bits of pending debug exceptions and of the link pointer', () => {
    const pending = bitsThatBreak('guest.pending-debug.reserved', 'GUEST_PENDING_DBG_EXCEPTIONS');
    assert.deepEqual(pending, [...range(4, 11), 13, 15, ...range(17, 31)]);
    const pointer = bitsThatBreak(
      'guest.link-pointer.aligned',
      'VMCS_LINK_POINTER',
      set('VMCS_LINK_POINTER', 0x10000),
      memory(0x10000, EVERYTHING.IA32_VMX_BASIC!.low),
    );
    assert.deepEqual(pointer, range(0, 11));
  });
});

describe('borders of the PDPTEs', () => {
  const present = all(paeGuest, ept);
  it('reserved bits, where the entry is present', () => {
    const bits = bitsThatBreak('guest.pdpte2.field', 'GUEST_PDPTR2', present, set('GUEST_PDPTR2', 1));
    assert.deepEqual(bits, [1, 2, 5, 6, 7, 8]);
    assert.deepEqual(bitsThatBreak('guest.pdpte2.field', 'GUEST_PDPTR2', present, set('GUEST_PDPTR2', 0)), []);
    const high = (value: number): string | undefined => outcome(present, set('GUEST_PDPTR2', 1, value));
    assert.deepEqual([high(0x7f), high(0x80)], [kept, 'guest.pdpte2.field']);
  });
  it('in memory at CR3, whose low five bits do not count', () => {
    const broken = memory(0x200000 + 8, 0x1003);
    assert.equal(outcome(paeGuest, set('GUEST_CR3', 0x20001f), broken), 'guest.pdpte1.memory');
    assert.equal(outcome(paeGuest, set('GUEST_CR3', 0x200020), broken), kept);
    assert.equal(outcome(paeGuest, set('GUEST_CR3', 0x200000), memory(0x200020 + 8, 0x1003)), kept);
    assert.equal(outcome(paeGuest, set('GUEST_CR3', 0x200030), memory(0x200020 + 24, 0x1003)), 'guest.pdpte3.memory');
    assert.equal(outcome(paeGuest, set('GUEST_CR3', 0x80000000), memory(0x80000000, 0x1003)), 'guest.pdpte0.memory');
  });
  it('only with PAE paging', () => {
    const broken = memory(0x200000, 0x1003);
    const at = set('GUEST_CR3', 0x200000);
    assert.equal(outcome(at, broken), kept, 'IA-32e mode');
    assert.equal(outcome(legacyGuest, at, broken), kept, 'no PAE');
    assert.equal(
      outcome(unrestrictedGuest, paeGuest, clear('GUEST_CR0', 0x80000000), set('GUEST_PDPTR0', 0x1003)),
      kept,
      'no paging',
    );
    assert.equal(outcome(paeGuest, at, broken), 'guest.pdpte0.memory');
  });
});
