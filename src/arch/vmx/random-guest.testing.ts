// SPDX-License-Identifier: Apache-2.0
// The guest's registers and segments of a random VMCS, for one mode.

import type { ExampleVmcs } from './example-vmcs.ts';
import { ENTRY } from './controls.ts';
import { OFFSET } from './fields.ts';
import type { FieldName } from './fields.ts';
import type { RandomBits } from './random-bits.testing.ts';
import { AR_DB, AR_G, AR_L, AR_P, AR_S, AR_UNUSABLE, CR0_PE, CR0_PG } from './state-bits.ts';
import { CR4_PAE, CR4_PCIDE, EFER_LMA, EFER_LME, RFLAGS_IF, RFLAGS_TF, RFLAGS_VM } from './state-bits.ts';

/** Where the things lie that a random VMCS points to: physical addresses of whole pages, unless it says otherwise. */
export interface GuestPlaces {
  /** Pages for bitmaps, the virtual-APIC page, a linked VMCS, the three MSR lists; the guest does not see them. */
  readonly pages: readonly number[];
  /** CR3 for four-level, PAE and 32-bit paging (PSE); PDPTE0 of the PAE table; the root of an EPT. */
  readonly long: number;
  readonly pae: number;
  readonly legacy: number;
  readonly pdpte: number;
  readonly ept: number;
  /** Linear, below 1 MiB in all these mappings and without paging: bytes to execute, tables, a stack. */
  readonly code: { readonly address: number; readonly bytes: number };
  readonly idt: { readonly long: number; readonly legacy: number; readonly real: number };
  readonly gdt: number;
  readonly tss: { readonly long: number; readonly legacy: number };
  readonly stack: number;
}

export const GUEST_MODES = ['64-bit', 'compatibility', 'PAE', 'protected', 'virtual-8086', 'unpaged', 'real'] as const;
export type GuestMode = (typeof GUEST_MODES)[number];
export const isIa32e = (mode: GuestMode): boolean => mode === '64-bit' || mode === 'compatibility';
export const needsUnrestricted = (mode: GuestMode): boolean => mode === 'unpaged' || mode === 'real';

const SEGMENTS = ['CS', 'SS', 'DS', 'ES', 'FS', 'GS'] as const;
type Segment = (typeof SEGMENTS)[number];
type Register = Segment | 'TR' | 'LDTR';

const [CR4_PSE, CR4_VMXE] = [1 << 4, 1 << 13];
const [EFER_SCE, EFER_NXE] = [1, 0x800];
/** Bits of CR0 with a meaning that any guest may set: MP, EM, TS, ET, WP, AM, NW, CD. */
const CR0_FREE = 0x6005001e;
/** CF, PF, AF, ZF, SF, DF, OF, IOPL, NT, RF, AC, VIF, VIP, ID */
const RFLAGS_FREE = 0x3d7cd5;
const PAGE = 0xfff;
const PAT_TYPES = [0, 1, 4, 5, 6, 7];
const TYPE = { readWrite: 3, busy16: 3, code: 0xb, conforming: 0xf, busy32: 0xb, ldt: 2 } as const;

interface Guest {
  readonly random: RandomBits;
  readonly vmcs: ExampleVmcs;
  readonly mode: GuestMode;
  readonly places: GuestPlaces;
  readonly unrestricted: boolean;
}

export function randomRegisters(
  random: RandomBits,
  vmcs: ExampleVmcs,
  mode: GuestMode,
  places: GuestPlaces,
  unrestricted: boolean,
): void {
  const guest: Guest = { random, vmcs, mode, places, unrestricted };
  controlRegisters(guest);
  pagingRoot(guest);
  modelSpecific(guest);
  segments(guest);
  tables(guest);
  flagsAndPointers(guest);
}

const isPaged = (mode: GuestMode): boolean => mode !== 'unpaged' && mode !== 'real';
const canonicalHigh = (random: RandomBits): number => random.pick([0, 0x7fff, 0xffff8000, 0xffffffff]);

function controlRegisters({ random, vmcs, mode }: Guest): void {
  const { facts } = vmcs.context;
  const fixed = facts.cr0Fixed0 & ~(CR0_PE | CR0_PG);
  const protection = mode === 'real' ? 0 : CR0_PE;
  vmcs.set('GUEST_CR0', ((random.some() & CR0_FREE) | fixed | protection | (isPaged(mode) ? CR0_PG : 0)) >>> 0);
  let cr4 = (random.some() & facts.cr4Fixed1) | CR4_VMXE | facts.cr4Fixed0;
  if (isIa32e(mode) || mode === 'PAE') cr4 |= CR4_PAE;
  else if (isPaged(mode)) cr4 = (cr4 & ~CR4_PAE) | CR4_PSE;
  if (!isIa32e(mode)) cr4 &= ~CR4_PCIDE;
  vmcs.set('GUEST_CR4', cr4 >>> 0);
  // The vectors of real mode lie where DR0 to DR3 point: a breakpoint there would never let the guest go.
  const breakpoints = mode === 'real' ? ~0xff : -1;
  vmcs.set('GUEST_DR7', random.chance(0.1) ? (random.word() & breakpoints) >>> 0 : 0x400);
}

