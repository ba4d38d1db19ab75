// SPDX-License-Identifier: Apache-2.0

import type { Draft } from '../draft.ts';
import type { Form } from '../form.ts';
import { BIT_FORMS } from './bits.ts';
import { INTEGER_FORMS } from './integer.ts';
import { SSE_FORMS } from './sse.ts';
import { STRING_FORMS } from './string.ts';

/** Ignored in 64-bit mode. See: SDM 3.4.4 Segment Loading Instructions in IA-32e Mode. */
const SEGMENTS = [0x26, 0x2e, 0x36, 0x3e];
/** REX counts only right before the opcode. See: SDM 2.2.1 REX Prefixes. */
const DEAD_REX = [0x40, 0x48, 0x4f, 0x41, 0x44];
const REPEATS = [0xf2, 0xf3];

/**
 * What else may stand before this form without a meaning: a second 66; 66 beside REX.W; F2 and F3 where no row asks for them.
 * F3 90 with REX.B is PAUSE to decoders written after Intel's manual, and an exchange to AMD's processors.
 */
function meaningless(d: Draft): number[] {
  const { form } = d;
  const size = form.size === 2 || form.size === 8 ? [0x66] : [];
  const address = form.rm === 'register' ? [0x67] : [];
  const described = /^(0F|66|F2|F3|VEX|90)/.test(form.code) || form.size === 0 || form.repeat || form.emit;
  return described ? [] : [...size, ...address, ...REPEATS];
}

/**
 * Up to 14 of them, most often few: the limit of 15 bytes is met and passed. See: SDM 2.3.11 AVX Instruction Length.
 * A REX among them must not come last, where it would count.
 */
function redundant(d: Draft): number[] {
  const { random } = d;
  const count = random.chance(75) ? random.below(5) : random.below(15);
  const all = [...SEGMENTS, ...meaningless(d)];
  const prefixes = Array.from({ length: count }, () => random.pick(random.chance(20) ? DEAD_REX : all));
  return prefixes.length > 0 ? [...prefixes, random.pick(SEGMENTS)] : [];
}

/** Forms of all kinds, with and without memory, immediates, mandatory prefixes, VEX. */
const CHOSEN = [
  ...[
    'add 01 /r',
    'add 03 /r',
    'sub 81 /5 iz',
    'cmp 83 /7 ib',
    'mov 89 /r',
    'mov 8B /r',
    'mov B8+r iv',
    'mov C7 /0 iz',
    'imul 69 /r iz',
  ],
  ...[
    'lea 8D /r',
    'xadd 0F C1 /r',
    'cmovz 0F 44 /r',
    'movzx 0F B6 /r',
    'mul F7 /4',
    'shl C1 /4 ib',
    'bts 0F AB /r',
    'shld 0F A4 /r ib',
  ],
  ...[
    'popcnt F3 0F B8 /r',
    'crc32 F2 0F 38 F1 /r',
    'mov A1',
    'xchg 90+r',
    'movs A4',
    'movs rep A4',
    'scas repne AE',
    'addps 0F 58 /r',
  ],
  ...[
    'addpd 66 0F 58 /r',
    'mulsd F2 0F 59 /r',
    'movdqu F3 0F 6F /r',
    'pshufb 66 0F 38 00 /r',
    'pshufd 66 0F 70 /r ib',
    'movq 66 REX.W 0F 6E /r',
  ],
];

const ALL = [...INTEGER_FORMS, ...BIT_FORMS, ...STRING_FORMS, ...SSE_FORMS];

export const PREFIX_FORMS: readonly Form[] = CHOSEN.flatMap((name) =>
  ALL.filter((form) => form.name === name || form.name.slice(0, -2) === name),
).map((form) => ({ ...form, name: `prefixed ${form.name}`, group: 'prefix', redundant }));
