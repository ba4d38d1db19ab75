// SPDX-License-Identifier: Apache-2.0
// The exit qualification, laid out per cause. All bit fields lie in the low half; a qualification that is an address or
// a displacement fills the whole field. See: SDM 28.2.1 Basic VM-Exit Information

import type { BitLayout } from './bit-field.ts';

const REGISTER = {
  0: 'RAX',
  1: 'RCX',
  2: 'RDX',
  3: 'RBX',
  4: 'RSP',
  5: 'RBP',
  6: 'RSI',
  7: 'RDI',
  8: 'R8',
  9: 'R9',
  10: 'R10',
  11: 'R11',
  12: 'R12',
  13: 'R13',
  14: 'R14',
  15: 'R15',
} as const;

// prettier-ignore
export const DEBUG_EXCEPTION = {
  B0:                   { low:  0, width:  1, title: 'condition of breakpoint 0 met' },
  B1:                   { low:  1, width:  1, title: 'condition of breakpoint 1 met' },
  B2:                   { low:  2, width:  1, title: 'condition of breakpoint 2 met' },
  B3:                   { low:  3, width:  1, title: 'condition of breakpoint 3 met' },
  BLD:                  { low: 11, width:  1, title: 'bus lock detected' },
  BD:                   { low: 13, width:  1, title: 'debug-register access detected' },
  BS:                   { low: 14, width:  1, title: 'single step, or taken branch' },
  RTM:                  { low: 16, width:  1, title: 'inside an RTM region' },
} as const satisfies BitLayout;

// prettier-ignore
export const TASK_SWITCH = {
  SELECTOR:             { low:  0, width: 16, title: 'selector of the TSS switched to' },
  SOURCE:               { low: 30, width:  2, title: 'source of the task switch', values: { 0: 'CALL', 1: 'IRET', 2: 'JMP', 3: 'task gate' } },
} as const satisfies BitLayout;

// prettier-ignore
export const CR_ACCESS = {
  NUMBER:               { low:  0, width:  4, title: 'number of the control register (0 for CLTS and LMSW)' },
  ACCESS_TYPE:          { low:  4, width:  2, title: 'access type', values: { 0: 'MOV to CR', 1: 'MOV from CR', 2: 'CLTS', 3: 'LMSW' } },
  LMSW_OPERAND_TYPE:    { low:  6, width:  1, title: 'LMSW operand', values: { 0: 'register', 1: 'memory' } },
  REGISTER:             { low:  8, width:  4, title: 'general-purpose register', values: REGISTER },
  LMSW_SOURCE:          { low: 16, width: 16, title: 'LMSW source data' },
} as const satisfies BitLayout;
export const CR_ACCESS_TYPE = { movTo: 0, movFrom: 1, clts: 2, lmsw: 3 } as const;

// prettier-ignore
export const DR_ACCESS = {
  NUMBER:               { low:  0, width:  3, title: 'number of the debug register' },
  DIRECTION:            { low:  4, width:  1, title: 'direction', values: { 0: 'MOV to DR', 1: 'MOV from DR' } },
  REGISTER:             { low:  8, width:  4, title: 'general-purpose register', values: REGISTER },
} as const satisfies BitLayout;

// prettier-ignore
export const IO_INSTRUCTION = {
  SIZE_MINUS_1:         { low:  0, width:  3, title: 'size of the access', values: { 0: '1 byte', 1: '2 bytes', 3: '4 bytes' } },
  DIRECTION:            { low:  3, width:  1, title: 'direction', values: { 0: 'OUT', 1: 'IN' } },
  STRING:               { low:  4, width:  1, title: 'INS or OUTS' },
  REP:                  { low:  5, width:  1, title: 'REP prefix' },
  OPERAND_ENCODING:     { low:  6, width:  1, title: 'port operand', values: { 0: 'DX', 1: 'immediate' } },
  PORT:                 { low: 16, width: 16, title: 'port number' },
} as const satisfies BitLayout;

// prettier-ignore
export const APIC_ACCESS = {
  OFFSET:               { low:  0, width: 12, title: 'offset of the access within the APIC page' },
  ACCESS_TYPE:          { low: 12, width:  4, title: 'access type', values: {
    0: 'linear: data read', 1: 'linear: data write', 2: 'linear: instruction fetch', 3: 'linear: event delivery',
    10: 'guest-physical: event delivery', 15: 'guest-physical: instruction fetch or execution' } },
  ASYNCHRONOUS:         { low: 16, width:  1, title: 'asynchronous to instruction execution' },
} as const satisfies BitLayout;