function pagingRoot({ random, vmcs, mode, places }: Guest): void {
  const roots = { '64-bit': places.long, compatibility: places.long, PAE: places.pae, protected: places.legacy, 'virtual-8086': places.legacy, unpaged: 0, real: 0 }; // prettier-ignore
  const low = random.chance(0.3) && mode !== 'PAE' ? random.word() & PAGE : 0;
  vmcs.set('GUEST_CR3', roots[mode] | low);
  if (mode !== 'PAE') return;
  // The table that CR3 points to is in memory; with EPT these are used.
  vmcs.set('GUEST_PDPTR0', places.pdpte | 1);
  for (const index of [1, 2, 3] as const)
    vmcs.set(`GUEST_PDPTR${index}`, random.chance(0.5) ? 0 : places.pdpte | 1 | (random.word() & 0xe00));
}

function modelSpecific({ random, vmcs, mode }: Guest): void {
  const pat = (): number =>
    [0, 8, 16, 24].reduce((value, shift) => (value | (random.pick(PAT_TYPES) << shift)) >>> 0, 0);
  vmcs.set('GUEST_IA32_PAT', pat(), pat());
  // Where it is not loaded, its rules still look at the field, and an L0 that always loads one cannot do both justice.
  const loaded = (vmcs.view.low(OFFSET.VM_ENTRY_CONTROLS) & ENTRY.LOAD_DEBUG_CONTROLS) !== 0;
  const debugctl = random.below(4) & vmcs.context.facts.debugctlSupported;
  vmcs.set('GUEST_IA32_DEBUGCTL', loaded && random.chance(0.2) ? debugctl : 0);
  const lma = isIa32e(mode) ? EFER_LMA | EFER_LME : 0;
  const lme = !isPaged(mode) && random.chance(0.3) ? EFER_LME : 0;
  vmcs.set('GUEST_IA32_EFER', lma | lme | (random.word() & (EFER_SCE | EFER_NXE)));
  vmcs.set('GUEST_SYSENTER_CS', random.word());
  for (const field of ['GUEST_SYSENTER_ESP', 'GUEST_SYSENTER_EIP'] as const)
    vmcs.set(field, random.word(), canonicalHigh(random));
}

// --- segments

function put({ vmcs }: Guest, register: Register, selector: number, base: number, limit: number, rights: number): void {
  vmcs.set(`GUEST_${register}_SELECTOR`, selector);
  vmcs.set(`GUEST_${register}_BASE`, base >>> 0);
  vmcs.set(`GUEST_${register}_LIMIT`, limit >>> 0);
  vmcs.set(`GUEST_${register}_AR_BYTES`, rights >>> 0);
}

/** A limit, and G that goes with it. */
function limitOf(random: RandomBits): readonly [limit: number, g: number] {
  const kind = random.below(4);
  if (kind === 0) return [0xffff, 0];
  if (kind === 1) return [0x1ffff | (random.below(8) << 17), random.chance(0.5) ? AR_G : 0];
  return [((random.word() & 0xfff) << 20) | 0xfffff, AR_G];
}

function segments(guest: Guest): void {
  if (guest.mode === 'virtual-8086') return SEGMENTS.forEach((name) => virtual8086(guest, name));
  const { random, mode, unrestricted } = guest;
  const user = mode !== 'real' && random.chance(0.3) ? 3 : 0;
  codeSegment(guest, user);
  stackSegment(guest, user);
  for (const name of ['DS', 'ES', 'FS', 'GS'] as const) {
    const [limit, g] = limitOf(random);
    const privilege = unrestricted ? random.below(4) : 3;
    const usable = random.chance(0.8) ? 0 : AR_UNUSABLE;
    const wide = name === 'FS' || name === 'GS';
    const type = random.pick([1, 3, 5, 7, 0xb, 0xf]);
    const base = random.chance(0.7) ? 0 : random.word();
    put(guest, name, random.word() & 0xffff, base, limit, type | AR_S | AR_P | (privilege << 5) | g | AR_DB | usable);
    if (wide && isIa32e(mode)) guest.vmcs.set(`GUEST_${name}_BASE`, random.word(), canonicalHigh(random));
  }
}

