// SPDX-License-Identifier: Apache-2.0
// Control registers: their bits, and which values may be written. See: SDM 2.5 Control Registers.

/** CR0, bits 31:0; bits 63:32 are reserved. */
// prettier-ignore
export const CR0_BITS = {
  PE: 1 << 0, MP: 1 << 1, EM: 1 << 2, TS: 1 << 3, ET: 1 << 4, NE: 1 << 5, WP: 1 << 16, AM: 1 << 18, NW: 1 << 29, CD: 1 << 30, PG: 1 << 31,
} as const;

const CR0_WRITABLE = Object.values(CR0_BITS).reduce<number>((all, bit) => all | bit, 0);

/** A bit of CR4 and the feature that it needs; without the feature it is reserved. */
// prettier-ignore
export const CR4_ROWS: readonly (readonly [name: string, bit: number, feature: string | undefined])[] = [
  ['VME',         0, 'VME'],
  ['PVI',         1, 'VME'],
  ['TSD',         2, 'TSC'],
  ['DE',          3, 'DE'],
  ['PSE',         4, 'PSE'],
  ['PAE',         5, 'PAE'],
  ['MCE',         6, 'MCE'],
  ['PGE',         7, 'PGE'],
  ['PCE',         8, undefined],
  ['OSFXSR',      9, 'FXSR'],
  ['OSXMMEXCPT', 10, 'SSE'],
  ['UMIP',       11, 'UMIP'],
  ['VMXE',       13, 'VMX'],
  ['FSGSBASE',   16, 'FSGSBASE'],
  ['PCIDE',      17, 'PCID'],
  ['OSXSAVE',    18, 'XSAVE'],
  ['SMEP',       20, 'SMEP'],
  ['SMAP',       21, 'SMAP'],
];

const PAE = 1 << 5;
const PCIDE = 1 << 17;

/** The bits of CR4 that may be 1 on a processor with these features. */
export function cr4Writable(features: ReadonlySet<string>): number {
  return CR4_ROWS.reduce(
    (mask, [, bit, feature]) => (feature === undefined || features.has(feature) ? mask | (1 << bit) : mask),
    0,
  );
}

/** What of the processor's state the rules for CR0 and CR4 look at. Signed or unsigned 32 bits. */
export interface ControlContext {
  readonly cr0: number;
  readonly cr4: number;
  /** Bits 31:0. */
  readonly cr3: number;
  readonly lme: boolean;
  readonly lma: boolean;
  /** CS.L */
  readonly longCode: boolean;
  /** TR holds a 16-bit TSS. */
  readonly tss16: boolean;
}

/** CR0 as it will be: reserved bits are ignored, ET is always 1. */
export function normalizedCr0(value: number): number {
  return (value & CR0_WRITABLE) | CR0_BITS.ET;
}

/** The rule that a new value of CR0 breaks (it is #GP then), or undefined. `value` is normalized. See: SDM Vol. 2B, MOV—Move to/from Control Registers. */
export function cr0Failure(value: number, context: ControlContext): string | undefined {
  const { PE, PG, NW, CD } = CR0_BITS;
  if (value & PG && !(value & PE)) return 'PG needs PE';
  if (value & NW && !(value & CD)) return 'NW needs CD';
  const enabling = (value & PG) !== 0 && (context.cr0 & PG) === 0;
  const disabling = (value & PG) === 0 && (context.cr0 & PG) !== 0;
  if (enabling && context.lme && !(context.cr4 & PAE)) return 'IA-32e mode needs CR4.PAE';
  if (enabling && context.lme && context.longCode) return 'IA-32e mode is not entered with CS.L = 1';
  if (enabling && context.lme && context.tss16) return 'IA-32e mode is not entered with a 16-bit TSS';
  if (disabling && context.lma && context.longCode) return 'PG is not cleared in 64-bit mode';
  return disabling && context.cr4 & PCIDE ? 'PG is not cleared with CR4.PCIDE = 1' : undefined;
}

/** The same for CR4, bits 31:0. */
export function cr4Failure(value: number, writable: number, context: ControlContext): string | undefined {
  if (value & ~writable) return 'reserved bit';
  if (context.lma && !(value & PAE)) return 'PAE is not cleared in IA-32e mode';
  if ((value & PCIDE) === 0 || context.cr4 & PCIDE) return undefined;
  if (!context.lma) return 'PCIDE needs IA-32e mode';
  return context.cr3 & 0xfff ? 'PCIDE is not set with CR3[11:0] not 0' : undefined;
}

/** PAE paging loads its four entries anew when one of these changes. See: SDM 4.4.1 PDPTE Registers. */
export const PDPTE_LOADING = {
  cr0: CR0_BITS.CD | CR0_BITS.NW | CR0_BITS.PG,
  cr4: (1 << 4) | PAE | (1 << 7) | (1 << 20),
} as const;

/** Bits of a present PDPTE's low half that must be 0. See: SDM Table 4-8 Format of a PAE Page-Directory-Pointer-Table Entry (PDPTE). */
export const PDPTE_RESERVED_LOW = 0x1e6;
