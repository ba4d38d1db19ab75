// SPDX-License-Identifier: Apache-2.0
// VM-entry rules for the guest's segment registers. A broken rule is an exit with reason 33.

import { AR_DB, AR_G, AR_L, AR_P, AR_RESERVED, AR_S, AR_UNUSABLE, CR0_PE, RFLAGS_VM } from './state-bits.ts';
import { SECONDARY_READS, canonical, group, ia32eGuest, rule, unrestricted } from './entry-check-row.ts';
import type { EntryCheckGroup, Holds, RuleDraft } from './entry-check-row.ts';
import { OFFSET } from './fields.ts';
import type { FieldName } from './fields.ts';
import { SECTION } from './sections.ts';
import type { VmcsView } from './vmcs-view.ts';

const { GUEST_CR0, GUEST_RFLAGS, GUEST_CS_SELECTOR, GUEST_SS_SELECTOR } = OFFSET;
const { GUEST_CS_AR_BYTES, GUEST_SS_AR_BYTES, GUEST_TR_AR_BYTES } = OFFSET;

const SEGMENTS = ['CS', 'SS', 'DS', 'ES', 'FS', 'GS'] as const;
const DATA_SEGMENTS = ['DS', 'ES', 'FS', 'GS'] as const;
type Register = (typeof SEGMENTS)[number] | 'LDTR' | 'TR';

const selectorOf = (register: Register): FieldName => `GUEST_${register}_SELECTOR`;
const baseOf = (register: Register): FieldName => `GUEST_${register}_BASE`;
const limitOf = (register: Register): FieldName => `GUEST_${register}_LIMIT`;
const rightsOf = (register: Register): FieldName => `GUEST_${register}_AR_BYTES`;
const idOf = (register: Register): string => `guest.${register.toLowerCase()}`;

const dpl = (rights: number): number => (rights >>> 5) & 3;
const typeOf = (rights: number): number => rights & 0xf;

/** CS and TR are always used; of the others, rules apply only while bit 16 (unusable) is 0. */
function used(register: Register): (view: VmcsView) => boolean {
  const rights = OFFSET[rightsOf(register)];
  return register === 'CS' || register === 'TR' ? () => true : (v) => (v.low(rights) & AR_UNUSABLE) === 0;
}
const ifUsed = (register: Register): string => (register === 'CS' || register === 'TR' ? '' : 'if usable, ');

// Rules of which each register has one.

function v8086Rules(register: Register): RuleDraft[] {
  const [selector, base] = [OFFSET[selectorOf(register)], OFFSET[baseOf(register)]];
  const [limit, rights] = [OFFSET[limitOf(register)], OFFSET[rightsOf(register)]];
  const id = `${idOf(register)}.v8086`;
  // prettier-ignore
  return [
    rule(`${id}.base`, `in virtual-8086 mode, the ${register} base is the selector times 16`, [selectorOf(register), baseOf(register)],
      (v) => v.high(base) === 0 && v.low(base) === v.low(selector) << 4),
    rule(`${id}.limit`, `in virtual-8086 mode, the ${register} limit is FFFFH`, [limitOf(register)],
      (v) => v.low(limit) === 0xffff),
    rule(`${id}.rights`, `in virtual-8086 mode, the ${register} access rights are F3H`, [rightsOf(register)],
      (v) => v.low(rights) === 0xf3),
  ];
}

function rightsRule(
  register: Register,
  suffix: string,
  sentence: string,
  holds: (rights: number) => boolean,
): RuleDraft {
  const rights = OFFSET[rightsOf(register)];
  const applies = used(register);
  return rule(`${idOf(register)}.${suffix}`, `${ifUsed(register)}${sentence}`, [rightsOf(register)], (v) =>
    applies(v) ? holds(v.low(rights)) : true,
  );
}

const presentRule = (register: Register): RuleDraft =>
  rightsRule(register, 'present', `the P bit of the ${register} access rights is 1`, (rights) => (rights & AR_P) !== 0);

const reservedRule = (register: Register): RuleDraft =>
  rightsRule(
    register,
    'reserved',
    `bits 11:8 and 31:17 of the ${register} access rights are 0`,
    (rights) => (rights & AR_RESERVED) === 0,
  );

