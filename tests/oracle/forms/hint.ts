// SPDX-License-Identifier: Apache-2.0

import type { Draft } from '../draft.ts';
import { formsOf, type FormOptions, type Row } from '../form.ts';

/** A memory operand that is named and never accessed. */
const named: FormOptions = {
  sizes: 'wdq',
  prepare: (d) => {
    d.targetBytes = undefined;
    if (d.random.chance(20)) d.target = d.random.u64();
  },
};
const prefetched: FormOptions = { ...named, rm: 'memory' };
delete prefetched.sizes;

const fixed = (...bytes: number[]): FormOptions => ({ emit: () => bytes });

/** A cache line is loaded for these, so it must be mapped; which of its bytes is asked for is the processor's choice. */
const line: FormOptions = {
  rm: 'memory',
  memory: 1,
  prepare: (d: Draft) => {
    d.target -= d.target % 64n;
    d.targetBytes = undefined;
  },
};

// prettier-ignore
export const HINT_FORMS = formsOf('hint', [
  ['nop',   '0F 0D /0', { ...named, rm: 'memory' }],
  ['nop',   '0F 18 /4', named],
  ...['19', '1A', '1B', '1C', '1D', '1E', '1F'].map((opcode, n): Row => ['nop', `0F ${opcode} /${n === 5 ? 0 : n}`, named]),
  ['nop',   '90',       fixed(0x90)],
  ['pause', 'F3 90',    fixed(0xf3, 0x90)],
  ['endbr64', 'F3 0F 1E FA', fixed(0xf3, 0x0f, 0x1e, 0xfa)],
  ['endbr32', 'F3 0F 1E FB', fixed(0xf3, 0x0f, 0x1e, 0xfb)],
  ['prefetchw',   '0F 0D /1', prefetched],
  ['prefetchnta', '0F 18 /0', prefetched],
  ['prefetcht0',  '0F 18 /1', prefetched],
  ['prefetcht1',  '0F 18 /2', prefetched],
  ['prefetcht2',  '0F 18 /3', prefetched],
  ['lfence', '0F AE E8', fixed(0x0f, 0xae, 0xe8)],
  ['mfence', '0F AE F0', fixed(0x0f, 0xae, 0xf0)],
  ['sfence', '0F AE F8', fixed(0x0f, 0xae, 0xf8)],
  ['clflush',    '0F AE /7', line],
  ['clflushopt', '66 0F AE /7', line],
  ['clwb',       '66 0F AE /6', line],
]);
