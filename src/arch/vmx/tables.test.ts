// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compose, decompose, extract } from './bit-field.ts';
import type { BitField } from './bit-field.ts';
import { CAPABILITY_MSRS, EPT_CAP, BASIC_HIGH, MISC, VPID_CAP, fieldExists } from './capabilities.ts';
import { CONTROLS, CONTROL_GROUPS, ENTRY, EXIT, PIN, PRIMARY, SECONDARY, controlOf, controlsSet } from './controls.ts';
import { FIELDS_END, FIELDS_OFFSET, VMCS_REGION_SIZE, parseEncoding, regionOffset } from './encoding.ts';
import { VM_INSTRUCTION_ERRORS, VM_INSTRUCTION_ERROR_NUMBER, vmInstructionError } from './errors.ts';
import { EXIT_REASON, EXIT_REASONS, EXIT_REASON_FIELD, exitReason } from './exit-reasons.ts';
import { ENCODING, FIELDS, OFFSET, fieldAtOffset, fieldNamed, fieldOfEncoding, findField } from './fields.ts';
import {
  INSTRUCTION_INFORMATION,
  decodeMemoryOperand,
  encodeGdtrIdtr,
  encodeInsOuts,
} from './instruction-information.ts';
import { encodeInvalidate, encodeLdtrTr, encodeMemoryOperand, encodeRegister } from './instruction-information.ts';
import { encodeVmreadVmwrite } from './instruction-information.ts';
import { MSR_LIST_RULES, msrEntryFailure } from './msr-load-rules.ts';
import { PROFILES } from './profiles.ts';
import * as qualifications from './qualifications.ts';

const unique = <Item>(items: readonly Item[]): boolean => new Set(items).size === items.length;

describe('VMCS fields', () => {
  it('have unique encodings, names and offsets', () => {
    assert.ok(unique(FIELDS.map((field) => field.encoding)));
    assert.ok(unique(FIELDS.map((field) => field.name)));
    assert.ok(unique(FIELDS.map((field) => field.offset)));
  });

  for (const field of FIELDS) {
    it(`${field.name}: the encoding says width and area`, () => {
      const parts = parseEncoding(field.encoding);
      assert.deepEqual([parts.width, parts.area, parts.high, parts.reserved], [field.width, field.area, false, 0]);
      assert.equal(field.access, field.area === 'exitInformation' ? 'ro' : 'rw');
    });
  }

  it('lie 8-byte aligned inside the region, after the header', () => {
    for (const field of FIELDS) {
      assert.ok(field.offset >= FIELDS_OFFSET && field.offset + 8 <= FIELDS_END, field.name);
      assert.equal(field.offset % 8, 0, field.name);
    }
    assert.ok(FIELDS_END <= VMCS_REGION_SIZE);
  });

  it('keep their places: the layout is part of the revision identifier', () => {
    assert.deepEqual(
      [OFFSET.VIRTUAL_PROCESSOR_ID, OFFSET.EPT_POINTER, OFFSET.PIN_BASED_VM_EXEC_CONTROL, OFFSET.HOST_RIP, FIELDS_END],
      [64, 424, 1120, 2008, 2048],
    );
  });

  it('have no place for an index beyond what the layout reserves', () => {
    assert.equal(regionOffset(0x0400), -1);
    assert.equal(regionOffset(0x0010), -1);
    assert.equal(regionOffset(0x6c20), -1);
  });

  it('are found by encoding, whole or upper half', () => {
    assert.equal(fieldOfEncoding(0x681c)?.name, 'GUEST_RSP');
    assert.equal(fieldOfEncoding(0x201b)?.name, 'EPT_POINTER');
    for (const field of FIELDS) {
      assert.equal(fieldOfEncoding(field.encoding), field);
      assert.equal(fieldOfEncoding(field.encoding + 1), field.width === 'u64' ? field : undefined, field.name);
    }
  });

  it('are not found by encodings with reserved bits or of nothing', () => {
    for (const encoding of [0x7fff, 0x8000 + 0x681c, 0x1000, 0x4026, 0x10000681c, -1]) {
      assert.equal(fieldOfEncoding(encoding === 0x10000681c ? 0x681c | 0x10000 : encoding), undefined);
    }
  });

  it('are found by name and by offset', () => {
    assert.equal(fieldNamed('GUEST_RIP').encoding, ENCODING.GUEST_RIP);
    assert.equal(findField('GUEST_RIP'), fieldNamed('GUEST_RIP'));
    assert.equal(findField('GUEST_RIPX'), undefined);
    assert.equal(fieldAtOffset(OFFSET.HOST_CR3)?.name, 'HOST_CR3');
    assert.equal(fieldAtOffset(0), undefined);
  });

  it('exist where their control is supported', () => {
    const exists = (name: keyof typeof OFFSET, profile: keyof typeof PROFILES): boolean =>
      fieldExists(PROFILES[profile], fieldNamed(name));
    assert.deepEqual([exists('EPT_POINTER', 'paper-1'), exists('VMREAD_BITMAP', 'paper-1')], [true, false]);
    assert.deepEqual([exists('VMREAD_BITMAP', 'modern-1'), exists('PML_ADDRESS', 'modern-1')], [true, false]);
    assert.deepEqual([exists('GUEST_IA32_PAT', 'paper-1'), exists('GUEST_IA32_PAT', 'modern-1')], [false, true]);
    assert.deepEqual([exists('PID_POINTER_TABLE', 'modern-1'), exists('GUEST_RIP', 'paper-1')], [false, true]);
  });
});