function granularityRules(register: Register): RuleDraft[] {
  const [limit, rights] = [OFFSET[limitOf(register)], OFFSET[rightsOf(register)]];
  const reads = [limitOf(register), rightsOf(register)];
  const applies = used(register);
  const small: Holds = (v) => (v.low(limit) & 0xfff) === 0xfff || (v.low(rights) & AR_G) === 0;
  const large: Holds = (v) => (v.low(limit) & 0xfff00000) === 0 || (v.low(rights) & AR_G) !== 0;
  // prettier-ignore
  return [
    rule(`${idOf(register)}.granularity.byte`, `${ifUsed(register)}G of the ${register} access rights is 0 if any of bits 11:0 of its limit is 0`, reads,
      (v, c) => !applies(v) || small(v, c)),
    rule(`${idOf(register)}.granularity.page`, `${ifUsed(register)}G of the ${register} access rights is 1 if any of bits 31:20 of its limit is 1`, reads,
      (v, c) => !applies(v) || large(v, c)),
  ];
}

function canonicalBase(register: Register): RuleDraft {
  const base = OFFSET[baseOf(register)];
  const applies = used(register);
  const reads = register === 'LDTR' ? [rightsOf(register), baseOf(register)] : [baseOf(register)];
  const condition = register === 'LDTR' ? ifUsed(register) : '';
  return rule(`${idOf(register)}.base`, `${condition}the ${register} base is canonical`, reads, (v) =>
    register === 'LDTR' && !applies(v) ? true : canonical(v, base),
  );
}

function lowBase(register: Register): RuleDraft {
  const base = OFFSET[baseOf(register)];
  const applies = used(register);
  const reads = register === 'CS' ? [baseOf(register)] : [rightsOf(register), baseOf(register)];
  return rule(`${idOf(register)}.base`, `${ifUsed(register)}bits 63:32 of the ${register} base are 0`, reads, (v) =>
    applies(v) ? v.high(base) === 0 : true,
  );
}

function dataRules(register: (typeof DATA_SEGMENTS)[number]): RuleDraft[] {
  const [selector, rights] = [OFFSET[selectorOf(register)], OFFSET[rightsOf(register)]];
  const applies = used(register);
  // prettier-ignore
  return [
    rightsRule(register, 'accessed', `bit 0 (accessed) of the ${register} type is 1`, (value) => (value & 1) !== 0),
    rightsRule(register, 'readable', `a code segment in ${register} is readable (bit 1 of the type)`, (value) => (value & 8) === 0 || (value & 2) !== 0),
    rule(`${idOf(register)}.dpl`, `if usable, without "unrestricted guest" and unless it is conforming code, the DPL of ${register} is not below its RPL`,
      [...SECONDARY_READS, selectorOf(register), rightsOf(register)],
      (v) => !applies(v) || unrestricted(v) || typeOf(v.low(rights)) > 11 || dpl(v.low(rights)) >= (v.low(selector) & 3)),
  ];
}

const isSegment = (register: Register): RuleDraft =>
  rightsRule(register, 's', `the S bit of the ${register} access rights is 1`, (rights) => (rights & AR_S) !== 0);

const csType: Holds = (v) => {
  const type = typeOf(v.low(GUEST_CS_AR_BYTES));
  return (type & 9) === 9 || (type === 3 && unrestricted(v));
};

const csDpl: Holds = (v) => {
  const rights = v.low(GUEST_CS_AR_BYTES);
  const [type, ss] = [typeOf(rights), dpl(v.low(GUEST_SS_AR_BYTES))];
  if (type === 3) return dpl(rights) === 0;
  return (type & 4) === 0 ? dpl(rights) === ss : dpl(rights) <= ss;
};

// prettier-ignore
const code: RuleDraft[] = [
  lowBase('CS'),
  rule('guest.cs.type', 'the CS type is 9, 11, 13 or 15, or 3 with "unrestricted guest"', ['GUEST_CS_AR_BYTES', ...SECONDARY_READS], csType),
  isSegment('CS'),
  presentRule('CS'),
  reservedRule('CS'),
  rule('guest.cs.db', 'with "IA-32e mode guest" and CS.L, the D/B bit of the CS access rights is 0', ['VM_ENTRY_CONTROLS', 'GUEST_CS_AR_BYTES'],
    (v) => !ia32eGuest(v) || (v.low(GUEST_CS_AR_BYTES) & AR_L) === 0 || (v.low(GUEST_CS_AR_BYTES) & AR_DB) === 0),
  ...granularityRules('CS'),
];

