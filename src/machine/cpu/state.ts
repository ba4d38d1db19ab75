// SPDX-License-Identifier: Apache-2.0
// Table: the processor's state block, one row per field, in bytes from the processor's area.

/**
 * Both engines and all microcode read these offsets; snapshots copy the block whole.
 * Registers come first: their offsets are what decoded records hold.
 */
// prettier-ignore
export const STATE = {
  /** RAX RCX RDX RBX RSP RBP RSI RDI R8..R15, 8 bytes each. */
  general: 0x000,
  /** Always zero: the base, index or segment base of an operand that has none. */
  zero: 0x080,
  /** RIP minus the offset in its page: RIP of a byte in the current code page = this + offset. */
  ripBase: 0x088,
  /** Exact whenever microcode runs or the engine is outside compiled code. */
  rip: 0x090,
  /** Arithmetic flags, kept lazily: the sign-extended result ... */
  flagResult: 0x098,
  /** ... and the carries: CF bit 31, CF xor OF bit 30, parity delta bits 15:8, AF bit 3, sign delta bit 0. */
  flagCarry: 0x0a0,
  /** RFLAGS without CF PF AF ZF SF OF. */
  flagsOther: 0x0a4,
  /** Or-ed into the tag of data accesses: TLB space and access class. */
  dataContext: 0x0a8,
  /** The same for instruction fetches. */
  fetchContext: 0x0b0,
  dataHash: 0x0b8,
  fetchHash: 0x0bc,
  /** Not zero: something is to be done before the next block. */
  attention: 0x0c0,
  /** Instructions this run may still retire. */
  remaining: 0x0c4,
  /** Set by a slow access: bit 0 leave the block after this instruction, bit 1 a store waits in scratch. */
  afterAccess: 0x0c8,
  /** Decides how bytes are decoded: see mode.ts. */
  mode: 0x0cc,
  /** The record being executed, written before every call out of the engine. */
  record: 0x0d0,
  /** Added to RIP for the linear address of code, and the mask that follows. */
  codeBase: 0x0d8,
  codeMask: 0x0e0,
  /** Where an address record leaves its linear address. */
  linear: 0x0e8,
  /** A second one for instructions with two memory operands. */
  linear2: 0x0f0,
  /** Another zero: the segment base of operands in SS, so that a fault knows. */
  zeroStack: 0x338,
  /** Arithmetic flags between regions, in the form of jit/flag-kinds.ts; the interpreter's own are stale meanwhile. */
  regionFlagKind: 0x340, regionFlagA: 0x348, regionFlagB: 0x350,
  /** The block of which a run's budget did not cover all, for the sampler; bit 0: a region came to it. */
  sample: 0x358,
  /** Not zero: no event waits for IF, for the end of a shadow or for a window: who opens one need not ask for attention. */
  noEventWaits: 0x35c,
  /** Virtual time at the end of the run's budget, in ticks. */
  ticksAtEnd: 0x360,
  /** What is added to ticks for the time-stamp counter that is seen now, and what of it may be used: see timing.ts. */
  tscAhead: 0x368, timeDirect: 0x370,
  /** PAUSE-loop exiting: its limits, and the ticks of the first and the last PAUSE of the loop. */
  /** Ticks after the STI whose shadow nobody has had to see: VMX shows it if the next instruction exits. */
  stiTick: 0x390,
  pauseGap: 0x374, pauseWindow: 0x378, pauseFirst: 0x380, pauseLast: 0x388,
  /** Scratch for microcode that hands a 64-bit value to compiled code. */
  temporary: 0x0f8,

  /** ES CS SS DS FS GS LDTR TR: 32 bytes each, fields in SEGMENT. */
  segments: 0x100,
  gdtrBase: 0x200, gdtrLimit: 0x208, idtrBase: 0x210, idtrLimit: 0x218,
  cr0: 0x220, cr2: 0x228, cr3: 0x230, cr4: 0x238,
  dr0: 0x240, dr1: 0x248, dr2: 0x250, dr3: 0x258, dr6: 0x260, dr7: 0x268,
  efer: 0x270, star: 0x278, lstar: 0x280, cstar: 0x288, fmask: 0x290, kernelGsBase: 0x298,
  sysenterCs: 0x2a0, sysenterEsp: 0x2a8, sysenterEip: 0x2b0, pat: 0x2b8, tscAux: 0x2c0, xcr0: 0x2c8, xss: 0x2d0,
  /** Current privilege level, 0..3. */
  cpl: 0x2d8,
  /** SDM activity state: 0 active, 1 HLT, 2 shutdown, 3 wait-for-SIPI. */
  activity: 0x2dc,
  /** Interruptibility: bit 0 blocking by STI, bit 1 by MOV SS, bit 3 by NMI (as in the VMCS field). */
  interruptibility: 0x2e0,
  /** Not zero in VMX non-root operation. */
  nonRoot: 0x2e4,
  pdpte0: 0x2e8, pdpte1: 0x2f0, pdpte2: 0x2f8, pdpte3: 0x300,
  mxcsr: 0x308, fcw: 0x30c, fsw: 0x310, ftw: 0x314, fop: 0x318, fip: 0x320, fdp: 0x328, fcs: 0x330, fds: 0x334,

  /** XMM0..XMM15, 16 bytes each, aligned. */
  xmm: 0x400,
  /** R0..R7 of the x87 stack, by physical number, 80 bits in 16 bytes; MM0..MM7 are their low halves. */
  x87: 0x500,
  /** The upper halves of YMM0..YMM15 when AVX comes. */
  ymmHigh: 0x580,
  size: 0x680,
} as const;

/** Within a segment register. Access rights in the VMCS layout. See: SDM 25.4.1 Guest Register State. */
export const SEGMENT = { base: 0, limit: 8, accessRights: 12, selector: 16, size: 32 } as const;

/** Sreg numbering of the SDM, then the two system segments. */
export const ES = 0;
export const CS = 1;
export const SS = 2;
export const DS = 3;
export const FS = 4;
export const GS = 5;
export const LDTR = 6;
export const TR = 7;

export const RAX = 0;
export const RCX = 1;
export const RDX = 2;
export const RBX = 3;
export const RSP = 4;
export const RBP = 5;
export const RSI = 6;
export const RDI = 7;

/** Offset of a general register; 8-bit AH CH DH BH lie one byte up in registers 0..3. */
export function generalOffset(register: number, high8 = false): number {
  return STATE.general + register * 8 + (high8 ? 1 : 0);
}

export function segmentOffset(segment: number): number {
  return STATE.segments + segment * SEGMENT.size;
}

/** `attention` bits. */
export const ATTENTION = {
  /** An interrupt, NMI, INIT or SIPI may be deliverable: ask. */
  interrupt: 1,
  /** RFLAGS.TF, a pending debug exception, or an enabled breakpoint of any kind. */
  debug: 2,
  /** One instruction runs under a STI or MOV SS shadow. */
  shadow: 4,
  /** The run loop is asked to return. */
  stop: 8,
  /** VMX: monitor trap flag, windows, preemption timer. */
  vmx: 16,
  /** The next deadline moved closer: the run's budget must be worked out again. */
  reschedule: 32,
} as const;

/** `afterAccess` bits. */
export const AFTER = { leave: 1, storePending: 2 } as const;
