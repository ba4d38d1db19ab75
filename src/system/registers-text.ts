// SPDX-License-Identifier: Apache-2.0
// Where a machine stands, for people: each processor's registers as QEMU's `info registers` prints them, after its level.

import { STATE, CS, DS, ES, FS, GS, LDTR, SS, TR } from '../machine/cpu/state.ts';
import type { Processor } from '../machine/cpu/processor.ts';
import type { AnyPc } from './make-pc.ts';
import { positionsOf } from './positions.ts';

const GENERAL = [
  'RAX',
  'RCX',
  'RDX',
  'RBX',
  'RSP',
  'RBP',
  'RSI',
  'RDI',
  'R8 ',
  'R9 ',
  'R10',
  'R11',
  'R12',
  'R13',
  'R14',
  'R15',
];
const SHOWN_ORDER = [0, 3, 1, 2, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15];
const A_LINE = 4;
const SEGMENTS = [['ES', ES], ['CS', CS], ['SS', SS], ['DS', DS], ['FS', FS], ['GS', GS], ['LDT', LDTR], ['TR', TR]] as const; // prettier-ignore

const wide = (value: bigint | number): string => BigInt.asUintN(64, BigInt(value)).toString(16).padStart(16, '0');
const word = (value: number): string => (value >>> 0).toString(16).padStart(8, '0');

/** All processors, a few lines each. To be asked between slices. */
export function registersText(pc: AnyPc): string {
  return positionsOf(pc)
    .map(({ processor, level, active }) => {
      const { cpu } = pc.machine.processors[processor]!;
      return `CPU#${processor} in L${level}${active ? '' : ', halted'}\n${registersOf(cpu)}`;
    })
    .join('');
}

function registersOf(cpu: Processor): string {
  const general = SHOWN_ORDER.map((register) => `${GENERAL[register]}=${wide(cpu.reg64(register))}`);
  const lines = Array.from({ length: general.length / A_LINE }, (_, i) =>
    general.slice(i * A_LINE, (i + 1) * A_LINE).join(' '),
  );
  lines.push(`RIP=${wide(cpu.rip)} RFL=${word(cpu.rflags)} CPL=${cpu.cpl}`);
  for (const [name, segment] of SEGMENTS)
    lines.push(
      `${name.padEnd(3)}=${(cpu.selector(segment) & 0xffff).toString(16).padStart(4, '0')} ${wide(cpu.segmentBase(segment))} ${word(cpu.segmentLimit(segment))} ${word(cpu.accessRights(segment))}`,
    );
  lines.push(`GDT= ${wide(cpu.get64(STATE.gdtrBase))} ${word(cpu.get32(STATE.gdtrLimit))}`);
  lines.push(`IDT= ${wide(cpu.get64(STATE.idtrBase))} ${word(cpu.get32(STATE.idtrLimit))}`);
  lines.push(
    `CR0=${word(cpu.cr0)} CR2=${wide(cpu.get64(STATE.cr2))} CR3=${wide(cpu.get64(STATE.cr3))} CR4=${word(cpu.cr4)}`,
  );
  lines.push(`DR6=${wide(cpu.get64(STATE.dr6))} DR7=${wide(cpu.get64(STATE.dr7))} EFER=${wide(cpu.efer)}`);
  return `${lines.join('\n')}\n`;
}
