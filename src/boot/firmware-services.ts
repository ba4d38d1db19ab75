// SPDX-License-Identifier: Apache-2.0
// The BIOS of the machine, for kernels that ask in real mode. No disk, no display, no keyboard: those calls say so.

import { assert } from '../base/assert.ts';
import { textBytes } from '../formats/ascii.ts';
import { BIOS_BASE, FOUR_GIB, ONE_MIB, packRegions, REGION, type MemoryRegion } from './e820.ts';
import type { MemoryWrite } from './plan.ts';
import { assemble, code, imm16, jump, label, type Line } from './real-mode-code.ts';
import { putNumber } from './structure.ts';

const ROM_SEGMENT = BIOS_BASE >> 4;
const ROM_BYTES = 0x10000;
/** The map lies at the segment's start, the code after it. */
const E820_AT = 0x0000;
const CODE_AT = 0x1000;
/** See: SDM 10.1.4 First Instruction Executed: the last 16 bytes of the first MiB. */
const RESET_AT = 0xfff0;
const DATE_AT = 0xfff5;
const MODEL_AT = 0xfffe;
const MODEL_AT_COMPATIBLE = 0xfc;
const SMAP = [0x50, 0x41, 0x4d, 0x53];

/** Interrupt vectors and their handlers; all others return at once. See: SDM 21.1.4 Interrupt and Exception Handling. */
// prettier-ignore
const VECTORS: readonly [first: number, last: number, handler: string][] = [
  [0x08, 0x08, 'timer tick'],
  [0x09, 0x0f, 'interrupt of the first 8259'],
  [0x10, 0x10, 'video'],
  [0x11, 0x11, 'equipment'],
  [0x12, 0x12, 'memory size'],
  [0x13, 0x13, 'disk'],
  [0x15, 0x15, 'system'],
  [0x16, 0x16, 'keyboard'],
  [0x18, 0x19, 'stop'],
  [0x1a, 0x1a, 'time'],
  [0x70, 0x77, 'interrupt of the second 8259'],
];

/** Sets or clears carry in the caller's flags, which lie above the return address. */
// prettier-ignore
const RETURNS: readonly Line[] = [
  label('return'),
  code('iret', 0xcf),
  label('unsupported'),
  code('mov ah,86h', 0xb4, 0x86),
  label('failure'),
  code('push bp', 0x55),
  code('mov bp,sp', 0x89, 0xe5),
  code('or word [bp+6],1', 0x83, 0x4e, 0x06, 0x01),
  code('pop bp', 0x5d),
  code('iret', 0xcf),
  label('success'),
  code('push bp', 0x55),
  code('mov bp,sp', 0x89, 0xe5),
  code('and word [bp+6],0FFFEh', 0x83, 0x66, 0x06, 0xfe),
  code('pop bp', 0x5d),
  code('iret', 0xcf),
  label('stop'),
  code('sti', 0xfb),
  code('hlt', 0xf4),
  jump('jmp', 'stop'),
];

// prettier-ignore
const INTERRUPTS: readonly Line[] = [
  label('timer tick'),
  code('push ds', 0x1e),
  code('push ax', 0x50),
  code('xor ax,ax', 0x31, 0xc0),
  code('mov ds,ax', 0x8e, 0xd8),
  code('inc dword [46Ch]', 0x66, 0xff, 0x06, 0x6c, 0x04),
  code('int 1Ch', 0xcd, 0x1c),
  code('mov al,20h', 0xb0, 0x20),
  code('out 20h,al', 0xe6, 0x20),
  code('pop ax', 0x58),
  code('pop ds', 0x1f),
  code('iret', 0xcf),
  label('interrupt of the second 8259'),
  code('push ax', 0x50),
  code('mov al,20h', 0xb0, 0x20),
  code('out 0A0h,al', 0xe6, 0xa0),
  jump('jmp', 'end of interrupt'),
  label('interrupt of the first 8259'),
  code('push ax', 0x50),
  label('end of interrupt'),
  code('mov al,20h', 0xb0, 0x20),
  code('out 20h,al', 0xe6, 0x20),
  code('pop ax', 0x58),
  code('iret', 0xcf),
];

