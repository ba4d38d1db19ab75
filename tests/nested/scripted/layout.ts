// SPDX-License-Identifier: Apache-2.0
// Table: where everything of the scripted L1 and its L2 is in memory, and the registers that both begin with.

/** L1-physical addresses, and linear ones: all mappings are the identity. scripted.asm has them by the same names. */
export const AT = {
  ORIGIN: 0x100000,
  GDT: 0x103000,
  TSS: 0x103100,
  /** Of L2 in protected mode: the task it runs as, and one to switch to. */
  TSS32: 0x103200,
  OTHER_TSS32: 0x103300,
  IDT: 0x104000,
  /** L2's, in 64-bit mode and in protected mode. */
  IDT2: 0x105000,
  IDT32: 0x106000,
  SCRIPT: 0x107000,
  L2: 0x10d000,
  PML4: 0x110000,
  PDPT: 0x111000,
  PD: 0x112000,
  PD32: 0x113000,
  EPT: 0x114000,
  EPT_PDPT: 0x115000,
  EPT_PD: 0x116000,
  EPT_PT: 0x117000,
  MSR_BITMAP_PAGE: 0x118000,
  IO_BITMAP_A_PAGE: 0x119000,
  IO_BITMAP_B_PAGE: 0x11a000,
  VIRTUAL_APIC: 0x11b000,
  APIC_ACCESS: 0x11c000,
  VMXON_REGION: 0x11d000,
  VMCS_REGION: 0x11e000,
  OTHER_REGION: 0x11f000,
  LISTS: 0x120000,
  OPERANDS: 0x120800,
  SAVE: 0x121000,
  TAKEN: 0x121400,
  STACK1: 0x123000,
  STACK2: 0x125000,
  DATA: 0x126000,
  END: 0x128000,
  LOG: 0x130000,
  /** Two MBytes that the EPT maps page by page; L2's IDT can be put here. */
  PAGED: 0x600000,
} as const;

export const SELECTOR = {
  CODE64: 0x08,
  DATA: 0x10,
  TASK: 0x18,
  CODE32: 0x28,
  TASK32: 0x30,
  OTHER_TASK32: 0x38,
} as const;

export const CR0_VALUE = 0x80000031;
/** PAE, PGE, OSFXSR, OSXMMEXCPT, VMXE, OSXSAVE. */
export const CR4_VALUE = 0x426a0;
export const EFER_VALUE = 0xd01;
/** The same without IA-32e mode: 32-bit paging with 4-MByte pages. */
export const CR4_PROTECTED = 0x42690;
