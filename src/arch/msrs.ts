// SPDX-License-Identifier: Apache-2.0
// Table: model-specific registers. See: SDM Vol. 4, 2.1 Architectural MSRs.

/** What a value must be beside having no reserved bit set. */
export type MsrRule = 'canonical' | 'pat' | 'memory types' | 'memory type';

export interface MsrRow {
  readonly index: number;
  readonly name: string;
  readonly reset: bigint;
  /** Bits that a write changes; undefined: the register is read-only and every write is #GP. */
  readonly writable: bigint | undefined;
  /** Bits whose written value is ignored; all others that are not writable must be written as 0. */
  readonly ignored: bigint;
  /** RDMSR of a command register is #GP. */
  readonly readable: boolean;
  readonly rule: MsrRule | undefined;
}

/** What of the processor's identity decides which registers there are. */
export interface MsrDescription {
  readonly features: ReadonlySet<string>;
  readonly physicalAddressBits: number;
  readonly frequencyHz: number;
  readonly microcodeRevision: number;
}

/** IA32_ARCH_CAPABILITIES. See: SDM Vol. 4, Table 2-2 IA-32 Architectural MSRs, 10AH. */
// prettier-ignore
export const ARCH_CAPABILITIES = {
  RDCL_NO:          1n << 0n,
  IBRS_ALL:         1n << 1n,
  SKIP_L1DFL_VMENTRY: 1n << 3n,
  SSB_NO:           1n << 4n,
  MDS_NO:           1n << 5n,
  PSCHANGE_MC_NO:   1n << 6n,
  TAA_NO:           1n << 8n,
  SBDR_SSDP_NO:     1n << 13n,
  FBSDP_NO:         1n << 14n,
  PSDP_NO:          1n << 15n,
  BHI_NO:           1n << 20n,
  PBRSB_NO:         1n << 24n,
  GDS_NO:           1n << 26n,
  RFDS_NO:          1n << 27n,
  ITS_NO:           1n << 62n,
} as const;

/** MTRR pairs that IA32_MTRRCAP counts. */
export const VARIABLE_RANGES = 8;
const FIXED_RANGE_MSRS = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f] as const;

const ALL = (1n << 64n) - 1n;
const LOW_HALF = 0xffffffffn;
const PAT_RESET = 0x0007040600070406n;

/** Fast strings; branch trace store and PEBS unavailable; MONITOR enabled. */
const MISC_ENABLE_RESET = (1n << 0n) | (1n << 11n) | (1n << 12n);

type Options = Partial<Pick<MsrRow, 'reset' | 'ignored' | 'readable' | 'rule'>>;

function register(index: number, name: string, writable: bigint | undefined, options: Options = {}): MsrRow {
  return { index, name, writable, reset: 0n, ignored: 0n, readable: true, rule: undefined, ...options };
}

const canonical = { rule: 'canonical' } as const;

/** The registers that a processor with these features has, but for those of the local APIC and of VMX. */
export function msrRows(description: MsrDescription): MsrRow[] {
  const { features, frequencyHz } = description;
  const has = (feature: string): boolean => features.has(feature);
  const when = (condition: boolean, ...rows: readonly MsrRow[]): readonly MsrRow[] => (condition ? rows : []);
  const ratio = BigInt(Math.max(1, Math.round(frequencyHz / 1e8)));
  const monitor = has('MONITOR') ? 1n << 18n : 0n;
  // prettier-ignore
  return [
    register(0x010, 'IA32_TIME_STAMP_COUNTER',    ALL),
    register(0x017, 'IA32_PLATFORM_ID',           undefined),
    register(0x034, 'MSR_SMI_COUNT',              undefined),
    ...when(has('VMX'),
      register(0x03a, 'IA32_FEATURE_CONTROL',     0x5n)),
    ...when(has('TSC_ADJUST'),
      register(0x03b, 'IA32_TSC_ADJUST',          ALL)),
    ...when(has('SPEC_CTRL') || has('STIBP') || has('SSBD'),
      register(0x048, 'IA32_SPEC_CTRL',           (has('SPEC_CTRL') ? 1n : 0n) | (has('STIBP') ? 2n : 0n) | (has('SSBD') ? 4n : 0n) | (has('BHI_CTRL') ? 1n << 10n : 0n))),
    ...when(has('SPEC_CTRL'),
      register(0x049, 'IA32_PRED_CMD',            0n, { ignored: 1n, readable: false })),
    register(0x079, 'IA32_BIOS_UPDT_TRIG',        0n, { ignored: ALL, readable: false }),
    register(0x08b, 'IA32_BIOS_SIGN_ID',          0n, { ignored: ALL, reset: BigInt(description.microcodeRevision) << 32n }),
    register(0x0ce, 'MSR_PLATFORM_INFO',          undefined, { reset: (ratio << 8n) | (ratio << 40n) }),
    register(0x0e2, 'MSR_PKG_CST_CONFIG_CONTROL', undefined, { reset: 1n << 15n }),
    ...when(has('ARCH_CAPABILITIES'),
      register(0x10a, 'IA32_ARCH_CAPABILITIES',   undefined, { reset: Object.values(ARCH_CAPABILITIES).reduce((all, bit) => all | bit, 0n) })),
    ...when(has('L1D_FLUSH'),
      register(0x10b, 'IA32_FLUSH_CMD',           0n, { ignored: 1n, readable: false })),
    register(0x140, 'MSR_MISC_FEATURES_ENABLES',  0n),
    ...when(has('SEP'),
      register(0x174, 'IA32_SYSENTER_CS',         LOW_HALF, { ignored: ALL }),
      register(0x175, 'IA32_SYSENTER_ESP',        ALL, canonical),
      register(0x176, 'IA32_SYSENTER_EIP',        ALL, canonical)),
    ...when(has('MCA'),
      register(0x179, 'IA32_MCG_CAP',             undefined),
      register(0x17a, 'IA32_MCG_STATUS',          0x7n)),
    register(0x198, 'IA32_PERF_STATUS',           undefined, { reset: ratio << 8n }),
    register(0x199, 'IA32_PERF_CTL',              0xffffn, { ignored: ALL, reset: ratio << 8n }),
    register(0x1a0, 'IA32_MISC_ENABLE',           0x9n | monitor, { ignored: 0x1880n, reset: MISC_ENABLE_RESET | monitor }),
    register(0x1d9, 'IA32_DEBUGCTL',              0x3n),
    register(0x1db, 'MSR_LASTBRANCHFROMIP',       undefined),
    register(0x1dc, 'MSR_LASTBRANCHTOIP',         undefined),
    register(0x1dd, 'MSR_LASTINTFROMIP',          undefined),
    register(0x1de, 'MSR_LASTINTTOIP',            undefined),
    register(0x1fc, 'MSR_POWER_CTL',              LOW_HALF),
    ...when(has('MTRR'), ...memoryTypeRanges(description.physicalAddressBits)),
    ...when(has('PAT'),
      register(0x277, 'IA32_PAT',                 ALL, { rule: 'pat', reset: PAT_RESET })),
    ...when(has('XSAVES'),
      register(0xda0, 'IA32_XSS',                 0n)),
    register(0xc0000080, 'IA32_EFER',             (has('SYSCALL') ? 1n : 0n) | (has('LM') ? 0x100n : 0n) | (has('NX') ? 0x800n : 0n), { ignored: 0x400n }),
    ...when(has('SYSCALL'),
      register(0xc0000081, 'IA32_STAR',           ALL),
      register(0xc0000082, 'IA32_LSTAR',          ALL, canonical),
      register(0xc0000083, 'IA32_CSTAR',          ALL, canonical),
      register(0xc0000084, 'IA32_FMASK',          LOW_HALF)),
    ...when(has('LM'),
      register(0xc0000100, 'IA32_FS_BASE',        ALL, canonical),
      register(0xc0000101, 'IA32_GS_BASE',        ALL, canonical),
      register(0xc0000102, 'IA32_KERNEL_GS_BASE', ALL, canonical)),
    ...when(has('RDTSCP') || has('RDPID'),
      register(0xc0000103, 'IA32_TSC_AUX',        LOW_HALF)),
  ];
}