/** A real-mode segment in every mode: base, limit and rights follow from the selector. */
function virtual8086(guest: Guest, name: Segment): void {
  const { code, stack } = guest.places;
  const around = name === 'CS' ? code.address : name === 'SS' ? stack & ~0xfff : guest.random.word() & 0xffff0;
  const selector = (around >>> 4) & 0xffff;
  put(guest, name, selector, selector << 4, 0xffff, 0xf3);
}

function codeSegment(guest: Guest, user: number): void {
  const { random, mode, places, unrestricted } = guest;
  if (mode === 'real') return put(guest, 'CS', places.code.address >>> 4, places.code.address, 0xffff, 0x93);
  const [limit, g] = limitOf(random);
  const sixtyFour = mode === '64-bit';
  const readWrite = unrestricted && user === 0 && !sixtyFour && random.chance(0.2);
  const conforming = !readWrite && random.chance(0.2);
  const type = readWrite ? TYPE.readWrite : conforming ? TYPE.conforming : TYPE.code;
  const privilege = conforming && random.chance(0.5) ? 0 : user;
  const size = sixtyFour ? AR_L : mode !== 'compatibility' && random.chance(0.1) ? 0 : AR_DB;
  const base = sixtyFour || random.chance(0.7) ? 0 : random.below(places.code.address >>> 4) << 4;
  put(guest, 'CS', (8 << 3) | user, base, limit, type | AR_S | AR_P | (privilege << 5) | g | size);
}

function stackSegment(guest: Guest, user: number): void {
  const { random, mode } = guest;
  if (mode === 'real') return put(guest, 'SS', 0, 0, 0xffff, 0x93);
  const [limit, g] = limitOf(random);
  const unusable = mode === '64-bit' && random.chance(0.1) ? AR_UNUSABLE : 0;
  put(guest, 'SS', (3 << 3) | user, 0, limit, TYPE.readWrite | AR_S | AR_P | (user << 5) | g | AR_DB | unusable);
}

function tables(guest: Guest): void {
  const { random, vmcs, mode, places } = guest;
  const long = isIa32e(mode);
  const idt = long ? places.idt.long : mode === 'real' ? places.idt.real : places.idt.legacy;
  const elsewhere = random.chance(0.05);
  vmcs.set('GUEST_IDTR_BASE', elsewhere ? random.word() : idt, elsewhere ? canonicalHigh(random) : 0);
  vmcs.set('GUEST_IDTR_LIMIT', random.chance(0.9) ? 0xfff : random.below(0x10000));
  vmcs.set('GUEST_GDTR_BASE', places.gdt);
  vmcs.set('GUEST_GDTR_LIMIT', random.chance(0.9) ? 0xffff : random.below(0x10000));
  const busy = !long && random.chance(0.2) ? TYPE.busy16 : TYPE.busy32;
  put(guest, 'TR', 0x40, long ? places.tss.long : places.tss.legacy, 0x67 + random.below(0x100), busy | AR_P);
  const ldtr = random.chance(0.5) ? AR_UNUSABLE : 0;
  put(guest, 'LDTR', 0x48, random.word(), random.below(0x10000), TYPE.ldt | AR_P | ldtr);
}

function flagsAndPointers(guest: Guest): void {
  const { random, vmcs, mode, places } = guest;
  const low = (name: FieldName): number => vmcs.view.low(OFFSET[name]);
  let flags = (random.some() & RFLAGS_FREE) | 2 | (random.chance(0.5) ? RFLAGS_IF : 0);
  if (random.chance(0.05)) flags |= RFLAGS_TF;
  if (mode === 'virtual-8086') flags |= RFLAGS_VM;
  vmcs.set('GUEST_RFLAGS', flags >>> 0);
  const target = places.code.address + (random.below(places.code.bytes >>> 1) << 1);
  const base = low('GUEST_CS_BASE');
  const away = random.chance(0.05);
  if (away && mode === '64-bit') vmcs.set('GUEST_RIP', random.word(), random.pick([1, 0x7fff, 0xffff8000, 0xffffffff]));
  else if (away && isPaged(mode) && mode !== 'virtual-8086') vmcs.set('GUEST_RIP', (random.word() | 0x40000000) >>> 0);
  else vmcs.set('GUEST_RIP', mode === '64-bit' ? target : (target - base) >>> 0);
  const stack = places.stack - 8 * random.below(16);
  vmcs.set('GUEST_RSP', mode === 'virtual-8086' ? stack & 0xfff : stack);
  if (isIa32e(mode) !== ((low('VM_ENTRY_CONTROLS') & ENTRY.IA32E_MODE_GUEST) !== 0))
    throw new Error('mode and control');
}
