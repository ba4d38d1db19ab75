// SPDX-License-Identifier: Apache-2.0

/** Access rights of the flat segments that system calls load without reading descriptors. */
// prettier-ignore
export const FLAT = {
  code64: 0xa09b, code32: 0xc09b, data: 0xc093,
  userCode64: 0xa0fb, userCode32: 0xc0fb, userData: 0xc0f3,
} as const;

/** What SYSRET takes from R11. */
export const SYSRET_FLAGS = 0x3c7fd7;