describe('controls', () => {
  it('have one name and one bit each in their group', () => {
    assert.ok(unique(CONTROLS.map((row) => `${row.group}.${row.name}`)));
    assert.ok(unique(CONTROLS.map((row) => `${row.group}.${row.bit}`)));
  });

  it('have the masks that Linux knows them by', () => {
    assert.deepEqual(
      [
        PIN.VIRTUAL_NMIS,
        PRIMARY.ACTIVATE_SECONDARY_CONTROLS,
        SECONDARY.ENABLE_EPT,
        EXIT.LOAD_IA32_EFER,
        ENTRY.IA32E_MODE_GUEST,
      ],
      [0x20, 0x80000000, 2, 0x200000, 0x200],
    );
    assert.equal(controlOf('secondary.UNRESTRICTED_GUEST').bit, 7);
    assert.deepEqual(controlsSet('pin', 0x29), ['EXTERNAL_INTERRUPT_EXITING', 'NMI_EXITING', 'VIRTUAL_NMIS']);
  });

  it('relax only members of default1, and only named ones', () => {
    for (const { group, default1, relaxedByTrue } of CONTROL_GROUPS) {
      for (const bit of relaxedByTrue) {
        assert.ok(default1.includes(bit));
        assert.ok(CONTROLS.some((row) => row.group === group && row.bit === bit));
      }
    }
  });

  it('name capability MSRs with distinct numbers', () => {
    assert.ok(unique(Object.values(CAPABILITY_MSRS)));
  });
});

describe('bit layouts', () => {
  const layouts: [string, { readonly [name: string]: BitField }][] = [
    ...Object.entries(qualifications).filter(([name]) => !['CR_ACCESS_TYPE', 'INTERRUPTION_TYPE'].includes(name)),
    ...Object.entries(INSTRUCTION_INFORMATION),
    ...Object.entries({ EXIT_REASON_FIELD, BASIC_HIGH, MISC, EPT_CAP, VPID_CAP }),
  ] as never;
  for (const [name, layout] of layouts) {
    it(`${name}: fields do not overlap and lie within 32 bits`, () => {
      const owners = new Map<number, string>();
      for (const [part, field] of Object.entries(layout)) {
        for (let bit = field.low; bit < field.low + field.width; bit++) {
          assert.ok(bit < 32, part);
          assert.equal(owners.get(bit), undefined, `${part} overlaps`);
          owners.set(bit, part);
        }
      }
    });
  }

  it('compose and decompose are inverse', () => {
    const values = { SIZE_MINUS_1: 3, DIRECTION: 1, STRING: 0, REP: 1, OPERAND_ENCODING: 0, PORT: 0xfff0 };
    const half = compose(qualifications.IO_INSTRUCTION, values);
    assert.equal(half, 0xfff0002b);
    assert.deepEqual(decompose(qualifications.IO_INSTRUCTION, half), values);
    assert.equal(extract(qualifications.INVALID_STATE.CAUSE, 0xffffffff), 0xffffffff);
    assert.equal(compose(qualifications.INVALID_STATE, { CAUSE: 0xfffffffe }), 0xfffffffe);
  });
});

describe('exit reasons', () => {
  it('are in order, unique, and found by number', () => {
    const numbers = EXIT_REASONS.map((reason) => reason.number as number);
    assert.deepEqual(
      numbers,
      [...numbers].sort((left, right) => left - right),
    );
    assert.ok(unique(numbers) && unique(EXIT_REASONS.map((reason) => reason.name)));
    assert.equal(exitReason(48)?.name, 'EPT_VIOLATION');
    assert.equal(exitReason(35), undefined);
    assert.deepEqual([EXIT_REASON.CPUID, EXIT_REASON.HLT, EXIT_REASON.INVALID_STATE], [10, 12, 33]);
  });

  it('agree with themselves on what the information fields hold', () => {
    for (const reason of EXIT_REASONS) {
      if (reason.instructionInformation !== 'none') assert.equal(reason.instructionLength, 'always', reason.name);
      if (reason.qualification === 'displacement') assert.notEqual(reason.instructionInformation, 'none', reason.name);
      if (reason.class === 'instruction' && reason.name !== 'TASK_SWITCH') {
        assert.equal(reason.instructionLength, 'always', reason.name);
        assert.equal(reason.idtVectoring, 'never', reason.name);
      }
      if (reason.class === 'trap' || reason.class === 'entry') assert.equal(reason.instructionLength, 'never');
    }
  });
});

