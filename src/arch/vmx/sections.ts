// SPDX-License-Identifier: Apache-2.0
// The sections of the SDM that VM-entry rules come from, in the manual's order.

// prettier-ignore
export const SECTION = {
  basic:            '27.1 Basic VM-Entry Checks',
  execution:        '27.2.1.1 VM-Execution Control Fields',
  exit:             '27.2.1.2 VM-Exit Control Fields',
  entry:            '27.2.1.3 VM-Entry Control Fields',
  hostRegisters:    '27.2.2 Checks on Host Control Registers, MSRs, and SSP',
  hostSegments:     '27.2.3 Checks on Host Segment and Descriptor-Table Registers',
  addressSpace:     '27.2.4 Checks Related to Address-Space Size',
  guestRegisters:   '27.3.1.1 Checks on Guest Control Registers, Debug Registers, and MSRs',
  guestSegments:    '27.3.1.2 Checks on Guest Segment Registers',
  guestTables:      '27.3.1.3 Checks on Guest Descriptor-Table Registers',
  guestRip:         '27.3.1.4 Checks on Guest RIP, RFLAGS, and SSP',
  guestNonRegister: '27.3.1.5 Checks on Guest Non-Register State',
  guestPdptes:      '27.3.1.6 Checks on Guest Page-Directory-Pointer-Table Entries',
  loadingMsrs:      '27.4 Loading MSRs',
  savingMsrs:       '28.4 Saving MSRs',
} as const;
