// SPDX-License-Identifier: Apache-2.0
// Table: other modes of L2, and controls that change what it does without an exit: PAE and real-address mode, MSR lists,
// the time-stamp counter, CR3 targets, the page-fault filter, VMCS shadowing for L2.
import { ENCODING } from '../../../src/arch/vmx/fields.ts';
import { VMCS_REVISION_ID } from '../../../src/arch/vmx/profiles.ts';
import { dword } from '../../machine/assembler.ts';
import { BOTH, MODERN, VMCALL, eax, ecx, edx, finish, goTo, launch, resume, skip, store } from './case.ts';
import type { Case } from './case.ts';
import { AT, CR4_PROTECTED } from './layout.ts';

const PDPT32 = AT.DATA + 0xc00;
const PAE = 0x20;
const [KERNEL_GS_BASE, PAT, TSC] = [0xc0000102n, 0x277n, 0x10n];
const [STORED, LOADED_AT_EXIT] = [AT.LISTS + 0x200, AT.LISTS + 0x300];
const VMREAD_RAX_RDX = '0f 78 d0'; // the field that RDX names into RAX
const VMWRITE_RDX_RAX = '0f 79 d0'; // RAX into the field that RDX names
const pdptes = [PDPT32, AT.PD | 1, 0, 0, 0] as const;
/** Real-address mode: AT.L2 lies in the segment that reaches beyond the first MByte. */
const [SEGMENT, BASE] = [0xffff, 0xffff0];
// prettier-ignore
const REAL = {
  GUEST_CR0: 0x30, GUEST_CR4: 0x2000, GUEST_CS_SELECTOR: SEGMENT, GUEST_CS_BASE: BASE, GUEST_CS_LIMIT: 0xffff,
  GUEST_CS_AR_BYTES: 0x9b, GUEST_RIP: AT.L2 - BASE, GUEST_RSP: 0x7000, GUEST_IDTR_BASE: 0, GUEST_IDTR_LIMIT: 0x3ff,
} as const;