// prettier-ignore
export const EPT_VIOLATION = {
  READ:                 { low:  0, width:  1, title: 'the access was a data read' },
  WRITE:                { low:  1, width:  1, title: 'the access was a data write' },
  FETCH:                { low:  2, width:  1, title: 'the access was an instruction fetch' },
  READABLE:             { low:  3, width:  1, title: 'the guest-physical address was readable' },
  WRITABLE:             { low:  4, width:  1, title: 'the guest-physical address was writable' },
  EXECUTABLE:           { low:  5, width:  1, title: 'the guest-physical address was executable' },
  USER_EXECUTABLE:      { low:  6, width:  1, title: 'executable for user-mode linear addresses (mode-based execute control)' },
  LINEAR_VALID:         { low:  7, width:  1, title: 'the guest-linear-address field is valid' },
  TRANSLATED:           { low:  8, width:  1, title: 'the access was to the translation of a linear address, not to a paging structure' },
  USER:                 { low:  9, width:  1, title: 'user-mode linear address (advanced information)' },
  GUEST_WRITABLE:       { low: 10, width:  1, title: 'read/write page (advanced information)' },
  GUEST_EXECUTE_DISABLE:{ low: 11, width:  1, title: 'execute-disable page (advanced information)' },
  NMI_UNBLOCKING:       { low: 12, width:  1, title: 'NMI unblocking due to IRET' },
  SHADOW_STACK:         { low: 13, width:  1, title: 'shadow-stack access' },
  SUPERVISOR_SHADOW_STACK: { low: 14, width: 1, title: 'supervisor shadow-stack page' },
  PAGING_VERIFICATION:  { low: 15, width:  1, title: 'guest-paging verification' },
  ASYNCHRONOUS:         { low: 16, width:  1, title: 'asynchronous to instruction execution' },
} as const satisfies BitLayout;

// prettier-ignore
export const SIPI             = { VECTOR: { low: 0, width: 8, title: 'SIPI vector' } } as const satisfies BitLayout;
// prettier-ignore
export const EOI_INDUCED      = { VECTOR: { low: 0, width: 8, title: 'vector of the EOI' } } as const satisfies BitLayout;
// prettier-ignore
export const APIC_WRITE       = { OFFSET: { low: 0, width: 12, title: 'offset of the write within the APIC page' } } as const satisfies BitLayout;
// prettier-ignore
export const MWAIT            = { ARMED:  { low: 0, width: 1, title: 'address-range monitoring hardware was armed' } } as const satisfies BitLayout;
// prettier-ignore
export const PML_FULL         = { NMI_UNBLOCKING: { low: 12, width: 1, title: 'NMI unblocking due to IRET' } } as const satisfies BitLayout;
// prettier-ignore
export const INVALID_STATE    = { CAUSE:  { low: 0, width: 32, title: 'cause of the failed VM entry', values: {
  0: 'other', 2: 'PDPTE loading', 3: 'NMI injection under blocking by STI', 4: 'VMCS link pointer' } } } as const satisfies BitLayout;
// prettier-ignore
export const MSR_LOAD_FAIL    = { ENTRY:  { low: 0, width: 32, title: 'number of the failing entry of the MSR-load area, from 1' } } as const satisfies BitLayout;

/**
 * VM-exit interruption information, IDT-vectoring information and VM-entry interruption information share these bits;
 * NMI_UNBLOCKING exists in the first only.
 * See: SDM 25.9.2 Information for VM Exits Due to Vectored Events
 */
// prettier-ignore
export const INTERRUPTION_INFORMATION = {
  VECTOR:               { low:  0, width:  8, title: 'vector' },
  TYPE:                 { low:  8, width:  3, title: 'interruption type', values: {
    0: 'external interrupt', 2: 'NMI', 3: 'hardware exception', 4: 'software interrupt',
    5: 'privileged software exception', 6: 'software exception', 7: 'other event' } },
  ERROR_CODE_VALID:     { low: 11, width:  1, title: 'error code valid (exit) or delivered (entry)' },
  NMI_UNBLOCKING:       { low: 12, width:  1, title: 'NMI unblocking due to IRET' },
  VALID:                { low: 31, width:  1, title: 'valid' },
} as const satisfies BitLayout;

/** Values of INTERRUPTION_INFORMATION.TYPE. */
export const INTERRUPTION_TYPE = {
  externalInterrupt: 0,
  nmi: 2,
  hardwareException: 3,
  softwareInterrupt: 4,
  privilegedSoftwareException: 5,
  softwareException: 6,
  otherEvent: 7,
} as const;
