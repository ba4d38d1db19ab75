// SPDX-License-Identifier: Apache-2.0

/** What a 64-bit program sees of a processor. Fields are plain data; the arrays belong to whoever holds the object. */
export type UserState = {
  /** 16 registers in encoding order: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15. */
  general: BigUint64Array;
  rip: bigint;
  /** Without TF and RF: an oracle steps by TF, and RF is only seen in a pushed image. */
  rflags: bigint;
  fsBase: bigint;
  gsBase: bigint;
  /** Selectors in DS, ES, FS and GS, of which a program has small ones only. Every case begins with null ones. */
  selectors: Uint8Array;
  mxcsr: number;
  fcw: number;
  fsw: number;
  /** The abridged tag byte of FXSAVE: bit n set means *physical* register n is not empty. */
  ftw: number;
  /** ST(0)..ST(7), 16 bytes apart as in FXSAVE, 10 bytes used, the rest zero. MMn aliases *physical* register n. */
  st: Uint8Array;
  /** XMM0..XMM15, 16 bytes each. */
  xmm: Uint8Array;
};

export type StepResult =
  | { readonly kind: 'ok' }
  /** `errorCode` where the vector pushes one; `address` is CR2 of a page fault. */
  | { readonly kind: 'fault'; readonly vector: number; readonly errorCode?: number; readonly address?: bigint };

/**
 * A processor in 64-bit mode at CPL 3: CR0.AM, CR0.NE, CR4.OSFXSR, CR4.OSXMMEXCPT and CR4.FSGSBASE set, IOPL 0,
 * flat segments, pages and descriptors as `memory-map.ts` says. CS is 0x33 and SS 0x2b.
 */
export interface CpuUnderTest {
  set(state: UserState): void;
  get(): UserState;
  /** Linear addresses; reaches mapped pages whatever their protection. */
  writeMemory(address: bigint, bytes: Uint8Array): void;
  /** Into a fresh array, or the one given, which is as long. */
  readMemory(address: bigint, length: number, into?: Uint8Array): Uint8Array;
  /**
   * One instruction. A REP string instruction may stop after any whole iteration with RIP still at the instruction:
   * the oracle steps again. A fault leaves RIP at the faulting instruction; nothing is delivered.
   */
  step(): StepResult;
  /** Many, until one faults or is INT3, which is told as a fault. */
  run(): StepResult;
}

/** What `tests/oracle/adapter.ts` exports. */
export interface Adapter {
  createCpuUnderTest(): CpuUnderTest | Promise<CpuUnderTest>;
}