export const MODE_CASES: readonly Case[] = [
  {
    name: 'protected mode with 32-bit paging',
    profiles: BOTH,
    mode: 'protected',
    controls: ['primary.CR3_LOAD_EXITING', 'primary.UNCONDITIONAL_IO_EXITING', 'primary.INVLPG_EXITING'],
    l2: `0f a2\n0f 20 d8 0f 22 d8\ne4 80\nbf ${dword(AT.DATA)} b9 02 00 00 00 f3 6d\n0f 01 3d ${dword(AT.DATA)}\n0f 79 05 ${dword(AT.DATA)}\n${VMCALL}`,
    exits: ['CPUID', 'CR_ACCESS', 'IO_INSTRUCTION', 'IO_INSTRUCTION', 'INVLPG', 'VMWRITE', 'VMCALL'],
  },
  ...[true, false].map((ept): Case => ({
    name: `PAE paging, ${ept ? 'with' : 'without'} EPT: the page-directory pointers`,
    profiles: BOTH,
    mode: 'protected',
    controls: ept ? ['secondary.ENABLE_EPT'] : [],
    fields: { GUEST_CR4: CR4_PROTECTED | PAE, GUEST_CR3: PDPT32, ...(ept ? { GUEST_PDPTR0: AT.PD | 1 } : {}) },
    memory: () => [pdptes],
    // L2 changes an entry, and loads CR3 again; then again with a bad entry, which is #GP.
    l2: `c7 05 ${dword(PDPT32 + 8)} ${dword(AT.PD | 1)}\n0f 20 d8 0f 22 d8\n0f a2\na1 ${dword(0x40000000 + AT.DATA)}\nc7 05 ${dword(PDPT32 + 16)} ${dword(0x1e7)}\n0f 20 d8 0f 22 d8\nend:\n${VMCALL}`,
    // Without EPT the pointers are loaded again at the entry, from memory.
    script: ({ end }) => [launch, skip, resume, store(PDPT32 + 16, 0), goTo(end), resume, finish],
    exits: ['CPUID', 'EXCEPTION_NMI', 'VMCALL'],
  })),
  {
    name: 'real-address mode, and protected mode entered from it',
    profiles: MODERN,
    mode: 'protected',
    controls: ['secondary.ENABLE_EPT', 'secondary.UNRESTRICTED_GUEST', 'exit.SAVE_IA32_EFER'],
    fields: REAL,
    l2: `0f a2\ncd 21\n66 ba 80 00 ec\n9c 58\n0f 20 c0 0c 01 0f 22 c0\n0f a2\n${VMCALL}\nhandler:\n0f a2\ncf`,
    // The vector of INT 21H, in low memory.
    script: ({ handler }) => [
      ...[store(0x84, SEGMENT * 0x10000 + handler - BASE), launch, skip, resume, skip, resume, skip, resume],
      finish,
    ],
    exits: ['CPUID', 'CPUID', 'CPUID', 'VMCALL'],
  },
  {
    name: 'MSR lists: loaded at the entry, stored and loaded at the exit; the counter is what L1 would read',
    profiles: BOTH,
    fields: {
      ...{ VM_ENTRY_MSR_LOAD_ADDR: AT.LISTS, VM_ENTRY_MSR_LOAD_COUNT: 1 },
      ...{ VM_EXIT_MSR_STORE_ADDR: STORED, VM_EXIT_MSR_STORE_COUNT: 3 },
      ...{ VM_EXIT_MSR_LOAD_ADDR: LOADED_AT_EXIT, VM_EXIT_MSR_LOAD_COUNT: 1 },
    },
    memory: () => [
      [AT.LISTS, KERNEL_GS_BASE, 0x1234n],
      [STORED, TSC, 0n, KERNEL_GS_BASE, 0n, PAT, 0n],
      [LOADED_AT_EXIT, PAT, 0x0007040600070405n],
    ],
    l2: `0f 01 f8 90 0f a2\n${VMCALL}`,
    exits: ['CPUID', 'VMCALL'],
  },
  {
    name: 'the time-stamp counter of L2: an offset and a multiplier, by RDTSC, RDTSCP and RDMSR',
    profiles: MODERN,
    controls: [
      ...(['primary.USE_TSC_OFFSETTING', 'secondary.USE_TSC_SCALING', 'secondary.ENABLE_RDTSCP'] as const),
      'primary.USE_MSR_BITMAPS',
    ],
    fields: { TSC_OFFSET: 0x1234_5678_9abc_def0n, TSC_MULTIPLIER: (1n << 48n) + (1n << 47n) + 12345n },
    l2: `0f 31\n0f a2\n0f 01 f9\n0f a2\n${ecx(0x10)} 0f 32\n${VMCALL}`,
    exits: ['CPUID', 'CPUID', 'VMCALL'],
  },
  {
    name: 'the time-stamp counter of L2 without a multiplier, and L1 moves its own',
    profiles: BOTH,
    controls: ['primary.USE_TSC_OFFSETTING', 'primary.USE_MSR_BITMAPS'],
    l2: `0f 31\n0f a2\n${ecx(0x10)} 0f 32\n0f a2\n${ecx(0x10)} ${eax(1000)} 31 d2 0f 30\n0f 31\n${VMCALL}`,
    script: () => [launch, skip, resume, ['wrmsr', 0x10, 0x1_0000_0000n], skip, resume, finish],
    exits: ['CPUID', 'CPUID', 'VMCALL'],
  },
  {
    name: 'CR3 targets pass',
    profiles: BOTH,
    controls: ['primary.CR3_LOAD_EXITING'],
    fields: { CR3_TARGET_COUNT: 2, CR3_TARGET_VALUE0: 0x1000, CR3_TARGET_VALUE1: AT.PML4 },
    l2: `${eax(AT.PML4)} 0f 22 d8\n0f a2\n${eax(AT.PML4 | 8)} 0f 22 d8\n${VMCALL}`,
    exits: ['CPUID', 'CR_ACCESS', 'VMCALL'],
  },
  {
    name: "the page-fault filter: only writes exit; others are L2's",
    profiles: BOTH,
    fields: {
      EXCEPTION_BITMAP: 1 << 14,
      PAGE_FAULT_ERROR_CODE_MASK: 2,
      PAGE_FAULT_ERROR_CODE_MATCH: 2,
      GUEST_IDTR_LIMIT: 0,
    },
    l2: `88 04 25 ${dword(0x70000000)}\nnext:\n8a 04 25 ${dword(0x70000000)}\n${VMCALL}`,
    // Without a table for it, the read ends in a triple fault.
    script: ({ next }) => [launch, goTo(next), resume, goTo(next + 7), resume, finish],
    exits: ['EXCEPTION_NMI', 'TRIPLE_FAULT', 'VMCALL'],
  },
  {
    name: 'debug registers that neither entry nor exit loads or saves',
    profiles: BOTH,
    fields: { GUEST_DR7: 0x455 },
    l2: `0f 21 f8\n0f a2\n${eax(0x401)} 0f 23 f8\n${VMCALL}\n0f 21 f8\n${VMCALL}`,
    script: () => [launch, skip, resume, skip, resume, finish],
    exits: ['CPUID', 'VMCALL', 'VMCALL'],
  },
  {
    name: 'VMCS shadowing for L2: fields that L1 lets pass, one that exits, one that there is not',
    profiles: MODERN,
    controls: ['secondary.VMCS_SHADOWING'],
    fields: {
      VMCS_LINK_POINTER: AT.OTHER_REGION,
      VMREAD_BITMAP: AT.IO_BITMAP_A_PAGE,
      VMWRITE_BITMAP: AT.IO_BITMAP_B_PAGE,
    },
    // The revision with the shadow indicator; GUEST_RSP exits.
    memory: () => [[AT.IO_BITMAP_A_PAGE + ((ENCODING.GUEST_RSP >> 6) << 3), 1n << BigInt(ENCODING.GUEST_RSP & 63)]],
    l2: `${eax(0x12345678)} ${edx(ENCODING.GUEST_RIP)} ${VMWRITE_RDX_RAX}\n31 c0 ${VMREAD_RAX_RDX}\n0f a2\n${edx(0x7ffe)} ${VMREAD_RAX_RDX} 9c 5b\n${edx(ENCODING.GUEST_RSP)} ${VMREAD_RAX_RDX}\n${VMCALL}`,
    script: () => [
      ...[store(AT.OTHER_REGION, BigInt((VMCS_REVISION_ID | 0x80000000) >>> 0)), launch, skip, resume, skip, resume],
      finish,
    ],
    exits: ['CPUID', 'VMREAD', 'VMCALL'],
  },
];
