// SPDX-License-Identifier: Apache-2.0
// Where everything lies in L1's memory; assemble.ts gives monitor.asm the same names.

export const RAM_BYTES = 0x400000;

// prettier-ignore
export const LAYOUT = {
  MONITOR:       0x100000,
  // L1's page tables: identity, 4-KByte pages for the first 2 MBytes.
  PML4:          0x110000,
  STACK:         0x11f000,
  TSS:           0x11f000,
  // Operands of VMX instructions. Linear pages 1 to 5: ordinary, absent, read-only, ordinary, beyond memory.
  OPERANDS:      0x120000,
  VMXON_REGION:  0x130000,
  REGIONS:       0x131000,
  IO_BITMAP_A:   0x140000,
  IO_BITMAP_B:   0x141000,
  MSR_BITMAP:    0x142000,
  VMREAD_BITMAP: 0x143000,
  VMWRITE_BITMAP:0x144000,
  VIRTUAL_APIC:  0x145000,
  APIC_ACCESS:   0x146000,
  ENTRY_LIST:    0x147000,
  STORE_LIST:    0x148000,
  EXIT_LIST:     0x149000,
  // EPT12: PML4, PDPT, PD and PT, then tables that only hostile entries lead to.
  EPT:           0x150000,
  // L2: page tables, IDT, GDT, TSS; code and data where real-address mode reaches them.
  L2_PML4:       0x180000,
  L2_IDT:        0x188000,
  L2_GDT:        0x189000,
  L2_TSS:        0x18a000,
  L2_CODE:       0x40000,
  L2_HANDLERS:   0x44000,
  L2_DATA:       0x48000,
  L2_STACK:      0x50000,
  PARAMETERS:    0x1b0000,
  STEPS:         0x200000,
  FIELD_LISTS:   0x220000,
  LOG:           0x280000,
} as const;

export const REGION_COUNT = 4;
export const STEP_BYTES = 64;
export const MOST_STEPS = 1024;
/** Where a step's code begins in it, behind RAX, RCX, RDX and RBX. */
export const STEP_CODE = 32;
/** What code a step has room for before the jump back. */
export const MOST_STEP_CODE = STEP_BYTES - STEP_CODE - 5;

/** What the monitor reads at PARAMETERS, in bytes from there. */
export const PARAMETER = { step: 0, end: 8, log: 16, logged: 24, resume: 32, save: 64 } as const;
/** Where the lists of fields lie that are logged at an exit, some or all: 32-bit encodings, then all ones. */
export const SOME_FIELDS = LAYOUT.PARAMETERS + 0x200;
export const ALL_FIELDS = LAYOUT.PARAMETERS + 0x400;

export const DEBUG_EXIT = 0xf4;

/** Selectors of L1's GDT, which is the monitor's. */
export const SELECTOR = { code: 0x08, data: 0x10, tss: 0x18, code32: 0x28, userCode: 0x33, userData: 0x3b } as const;