/** See: SDM 12.11 Memory Type Range Registers (MTRRs). */
function memoryTypeRanges(physicalAddressBits: number): MsrRow[] {
  const address = ((1n << BigInt(physicalAddressBits)) - 1n) & ~0xfffn;
  const variable = Array.from({ length: VARIABLE_RANGES }, (_, n) => [
    register(0x200 + 2 * n, `IA32_MTRR_PHYSBASE${n}`, address | 0xffn, { rule: 'memory type' }),
    register(0x201 + 2 * n, `IA32_MTRR_PHYSMASK${n}`, address | 0x800n),
  ]);
  return [
    // Write-combining and fixed ranges exist.
    register(0x0fe, 'IA32_MTRRCAP', undefined, { reset: BigInt(0x500 | VARIABLE_RANGES) }),
    ...variable.flat(),
    ...FIXED_RANGE_MSRS.map((index) =>
      register(index, `IA32_MTRR_FIX_${index.toString(16)}`, ALL, { rule: 'memory types' }),
    ),
    register(0x2ff, 'IA32_MTRR_DEF_TYPE', 0xcffn, { rule: 'memory type' }),
  ];
}

/** UC, WC, WT, WP, WB. See: SDM Table 12-8 Memory Types That Can Be Encoded in MTRRs. */
const MTRR_TYPES: ReadonlySet<bigint> = new Set([0n, 1n, 4n, 5n, 6n]);
/** The same and UC-. See: SDM Table 12-10 Memory Types That Can Be Encoded With PAT. */
const PAT_TYPES: ReadonlySet<bigint> = new Set([...MTRR_TYPES, 7n]);

function everyByte(value: bigint, types: ReadonlySet<bigint>): boolean {
  for (let shift = 0n; shift < 64n; shift += 8n) if (!types.has((value >> shift) & 0xffn)) return false;
  return true;
}

/** Whether an unsigned 64-bit value is a canonical address of 48 bits. */
export function canonicalValue(value: bigint): boolean {
  const top = value >> 47n;
  return top === 0n || top === 0x1ffffn;
}

function keepsRule(rule: MsrRule | undefined, value: bigint): boolean {
  // prettier-ignore
  switch (rule) {
    case undefined:      return true;
    case 'canonical':    return canonicalValue(value);
    case 'pat':          return everyByte(value, PAT_TYPES);
    case 'memory types': return everyByte(value, MTRR_TYPES);
    case 'memory type':  return MTRR_TYPES.has(value & 0xffn);
  }
}

/** What a write of `value` over `before` leaves, or undefined for #GP. Values are unsigned. */
export function msrAfterWrite(row: MsrRow, before: bigint, value: bigint): bigint | undefined {
  const { writable, ignored } = row;
  if (writable === undefined || (value & ~(writable | ignored) & ALL) !== 0n || !keepsRule(row.rule, value))
    return undefined;
  return (value & writable) | (before & ~writable & ALL);
}