describe('instruction information', () => {
  const operand = { addressSize: 64, segment: 3, base: 0, index: 9, scale: 8 } as const;

  it('encodes memory operands', () => {
    assert.equal(encodeMemoryOperand(operand), (3 | (2 << 7) | (3 << 15) | (9 << 18)) >>> 0);
    assert.deepEqual(decodeMemoryOperand(encodeMemoryOperand(operand)), operand);
    const absolute = { addressSize: 32, segment: 5 } as const;
    assert.equal(encodeMemoryOperand(absolute), (1 << 7) | (5 << 15) | (1 << 22) | (1 << 27));
    assert.deepEqual(decodeMemoryOperand(encodeMemoryOperand(absolute)), absolute);
  });

  it('encodes each family', () => {
    assert.equal(encodeVmreadVmwrite({ register: 11 }, 13), ((11 << 3) | (1 << 10) | (13 << 28)) >>> 0);
    assert.equal(encodeVmreadVmwrite({ memory: operand }, 1), (encodeMemoryOperand(operand) | (1 << 28)) >>> 0);
    assert.equal(encodeInvalidate(operand, 15), (encodeMemoryOperand(operand) | (15 << 28)) >>> 0);
    assert.equal(encodeGdtrIdtr('LIDT', operand, 32), (encodeMemoryOperand(operand) | (1 << 11) | (3 << 28)) >>> 0);
    assert.equal(encodeGdtrIdtr('SGDT', operand, 64), encodeMemoryOperand(operand));
    assert.equal(encodeLdtrTr('LTR', { register: 8 }), ((8 << 3) | (1 << 10) | (3 << 28)) >>> 0);
    assert.equal(encodeRegister(15, 64), (15 << 3) | (2 << 11));
    assert.equal(encodeInsOuts(16, 3), 3 << 15);
  });
});

describe('VM-instruction errors', () => {
  it('are 1 to 28 without the four numbers that do not exist', () => {
    const missing = [14, 21, 23, 27];
    const expected = Array.from({ length: 28 }, (_, index) => index + 1).filter((number) => !missing.includes(number));
    assert.deepEqual(
      VM_INSTRUCTION_ERRORS.map((error) => error.number),
      expected,
    );
    assert.equal(VM_INSTRUCTION_ERROR_NUMBER.ENTRY_EVENTS_BLOCKED_BY_MOV_SS, 26);
    assert.equal(vmInstructionError(14), undefined);
    assert.equal(vmInstructionError(7)?.name, 'ENTRY_INVALID_CONTROL_FIELD');
  });
});

describe('MSR lists', () => {
  const context = { x2apicMode: true, inSmm: false };
  const cases: readonly (readonly [
    id: string,
    list: 'entryLoad' | 'exitLoad' | 'exitStore',
    index: number,
    reserved: number,
  ])[] = [
    ['msr.fs-base', 'entryLoad', 0xc0000100, 0],
    ['msr.gs-base', 'exitLoad', 0xc0000101, 0],
    ['msr.x2apic', 'exitStore', 0x808, 0],
    ['msr.smm-monitor', 'entryLoad', 0x9b, 0],
    ['msr.bios-update', 'entryLoad', 0x79, 0],
    ['msr.bios-sign-id', 'entryLoad', 0x8b, 0],
    ['msr.smbase', 'exitStore', 0x9e, 0],
    ['msr.reserved', 'entryLoad', 0x277, 1],
  ];
  for (const [id, list, index, reserved] of cases) {
    it(`${id} is broken by its example`, () => {
      assert.equal(msrEntryFailure(list, index, reserved, context)?.id, id);
    });
  }

  it('every rule has an example', () => {
    assert.deepEqual(
      MSR_LIST_RULES.map((rule) => rule.id),
      cases.map(([id]) => id),
    );
  });

  it('leave other entries alone', () => {
    assert.equal(msrEntryFailure('exitStore', 0xc0000100, 0, context), undefined);
    assert.equal(msrEntryFailure('entryLoad', 0x808, 0, { x2apicMode: false, inSmm: false }), undefined);
    assert.equal(msrEntryFailure('entryLoad', 0x900, 0, context), undefined);
    assert.equal(msrEntryFailure('entryLoad', 0x9b, 0, { x2apicMode: true, inSmm: true }), undefined);
    assert.equal(msrEntryFailure('entryLoad', 0xc0000080 | 0, 0, context), undefined);
  });
});