/** INT 10h, 11h, 12h, 13h, 16h. Video output goes nowhere; AH=0Fh reports mode 3, 80 columns, page 0. */
// prettier-ignore
const DEVICES: readonly Line[] = [
  label('video'),
  code('cmp ah,0Fh', 0x80, 0xfc, 0x0f),
  jump('jne', 'return'),
  code('mov ax,5003h', 0xb8, 0x03, 0x50),
  code('mov bh,0', 0xb7, 0x00),
  code('iret', 0xcf),
  label('equipment'),
  code('mov ax,410h', 0xb8, 0x10, 0x04),
  jump('jmp', 'word of the BIOS data area'),
  label('memory size'),
  code('mov ax,413h', 0xb8, 0x13, 0x04),
  label('word of the BIOS data area'),
  code('push ds', 0x1e),
  code('push bx', 0x53),
  code('xor bx,bx', 0x31, 0xdb),
  code('mov ds,bx', 0x8e, 0xdb),
  code('mov bx,ax', 0x89, 0xc3),
  code('mov ax,[bx]', 0x8b, 0x07),
  code('pop bx', 0x5b),
  code('pop ds', 0x1f),
  code('iret', 0xcf),
  label('disk'),
  code('mov ah,1', 0xb4, 0x01),
  jump('jmp', 'failure'),
  label('keyboard'),
  code('and ah,0EFh', 0x80, 0xe4, 0xef), // 10h, 11h and 12h are 0, 1 and 2 for the long keyboard
  code('cmp ah,1', 0x80, 0xfc, 0x01),
  jump('jb', 'stop'), // waits for a key that never comes
  jump('je', 'no key'),
  code('cmp ah,2', 0x80, 0xfc, 0x02),
  jump('jne', 'keyboard done'),
  code('mov al,0', 0xb0, 0x00), // no shift key is down
  label('keyboard done'),
  code('iret', 0xcf),
  label('no key'),
  code('push bp', 0x55),
  code('mov bp,sp', 0x89, 0xe5),
  code('or word [bp+6],40h', 0x83, 0x4e, 0x06, 0x40), // zero flag
  code('pop bp', 0x5d),
  code('iret', 0xcf),
];

/** INT 15h: E820h, E801h, 88h, and A20 (2401h, 2402h), which is always on. */
// prettier-ignore
function systemServices(map: readonly MemoryRegion[]): readonly Line[] {
  const { below16, above16, extended } = memorySizes(map);
  return [
    label('system'),
    code('cmp ax,0E820h', 0x3d, 0x20, 0xe8),
    jump('je', 'address map'),
    code('cmp ax,0E801h', 0x3d, 0x01, 0xe8),
    jump('je', 'memory above 1 MiB'),
    code('cmp ah,88h', 0x80, 0xfc, 0x88),
    jump('je', 'extended memory'),
    code('cmp ax,2401h', 0x3d, 0x01, 0x24),
    jump('je', 'A20 is on'),
    code('cmp ax,2402h', 0x3d, 0x02, 0x24),
    jump('jne', 'unsupported'),
    code('mov al,1', 0xb0, 0x01),
    label('A20 is on'),
    code('mov ah,0', 0xb4, 0x00),
    jump('jmp', 'success'),
    label('memory above 1 MiB'), // AX and CX: KiB from 1 to 16 MiB; BX and DX: 64 KiB blocks above
    code(`mov ax,${asmNumber(below16)}`, 0xb8, ...imm16(below16)),
    code('mov cx,ax', 0x89, 0xc1),
    code(`mov bx,${asmNumber(above16)}`, 0xbb, ...imm16(above16)),
    code('mov dx,bx', 0x89, 0xda),
    jump('jmp', 'success'),
    label('extended memory'),
    code(`mov ax,${asmNumber(extended)}`, 0xb8, ...imm16(extended)),
    jump('jmp', 'success'),
    label('address map'), // EBX: which entry; ES:DI: where to
    code('cmp edx,534D4150h', 0x66, 0x81, 0xfa, ...SMAP),
    jump('jne', 'no such entry'),
    code('cmp ecx,14h', 0x66, 0x83, 0xf9, 0x14),
    jump('jb', 'no such entry'),
    code(`cmp ebx,${asmNumber(map.length)}`, 0x66, 0x83, 0xfb, map.length),
    jump('jae', 'no such entry'),
    code('push si', 0x56),
    code('push di', 0x57),
    code('imul si,bx,14h', 0x6b, 0xf3, 0x14),
    code('mov cx,14h', 0xb9, 0x14, 0x00), // the map is at the segment's start
    code('cld', 0xfc),
    code('cs rep movsb', 0x2e, 0xf3, 0xa4),
    code('pop di', 0x5f),
    code('pop si', 0x5e),
    code('mov ecx,14h', 0x66, 0xb9, 0x14, 0x00, 0x00, 0x00),
    code('inc bx', 0x43),
    code(`cmp bx,${asmNumber(map.length)}`, 0x83, 0xfb, map.length),
    jump('jne', 'more entries'),
    code('xor bx,bx', 0x31, 0xdb),
    label('more entries'),
    code('mov eax,534D4150h', 0x66, 0xb8, ...SMAP),
    jump('jmp near', 'success'),
    label('no such entry'),
    jump('jmp near', 'unsupported'),
  ];
}

