// SPDX-License-Identifier: Apache-2.0
// An L1 that does one thing: enter the guest of a VMCS that the test has put into its memory, and say how that ended.
import { multiboot1Header } from '../../src/boot/synthetic-kernels.ts';
import { assemble, dword } from '../machine/assembler.ts';

/** L1-physical addresses. The example VMCS points below 64 KiB and to 1 MiB; what tests add lies there or from 3 MiB on. */
// prettier-ignore
export const AT = {
  load: 0x110000, tables: 0x120000, pdpt: 0x130000, gdt: 0x131000, stack: 0x140000, mailbox: 0x141000, vmxon: 0x142000,
} as const;
export const SELECTOR = { code64: 0x08, code32: 0x10, data: 0x18, tr: 0x20 } as const;

/** Offsets in the mailbox; 32 bits each, but `region`, which has 64. */
export const MAIL = { go: 0, how: 4, region: 8, result: 16, ready: 20 } as const;
/** Bits of `how`. */
export const HOW = { withoutVmptrld: 1, resume: 2, movSs: 4, again: 8 } as const;
/** `result` after a VM exit; otherwise it is RFLAGS as the instruction left them. */
export const EXITED = 0xffffffff;

/** A kernel that has L1's tables in it. */
export const LOAD_BYTES = 0x50000;

const HEADER = 32;
const WITH_ADDRESSES = 0x10000;
const [PAE, VMXE, PGE, OSFXSR, OSXSAVE] = [1 << 5, 1 << 13, 1 << 7, 1 << 9, 1 << 18];
/** CR0 and CR4 as L1 has them, and as VM exits leave them. */
export const CR0 = 0x80050033;
export const CR4 = PAE | VMXE | PGE | OSFXSR | OSXSAVE;
const LME_NXE = 0x900;

/** 32-bit code, to `begin` in 64-bit or in paged 32-bit mode. */
export const prologue = (long: boolean): string => `
  0f 01 15 =gdtr                       ; lgdt
  b8 ${dword(CR4)} 0f 22 e0            ; mov cr4
  b8 ${dword(long ? AT.tables : AT.pdpt)} 0f 22 d8 ; mov cr3
  ${long ? `b9 ${dword(0xc0000080)} 0f 32 0d ${dword(LME_NXE)} 0f 30 ; IA32_EFER` : ''}
  b8 ${dword(CR0)} 0f 22 c0            ; mov cr0
  ea =begin ${long ? '08' : '10'} 00   ; jmp far
`;

/** The same bytes in 64-bit and in 32-bit mode. */
const LOOP = `
begin:
  66 b8 18 00 8e d8 8e c0 8e d0        ; ds, es, ss
  bc ${dword(AT.stack)}
  be ${dword(AT.mailbox)}
  c7 06 ${dword(AT.vmxon)}             ; the mailbox as VMXON's operand
  c7 46 04 00 00 00 00
  f3 0f c7 36                          ; vmxon [esi]
  9c 58 89 46 14                       ; flags to ready
  c7 06 00 00 00 00
wait:
  83 3e 00 74 ~wait                    ; cmp dword [esi], 0
  66 0f c7 76 08                       ; vmclear [esi+8]
  f6 46 04 01 75 ~again                ; without VMPTRLD
  0f c7 76 08                          ; vmptrld [esi+8]
again:
  f6 46 04 04 75 ~movss
  f6 46 04 02 75 ~resume
  0f 01 c2 eb ~failed                  ; vmlaunch
resume:
  0f 01 c3 eb ~failed                  ; vmresume
movss:
  8c d0 8e d0 0f 01 c2                 ; mov ss, eax; vmlaunch
failed:
  9c 58 89 46 10 eb ~done              ; flags to result
exited:
  be ${dword(AT.mailbox)}
  c7 46 10 ff ff ff ff
  f6 46 04 08 74 ~done
  80 66 04 f7 eb ~again                ; once more
done:
  66 0f c7 76 08                       ; vmclear [esi+8]: the region is in memory
  c7 06 00 00 00 00 eb ~wait
gdtr:
  27 00 =table
table:
  00 00 00 00 00 00 00 00
  ff ff 00 00 00 9b af 00
  ff ff 00 00 00 9b cf 00
  ff ff 00 00 00 93 cf 00
  67 00 00 00 00 89 00 00
`;

export interface SmallL1 {
  readonly kernel: Uint8Array;
  /** Where VM exits go on. */
  readonly exited: number;
  readonly gdt: number;
}

/** The kernel; `long`: in 64-bit mode, otherwise in 32-bit mode with PAE paging. */
export function smallL1(long: boolean): SmallL1 {
  const { pieces, labels } = assemble(AT.load + HEADER, `${prologue(long)}\n${LOOP}`);
  const end = Math.max(...pieces.map(({ address, bytes }) => address + bytes.length));
  const kernel = new Uint8Array(end - AT.load);
  kernel.set(multiboot1Header(WITH_ADDRESSES, AT.load, AT.load, 0, 0, AT.load + HEADER));
  for (const { address, bytes } of pieces) kernel.set(bytes, address - AT.load);
  return { kernel, exited: labels.exited!, gdt: labels.table! };
}

/** Maps the first GiB to itself: four levels at `tables`, and a PAE table at `pdpt` for 32-bit code. */
export function hostTables(): readonly (readonly [address: number, value: number])[] {
  const directory = AT.tables + 0x2000;
  const entries: [number, number][] = [
    [AT.tables, (AT.tables + 0x1000) | 3],
    [AT.tables + 0x1000, directory | 3],
    [AT.pdpt, directory | 1],
  ];
  for (let i = 0; i < 512; i++) entries.push([directory + 8 * i, ((i << 21) | 0x83) >>> 0]);
  return entries;
}
