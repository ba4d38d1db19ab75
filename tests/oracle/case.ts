// SPDX-License-Identifier: Apache-2.0

import type { UserState } from './cpu-under-test.ts';

export type MemoryBytes = { readonly address: bigint; readonly bytes: Uint8Array };

/**
 * How two results may differ although each is right: the manual leaves it undefined, or processors approximate.
 * Everything not named here is compared to the bit.
 */
export type Allowance = {
  /** RFLAGS bits not to compare. */
  rflags: number;
  /** Bit n: general register n is undefined. */
  general: number;
  /** Bits of one general register that are undefined. */
  generalBits?: { readonly register: number; readonly bits: bigint };
  /** x87 status word bits not to compare (C0..C3 where undefined). */
  fsw: number;
  /** Bytes of memory not to compare. */
  memory: { readonly address: bigint; readonly length: number }[];
  /** Floating-point results that approximate: the element, and by how much (relative) it may be off. */
  approximate?: { readonly element: 'single' | 'extended'; readonly relative: number };
  /** Bits of a page fault's error code not to compare. */
  errorCode: number;
};

/** One instruction to run. `state` and `memory` are what it finds. */
export type CaseInput = {
  /** Name of the form, for example `add 01 /r d`. */
  readonly form: string;
  /** Number within the form and seed: with them the case can be made again. */
  readonly index: number;
  /** Instruction bytes, at `state.rip`. */
  readonly code: Uint8Array;
  readonly state: UserState;
  /** Bytes that differ from the background. */
  readonly memory: readonly MemoryBytes[];
  /** A REP string instruction: step until RIP moves. */
  readonly repeat: boolean;
  /** Many instructions, to be run until INT3 or a fault. */
  readonly stream?: boolean;
  readonly allowance: Allowance;
};

/** What came out: completed, or the fault, and the state and changed memory in either case. */
export type Outcome = {
  readonly fault?: { readonly vector: number; readonly errorCode: number; readonly address: bigint };
  readonly state: UserState;
  /** Runs of bytes that changed. */
  readonly writes: readonly MemoryBytes[];
};

export type Case = CaseInput & { readonly expected: Outcome };
