// SPDX-License-Identifier: Apache-2.0

/**
 * The mode word of a processor: everything on which the meaning of instruction bytes depends. Translations are keyed by
 * (host-physical address, mode word); a change of mode never drops one.
 */
export const MODE = {
  /** Blocks of one instruction, for exact stops. */
  single: 1,
  /** Code size: neither 16-bit, code32 or code64. */
  code32: 2,
  code64: 4,
  /** SS.B: stack addresses are 32 bits wide (64-bit code: always 64). */
  stack32: 8,
  /** All of ES, CS, SS, DS have base 0, limit 4 GiB and grow up: no check ever fails, no base is added. */
  flat: 16,
  virtual8086: 32,
  /** CR0.PE = 0. */
  real: 64,
  /** CR0.EM or CR0.TS: x87 (and MMX) instructions raise #NM; with EM MMX and SSE raise #UD. */
  em: 128,
  ts: 256,
  /** CR4.OSFXSR = 0: SSE instructions raise #UD. */
  noSse: 512,
  /** CR0.MP with TS: WAIT raises #NM. */
  mp: 1024,
} as const;