/** INT 1Ah: 00h ticks since midnight, 02h time and 04h date from the clock; PCI BIOS and the rest are not there. */
// prettier-ignore
const TIME: readonly Line[] = [
  label('time'),
  code('cmp ah,2', 0x80, 0xfc, 0x02),
  jump('je', 'time of day'),
  code('cmp ah,4', 0x80, 0xfc, 0x04),
  jump('je', 'date'),
  code('cmp ah,0', 0x80, 0xfc, 0x00),
  jump('je', 'ticks'),
  jump('jmp near', 'unsupported'),
  label('ticks'),
  code('push ds', 0x1e),
  code('xor ax,ax', 0x31, 0xc0),
  code('mov ds,ax', 0x8e, 0xd8),
  code('mov dx,[46Ch]', 0x8b, 0x16, 0x6c, 0x04),
  code('mov cx,[46Eh]', 0x8b, 0x0e, 0x6e, 0x04),
  code('xchg al,[470h]', 0x86, 0x06, 0x70, 0x04), // midnight has passed: read and cleared
  code('pop ds', 0x1f),
  jump('jmp near', 'success'),
  label('time of day'),
  code('push ax', 0x50),
  code('mov al,4', 0xb0, 0x04), jump('call', 'clock'), code('mov ch,al', 0x88, 0xc5),
  code('mov al,2', 0xb0, 0x02), jump('call', 'clock'), code('mov cl,al', 0x88, 0xc1),
  code('mov al,0', 0xb0, 0x00), jump('call', 'clock'), code('mov dh,al', 0x88, 0xc6),
  code('mov dl,0', 0xb2, 0x00),
  code('pop ax', 0x58),
  jump('jmp near', 'success'),
  label('date'),
  code('push ax', 0x50),
  code('mov al,32h', 0xb0, 0x32), jump('call', 'clock'), code('mov ch,al', 0x88, 0xc5),
  code('mov al,9', 0xb0, 0x09), jump('call', 'clock'), code('mov cl,al', 0x88, 0xc1),
  code('mov al,8', 0xb0, 0x08), jump('call', 'clock'), code('mov dh,al', 0x88, 0xc6),
  code('mov al,7', 0xb0, 0x07), jump('call', 'clock'), code('mov dl,al', 0x88, 0xc2),
  code('pop ax', 0x58),
  jump('jmp near', 'success'),
  label('clock'), // AL: index in, value out
  code('out 70h,al', 0xe6, 0x70),
  code('in al,71h', 0xe4, 0x71),
  code('ret', 0xc3),
];

/** For software that jumps to the reset vector, which leads here: a hard reset through the reset control register. */
// prettier-ignore
const RESET: readonly Line[] = [
  label('reset'),
  code('mov dx,0CF9h', 0xba, 0xf9, 0x0c),
  code('mov al,6', 0xb0, 0x06),
  code('out dx,al', 0xee),
  label('reset pending'),
  code('hlt', 0xf4),
  jump('jmp', 'reset pending'),
];

/** Where the legacy sizes end: E801h and 88h count what lies without a gap above 1 MiB. */
function memorySizes(map: readonly MemoryRegion[]): { below16: number; above16: number; extended: number } {
  const main = map.find((region) => region.base === ONE_MIB && region.type === REGION.memory);
  const end = Math.min(ONE_MIB + (main?.size ?? 0), FOUR_GIB);
  const kibibytes = (end - ONE_MIB) / 1024;
  const below16 = Math.min(kibibytes, 15 * 1024);
  return { below16, above16: Math.floor((kibibytes - below16) / 64), extended: Math.min(kibibytes, 0xfc00) };
}

/** As disassemblers write it: decimal below 10, else hexadecimal with h, led by a digit. */
function asmNumber(value: number): string {
  if (value < 10) return `${value}`;
  const digits = value.toString(16).toUpperCase();
  return `${/^[A-F]/.test(digits) ? '0' : ''}${digits}h`;
}

/** The listing of all handlers, to be placed at CODE_AT. */
export function biosListing(map: readonly MemoryRegion[]): readonly Line[] {
  return [...INTERRUPTS, ...systemServices(map), ...RETURNS, ...DEVICES, ...TIME, ...RESET];
}

export interface BiosRom {
  readonly write: MemoryWrite;
  /** Handler offsets in segment F000h by name. */
  readonly labels: ReadonlyMap<string, number>;
}

/** The 64 KiB at F0000h: the address map's entries, the handlers, the reset vector, the date and the model byte. */
export function biosRom(map: readonly MemoryRegion[]): BiosRom {
  assert(map.length < 128, 'the map has at most 127 entries');
  const rom = new Uint8Array(ROM_BYTES);
  rom.set(packRegions(map), E820_AT);
  const handlers = assemble(biosListing(map), CODE_AT);
  rom.set(handlers.bytes, CODE_AT);
  rom.set([0xea, ...imm16(handlers.labels.get('reset')!), ...imm16(ROM_SEGMENT)], RESET_AT); // jmp far
  rom.set(textBytes('01/01/26'), DATE_AT);
  rom[MODEL_AT] = MODEL_AT_COMPATIBLE;
  return { write: { address: BIOS_BASE, bytes: rom, what: 'BIOS services' }, labels: handlers.labels };
}

/** 256 far pointers at address 0. */
export function interruptVectors(rom: BiosRom): MemoryWrite {
  const bytes = new Uint8Array(0x400);
  for (let vector = 0; vector < 256; vector++) {
    const row = VECTORS.find(([first, last]) => vector >= first && vector <= last);
    const offset = rom.labels.get(row?.[2] ?? 'return');
    assert(offset !== undefined, `no handler for vector ${vector}`);
    putNumber(bytes, vector * 4, 2, offset, 'offset');
    putNumber(bytes, vector * 4 + 2, 2, ROM_SEGMENT, 'segment');
  }
  return { address: 0, bytes, what: 'real-mode interrupt vectors' };
}
