// SPDX-License-Identifier: Apache-2.0
// The memory of the guests of random VMCSs: wherever one executes or an event takes it, the next instruction is CPUID,
// which exits in every mode; or nothing is mapped.
import type { ExampleVmcs } from '../../src/arch/vmx/example-vmcs.ts';
import type { FieldName } from '../../src/arch/vmx/fields.ts';
import type { GuestPlaces } from '../../src/arch/vmx/random-guest.testing.ts';
import type { Entering } from './entering.ts';

/** Guest-linear 0 to 2 MiB, and without paging guest-physical, is here; the paging structures are below. */
const LOW_MEMORY = 0x400000;
const CODE_SELECTOR = { long: 0x08, legacy: 0x10, real: 0x1000 } as const;
const CPUID = [0x0f, 0xa2];

// prettier-ignore
export const PLACES: GuestPlaces = {
  pages: Array.from({ length: 11 }, (_, i) => 0x600000 + 0x1000 * i),
  long: 0x200000, pae: 0x204000, legacy: 0x205000, pdpte: 0x202000, ept: 0x610000,
  code: { address: 0x10000, bytes: 0x10000 },
  idt: { long: 0x2000, legacy: 0x3000, real: 0 }, gdt: 0x4000, tss: { long: 0x5000, legacy: 0x6000 }, stack: 0x9000,
};

const PRESENT_WRITE_USER_ACCESSED = 0x27;
const LARGE_DIRTY = 0xe7;
const EPT_TABLE = 7;
/** Read, write, execute, write-back, a 2-MByte page. */
const EPT_PAGE = 0xb7;
const MIB_2 = 0x200000;

/** Fills L1's memory with tables, code and descriptors for every mode. */
export function prepareGuestMemory(entering: Entering): void {
  pageTables(entering);
  extendedPageTables(entering);
  for (const page of PLACES.pages.slice(2, 3)) entering.fill(page, new Uint8Array(4096).fill(0xff));
  const code = new Uint8Array(PLACES.code.bytes);
  for (let i = 0; i < code.length; i += 2) code.set(CPUID, i);
  entering.fill(LOW_MEMORY + PLACES.code.address, code);
  descriptors(entering);
  gates(entering);
}

/** Linear 0 to 2 MiB and 4 to 6 MiB are low memory, 2 to 4 MiB the tables themselves. */
function pageTables(entering: Entering): void {
  const { long, pae, legacy, pdpte } = PLACES;
  entering.poke(long, (long + 0x1000) | PRESENT_WRITE_USER_ACCESSED);
  entering.poke(long + 0x1000, pdpte | PRESENT_WRITE_USER_ACCESSED);
  entering.poke(pae, pdpte | 1);
  for (const [i, address] of [LOW_MEMORY, MIB_2, LOW_MEMORY].entries())
    entering.poke(pdpte + 8 * i, address | LARGE_DIRTY);
  // 4-MByte pages: low memory is the first.
  entering.poke(legacy, LOW_MEMORY | LARGE_DIRTY);
}

function extendedPageTables(entering: Entering): void {
  const { ept } = PLACES;
  entering.poke(ept, (ept + 0x1000) | EPT_TABLE);
  entering.poke(ept + 0x1000, (ept + 0x2000) | EPT_TABLE);
  for (const [i, address] of [LOW_MEMORY, MIB_2, LOW_MEMORY].entries())
    entering.poke(ept + 0x2000 + 8 * i, address | EPT_PAGE);
}

/** At 8 a 64-bit code segment, at 10H a 32-bit one, at 18H data. */
function descriptors(entering: Entering): void {
  const gdt = LOW_MEMORY + PLACES.gdt;
  const rows = [0x00af9b00, 0x00cf9b00, 0x00cf9300];
  for (const [i, high] of rows.entries()) {
    entering.poke(gdt + 8 * (i + 1), 0xffff);
    entering.poke(gdt + 8 * (i + 1) + 4, high);
  }
  entering.poke(LOW_MEMORY + PLACES.tss.long + 4, PLACES.stack);
  entering.poke(LOW_MEMORY + PLACES.tss.legacy + 4, PLACES.stack);
  entering.poke(LOW_MEMORY + PLACES.tss.legacy + 8, 0x18);
}

/** Every vector leads to CPUID. */
function gates(entering: Entering): void {
  const target = PLACES.code.address;
  for (let vector = 0; vector < 256; vector++) {
    const gate = (base: number, size: number, selector: number): void => {
      entering.poke(LOW_MEMORY + base + size * vector, ((selector << 16) | (target & 0xffff)) >>> 0);
      entering.poke(LOW_MEMORY + base + size * vector + 4, ((target & 0xffff0000) | 0xee00) >>> 0);
    };
    gate(PLACES.idt.long, 16, CODE_SELECTOR.long);
    gate(PLACES.idt.legacy, 8, CODE_SELECTOR.legacy);
    entering.poke(LOW_MEMORY + PLACES.idt.real + 4 * vector, CODE_SELECTOR.real << 16);
  }
}

/** A 64-bit guest at CPL 0 that executes CPUID. */
export function longGuest(vmcs: ExampleVmcs): void {
  const values: { readonly [Name in FieldName]?: number } = {
    ...{ GUEST_CR3: PLACES.long, GUEST_RIP: PLACES.code.address, GUEST_RSP: PLACES.stack, GUEST_GDTR_BASE: PLACES.gdt },
    ...{ GUEST_GDTR_LIMIT: 0xff, GUEST_IDTR_BASE: PLACES.idt.long, GUEST_IDTR_LIMIT: 0xfff },
    ...{ GUEST_TR_BASE: PLACES.tss.long, GUEST_CS_SELECTOR: CODE_SELECTOR.long, GUEST_RFLAGS: 2 },
  };
  for (const [name, value] of Object.entries(values) as [FieldName, number][]) vmcs.set(name, value);
}

/** Where the guest's code lies in L1's memory. */
export const CODE_IN_MEMORY = LOW_MEMORY + PLACES.code.address;
