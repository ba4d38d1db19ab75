// SPDX-License-Identifier: Apache-2.0

import type { Draft } from '../draft.ts';
import { formsOf, type FormOptions } from '../form.ts';
import { allowImage, fillStack, prepareImage } from './x87.ts';

const RAX = 0;
const RDX = 2;
const IMAGE = 576;
const HEADER = 512;

/** Which components: x87 and SSE or one of them, or none. More than that this processor has and the machine has not. */
function chooseComponents(d: Draft): void {
  d.setRegister(RAX, (d.random.u64() & ~0xffff_ffffn & 0xffff_ffff_ffff_ffffn) | BigInt(d.random.below(4)));
  d.setRegister(RDX, (d.random.u64() << 32n) & 0xffff_ffff_ffff_ffffn);
}

/** Neither component is in its initial configuration: what a processor then leaves out is its own choice. */
function fillComponents(d: Draft): void {
  fillStack(d);
  d.state.fcw ^= d.state.fcw === 0x37f ? 0x400 : 0;
  chooseComponents(d);
}

const save: FormOptions = {
  rm: 'memory',
  registers: 'x87',
  memory: IMAGE,
  align: 64,
  prepare: fillComponents,
  allow: allowImage,
};

/** XSTATE_BV mostly of what may be there; reserved bits of the header sometimes set, which is #GP(0). */
const restore: FormOptions = {
  ...save,
  allow: () => {},
  prepare: (d) => {
    prepareImage(d);
    chooseComponents(d);
    const bytes = new Uint8Array(IMAGE);
    bytes.set(d.targetBytes as Uint8Array);
    bytes[HEADER] = d.random.below(4);
    const format = d.random.chance(80) ? 3 : d.random.below(4);
    if (d.random.chance(40)) bytes.set([format | bytes[HEADER], 0, 0, 0, 0, 0, 0, 0x80], HEADER + 8);
    if (d.random.chance(10)) bytes[HEADER + 16 + d.random.below(48)] = 1 << d.random.below(8);
    if (d.random.chance(5)) bytes[HEADER + 7] = 0x40;
    d.targetBytes = bytes;
  },
};

// prettier-ignore
export const EXTENDED_STATE_FORMS = formsOf('extended-state', [
  ['xsave',      '0F AE /4',        save],
  ['xsave64',    'REX.W 0F AE /4',  save],
  ['xsaveopt',   '0F AE /6',        save],
  ['xsaveopt64', 'REX.W 0F AE /6',  save],
  ['xsavec',     '0F C7 /4',        save],
  ['xsavec64',   'REX.W 0F C7 /4',  save],
  ['xrstor',     '0F AE /5',        restore],
  ['xrstor64',   'REX.W 0F AE /5',  restore],
]);
