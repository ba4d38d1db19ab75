// SPDX-License-Identifier: Apache-2.0
// INS and OUTS exit before the processor looks at their segment: L0 makes its checks.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compose } from '../../arch/vmx/bit-field.ts';
import type { FieldName } from '../../arch/vmx/fields.ts';
import { encodeInsOuts } from '../../arch/vmx/instruction-information.ts';
import { IO_INSTRUCTION } from '../../arch/vmx/qualifications.ts';
import { CODE, DEVICE, Fixture, LONG_ENTRY, PROTECTED_ENTRY } from '../l0-fixture.testing.ts';

const [RSI, RDI] = [6, 7];
const [ES, SS, DS, FS] = [0, 2, 3, 4];
const GP = '#13(0)';
const STACK = '#12(0)';
const AC = '#17(0)';
const DONE = 'done';
/** Readable code, execute-only code, read-only data, expand-down data of 32 and of 16 bits, unusable. */
const RIGHTS = { code: 0xc09b, hidden: 0xc099, constant: 0xc091, down: 0xc097, down16: 0x8097, none: 0x1c093 } as const;

interface Row {
  readonly what: string;
  readonly long?: true;
  readonly ins: boolean;
  readonly segment?: number;
  readonly at: bigint;
  readonly width?: 1 | 2 | 4;
  readonly fields?: { readonly [Name in FieldName]?: number };
  readonly outcome: string;
}

const USER = { GUEST_SS_AR_BYTES: 0xc0f3, GUEST_RFLAGS: 0x40002 } as const;

// prettier-ignore
const ROWS: readonly Row[] = [
  { what: 'INS through a code segment',                 ins: true,  at: 0x3000n, fields: { GUEST_ES_AR_BYTES: RIGHTS.code }, outcome: GP },
  { what: 'INS through read-only data',                 ins: true,  at: 0x3000n, fields: { GUEST_ES_AR_BYTES: RIGHTS.constant }, outcome: GP },
  { what: 'INS through an unusable segment',            ins: true,  at: 0x3000n, fields: { GUEST_ES_AR_BYTES: RIGHTS.none }, outcome: GP },
  { what: 'INS looks at ES and no other',               ins: true,  at: 0x3000n, segment: SS, fields: { GUEST_SS_AR_BYTES: RIGHTS.none }, outcome: DONE },
  { what: 'OUTS through a code segment',                ins: false, at: 0x3000n, segment: ES, fields: { GUEST_ES_AR_BYTES: RIGHTS.code }, outcome: DONE },
  { what: 'OUTS through execute-only code',             ins: false, at: 0x3000n, segment: DS, fields: { GUEST_DS_AR_BYTES: RIGHTS.hidden }, outcome: GP },
  { what: 'OUTS through an unusable segment',           ins: false, at: 0x3000n, segment: FS, fields: { GUEST_FS_AR_BYTES: RIGHTS.none }, outcome: GP },
  { what: 'OUTS through the stack segment',             ins: false, at: 0x3000n, segment: SS, fields: { GUEST_SS_LIMIT: 0x2fff }, outcome: STACK },
  { what: 'the last bytes within the limit',            ins: false, at: 0x3000n, segment: DS, fields: { GUEST_DS_LIMIT: 0x3003 }, outcome: DONE },
  { what: 'a byte beyond the limit',                    ins: false, at: 0x3001n, segment: DS, fields: { GUEST_DS_LIMIT: 0x3003 }, outcome: GP },
  { what: 'around the end of 4 GBytes',                 ins: false, at: 0xfffffffen, segment: DS, outcome: GP },
  { what: 'the limit of an expand-down segment',        ins: true,  at: 0x3000n, fields: { GUEST_ES_AR_BYTES: RIGHTS.down, GUEST_ES_LIMIT: 0x3000 }, outcome: GP },
  { what: 'above it',                                   ins: true,  at: 0x3001n, fields: { GUEST_ES_AR_BYTES: RIGHTS.down, GUEST_ES_LIMIT: 0x3000 }, outcome: DONE },
  { what: 'the end of a 16-bit expand-down segment',    ins: true,  at: 0xfffen, fields: { GUEST_ES_AR_BYTES: RIGHTS.down16, GUEST_ES_LIMIT: 0x3000 }, outcome: GP },
  { what: 'real-address mode has no types',             ins: true,  at: 0x3000n, fields: { GUEST_CR0: 0x20, GUEST_ES_AR_BYTES: RIGHTS.code }, outcome: DONE },
  { what: 'real-address mode has limits',               ins: true,  at: 0xfffen, fields: { GUEST_CR0: 0x20, GUEST_ES_LIMIT: 0xffff }, outcome: GP },
  { what: 'virtual-8086 mode has no types',             ins: true,  at: 0x3000n, fields: { GUEST_RFLAGS: 0x20002, GUEST_ES_AR_BYTES: RIGHTS.code }, outcome: DONE },
  { what: 'alignment is checked at level 3',            ins: false, at: 0x3002n, segment: DS, fields: { ...USER, GUEST_CR0: 0x40031 }, outcome: AC },
  { what: 'not that of an aligned word',                ins: false, at: 0x3002n, width: 2, segment: DS, fields: { ...USER, GUEST_CR0: 0x40031 }, outcome: DONE },
  { what: 'not without CR0.AM',                         ins: false, at: 0x3002n, segment: DS, fields: USER, outcome: DONE },
  { what: 'not at level 0',                             ins: false, at: 0x3002n, segment: DS, fields: { GUEST_RFLAGS: 0x40002, GUEST_CR0: 0x40031 }, outcome: DONE },
  { what: 'the segment comes before alignment',         ins: false, at: 0x3002n, segment: DS, fields: { ...USER, GUEST_CR0: 0x40031, GUEST_DS_LIMIT: 0 }, outcome: GP },
  { what: '64-bit mode looks at no type and no limit',  long: true, ins: true,  at: 0x3000n, fields: { GUEST_ES_AR_BYTES: RIGHTS.none, GUEST_ES_LIMIT: 0 }, outcome: DONE },
  { what: 'an address that is not canonical',           long: true, ins: true,  at: 0x8000_0000_0000n, outcome: GP },
  { what: 'nor is its end',                             long: true, ins: false, at: 0x7fff_ffff_fffen, segment: DS, outcome: GP },
  { what: 'by the base of FS',                          long: true, ins: false, at: 0x7fff_ffff_0000n, segment: FS, fields: { GUEST_FS_BASE: 0x10000 }, outcome: GP },
  { what: 'the base of FS counts',                      long: true, ins: false, at: -0x1000n, segment: FS, fields: { GUEST_FS_BASE: 0x5000 }, outcome: DONE },
];