// prettier-ignore
const stack: RuleDraft[] = [
  rule('guest.ss.rpl', 'without "unrestricted guest", the RPL of SS equals the RPL of CS', [...SECONDARY_READS, 'GUEST_CS_SELECTOR', 'GUEST_SS_SELECTOR'],
    (v) => unrestricted(v) || ((v.low(GUEST_SS_SELECTOR) ^ v.low(GUEST_CS_SELECTOR)) & 3) === 0),
  lowBase('SS'),
  rightsRule('SS', 'type', 'the SS type is 3 or 7', (rights) => typeOf(rights) === 3 || typeOf(rights) === 7),
  isSegment('SS'),
  rule('guest.ss.dpl', 'without "unrestricted guest", the DPL of SS equals its RPL', [...SECONDARY_READS, 'GUEST_SS_SELECTOR', 'GUEST_SS_AR_BYTES'],
    (v) => unrestricted(v) || dpl(v.low(GUEST_SS_AR_BYTES)) === (v.low(GUEST_SS_SELECTOR) & 3)),
  rule('guest.ss.dpl-real', 'the DPL of SS is 0 if the CS type is 3 or CR0.PE is 0', ['GUEST_CS_AR_BYTES', 'GUEST_CR0', 'GUEST_SS_AR_BYTES'],
    (v) => (typeOf(v.low(GUEST_CS_AR_BYTES)) !== 3 && (v.low(GUEST_CR0) & CR0_PE) !== 0) || dpl(v.low(GUEST_SS_AR_BYTES)) === 0),
  // After the rules for the DPL of SS, which they compare with.
  rule('guest.cs.dpl', 'the DPL of CS is 0 for type 3, equals the DPL of SS for non-conforming code and is not above it for conforming code', ['GUEST_CS_AR_BYTES', 'GUEST_SS_AR_BYTES'], csDpl),
  presentRule('SS'),
  reservedRule('SS'),
  ...granularityRules('SS'),
];

const data: RuleDraft[] = DATA_SEGMENTS.flatMap((register) => [
  ...(register === 'DS' || register === 'ES' ? [lowBase(register)] : []),
  ...dataRules(register),
  isSegment(register),
  presentRule(register),
  reservedRule(register),
  ...granularityRules(register),
]);

const ldtrUsed = used('LDTR');

// prettier-ignore
const system: RuleDraft[] = [
  canonicalBase('FS'),
  canonicalBase('GS'),
  rule('guest.tr.selector', 'TI of the TR selector is 0', ['GUEST_TR_SELECTOR'],
    (v) => (v.low(OFFSET.GUEST_TR_SELECTOR) & 4) === 0),
  canonicalBase('TR'),
  rule('guest.tr.type', 'the TR type is 11 (busy TSS), or without "IA-32e mode guest" 3 (busy 16-bit TSS)', ['VM_ENTRY_CONTROLS', 'GUEST_TR_AR_BYTES'],
    (v) => typeOf(v.low(GUEST_TR_AR_BYTES)) === 11 || (typeOf(v.low(GUEST_TR_AR_BYTES)) === 3 && !ia32eGuest(v))),
  rightsRule('TR', 's', 'the S bit of the TR access rights is 0', (rights) => (rights & AR_S) === 0),
  presentRule('TR'),
  reservedRule('TR'),
  rightsRule('TR', 'usable', 'TR is usable', (rights) => (rights & AR_UNUSABLE) === 0),
  ...granularityRules('TR'),
  rule('guest.ldtr.selector', 'if usable, TI of the LDTR selector is 0', ['GUEST_LDTR_SELECTOR', 'GUEST_LDTR_AR_BYTES'],
    (v) => !ldtrUsed(v) || (v.low(OFFSET.GUEST_LDTR_SELECTOR) & 4) === 0),
  canonicalBase('LDTR'),
  rightsRule('LDTR', 'type', 'the LDTR type is 2 (LDT)', (rights) => typeOf(rights) === 2),
  rightsRule('LDTR', 's', 'the S bit of the LDTR access rights is 0', (rights) => (rights & AR_S) === 0),
  presentRule('LDTR'),
  reservedRule('LDTR'),
  ...granularityRules('LDTR'),
];

const inV8086 = (v: VmcsView): boolean => (v.low(GUEST_RFLAGS) & RFLAGS_VM) !== 0;

export const GUEST_SEGMENT_CHECKS: readonly EntryCheckGroup[] = [
  group('segments-v8086', 'guest', SECTION.guestSegments, SEGMENTS.flatMap(v8086Rules), {
    when: {
      sentence: 'the guest will be in virtual-8086 mode',
      reads: ['GUEST_RFLAGS'],
      bits: RFLAGS_VM,
      holds: inV8086,
    },
  }),
  group('segments', 'guest', SECTION.guestSegments, [...code, ...stack, ...data], {
    when: {
      sentence: 'the guest will not be in virtual-8086 mode',
      reads: ['GUEST_RFLAGS'],
      bits: RFLAGS_VM,
      holds: (v) => !inV8086(v),
    },
  }),
  group('segments-system', 'guest', SECTION.guestSegments, system),
];
