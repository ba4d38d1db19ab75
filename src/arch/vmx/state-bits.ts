// SPDX-License-Identifier: Apache-2.0
// The bits of processor state that VM-entry rules name.

export const CR0_PE = 1 << 0;
export const CR0_WP = 1 << 16;
/** Unsigned. */
export const CR0_PG = 0x80000000;
export const CR4_DE = 1 << 3;
export const CR4_PAE = 1 << 5;
export const CR4_PCIDE = 1 << 17;
export const CR4_CET = 1 << 23;
export const EFER_LME = 1 << 8;
export const EFER_LMA = 1 << 10;
export const RFLAGS_TF = 1 << 8;
export const RFLAGS_IF = 1 << 9;
export const RFLAGS_RF = 1 << 16;
export const RFLAGS_VM = 1 << 17;
export const RFLAGS_AC = 1 << 18;
export const DEBUGCTL_BTF = 1 << 1;

/** Of the pending debug exceptions. See: SDM 25.4.2 Guest Non-Register State */
export const PENDING_BS = 1 << 14;

// Guest interruptibility state. See: SDM 25.4.2 Guest Non-Register State
export const BLOCKING_BY_STI = 1 << 0;
export const BLOCKING_BY_MOV_SS = 1 << 1;
export const BLOCKING_BY_SMI = 1 << 2;
export const BLOCKING_BY_NMI = 1 << 3;
export const ENCLAVE_INTERRUPTION = 1 << 4;

/** Guest activity states. */
export const ACTIVITY = { active: 0, hlt: 1, shutdown: 2, waitForSipi: 3 } as const;

// Bits of a segment's access-rights field. See: SDM 25.4.1 Guest Register State
export const AR_S = 1 << 4;
export const AR_P = 1 << 7;
export const AR_L = 1 << 13;
export const AR_DB = 1 << 14;
export const AR_G = 1 << 15;
export const AR_UNUSABLE = 1 << 16;
/** Bits 11:8 and 31:17, unsigned. */
export const AR_RESERVED = 0xfffe0f00;

/** IA32_S_CET, low half: bits 9:6 are reserved, SUPPRESS (10) and TRACKER (11) exclude each other. */
export function validSupervisorCet(low: number): boolean {
  return (low & 0x3c0) === 0 && (low & 0xc00) !== 0xc00;
}