function outcomeOf({ long, ins, segment = DS, at, width = 4, fields = {} }: Row): string {
  const fixture = new Fixture('modern-1', { entry: long ? LONG_ENTRY : PROTECTED_ENTRY });
  fixture.processor.general[ins ? RDI : RSI] = BigInt.asUintN(64, at);
  for (const [name, value] of Object.entries(fields) as [FieldName, number][]) fixture.processor.set(name, value);
  fixture.exit('IO_INSTRUCTION', {
    EXIT_QUALIFICATION: compose(IO_INSTRUCTION, {
      ...{ PORT: 0xe10, SIZE_MINUS_1: width - 1, DIRECTION: ins ? 1 : 0, STRING: 1 },
    }),
    VMX_INSTRUCTION_INFO: encodeInsOuts(long ? 64 : 32, segment),
    VM_EXIT_INSTRUCTION_LEN: 1,
  });
  const { injected, device, vcpu } = fixture;
  if (injected !== undefined) {
    assert.deepEqual([device.log, vcpu.rip], [[], CODE], 'the port was not reached');
    return `#${injected.vector}(${injected.errorCode ?? ''})`;
  }
  assert.deepEqual([device.log.length, vcpu.rip], [1, CODE + 1]);
  return DONE;
}

describe('the segment of INS and OUTS', () => {
  for (const row of ROWS)
    it(row.what, () => {
      const expected = row.fields?.GUEST_CR0 === 0x20 && row.outcome === GP ? '#13()' : row.outcome;
      assert.equal(outcomeOf(row), expected);
    });
});

describe('the other operand of a string instruction that reaches a device', () => {
  const moved = (code: readonly number[], fields: { readonly [Name in FieldName]?: number }): string => {
    const fixture = new Fixture('modern-1', { entry: PROTECTED_ENTRY });
    fixture.put(CODE, code);
    fixture.processor.general[RSI] = BigInt(DEVICE);
    fixture.processor.general[RDI] = 0x3000n;
    for (const [name, value] of Object.entries(fields) as [FieldName, number][]) fixture.processor.set(name, value);
    fixture.exit('EPT_VIOLATION', { EXIT_QUALIFICATION: 0x181, GUEST_PHYSICAL_ADDRESS: DEVICE });
    return fixture.injected === undefined ? DONE : `#${fixture.injected.vector}(${fixture.injected.errorCode ?? ''})`;
  };
  it('MOVS writes to no code segment, CMPS reads from one', () => {
    assert.equal(moved([0xa5], { GUEST_ES_AR_BYTES: RIGHTS.code }), GP);
    assert.equal(moved([0xa7], { GUEST_ES_AR_BYTES: RIGHTS.code }), DONE);
    assert.equal(moved([0xa7], { GUEST_ES_LIMIT: 0x2fff }), GP);
    assert.equal(moved([0xa5], {}), DONE);
  });
});
