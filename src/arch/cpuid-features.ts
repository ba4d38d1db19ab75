// SPDX-License-Identifier: Apache-2.0
// Table: CPUID feature flags. See: SDM 3.3 Instructions (CPUID), Table 3-8 Information Returned by CPUID Instruction.

export type CpuidRegister = 'eax' | 'ebx' | 'ecx' | 'edx';

/** `base`: the base CPU has it. `option`: it does not, and can be given it. `absent`: the machine cannot do it. */
export type FeaturePresence = 'base' | 'option' | 'absent';

export interface FeatureRow {
  /** As opcode rows and tables name it. */
  readonly name: string;
  /** What `-cpu NAME,+x,-x` calls it: QEMU's spelling. */
  readonly option: string;
  readonly leaf: number;
  readonly subleaf: number;
  readonly register: CpuidRegister;
  readonly bit: number;
  readonly presence: FeaturePresence;
}

type Short = readonly [name: string, option: string, bit: number, presence: FeaturePresence];

function word(leaf: number, subleaf: number, register: CpuidRegister, rows: readonly Short[]): FeatureRow[] {
  return rows.map(([name, option, bit, presence]) => ({ name, option, leaf, subleaf, register, bit, presence }));
}

// prettier-ignore
export const FEATURES: readonly FeatureRow[] = [
  ...word(1, 0, 'edx', [
    ['FPU',             'fpu',              0, 'base'],
    ['VME',             'vme',              1, 'base'],
    ['DE',              'de',               2, 'base'],
    ['PSE',             'pse',              3, 'base'],
    ['TSC',             'tsc',              4, 'base'],
    ['MSR',             'msr',              5, 'base'],
    ['PAE',             'pae',              6, 'base'],
    ['MCE',             'mce',              7, 'base'],
    ['CX8',             'cx8',              8, 'base'],
    ['APIC',            'apic',             9, 'base'],
    ['SEP',             'sep',             11, 'base'],
    ['MTRR',            'mtrr',            12, 'base'],
    ['PGE',             'pge',             13, 'base'],
    ['MCA',             'mca',             14, 'base'],
    ['CMOV',            'cmov',            15, 'base'],
    ['PAT',             'pat',             16, 'base'],
    ['PSE36',           'pse36',           17, 'base'],
    ['PSN',             'pn',              18, 'absent'],
    ['CLFSH',           'clflush',         19, 'base'],
    ['DS',              'ds',              21, 'absent'],
    ['ACPI',            'acpi',            22, 'absent'],
    ['MMX',             'mmx',             23, 'base'],
    ['FXSR',            'fxsr',            24, 'base'],
    ['SSE',             'sse',             25, 'base'],
    ['SSE2',            'sse2',            26, 'base'],
    ['SS',              'ss',              27, 'base'],
    ['TM',              'tm',              29, 'absent'],
    ['PBE',             'pbe',             31, 'absent'],
  ]),
  ...word(1, 0, 'ecx', [
    ['SSE3',            'pni',              0, 'base'],
    ['PCLMULQDQ',       'pclmulqdq',        1, 'base'],
    ['DTES64',          'dtes64',           2, 'absent'],
    ['MONITOR',         'monitor',          3, 'base'],
    ['DS_CPL',          'ds-cpl',           4, 'absent'],
    ['VMX',             'vmx',              5, 'base'],
    ['SMX',             'smx',              6, 'absent'],
    ['EIST',            'est',              7, 'absent'],
    ['TM2',             'tm2',              8, 'absent'],
    ['SSSE3',           'ssse3',            9, 'base'],
    ['FMA',             'fma',             12, 'absent'],
    ['CMPXCHG16B',      'cx16',            13, 'base'],
    ['XTPR',            'xtpr',            14, 'absent'],
    ['PDCM',            'pdcm',            15, 'absent'],
    ['PCID',            'pcid',            17, 'base'],
    ['DCA',             'dca',             18, 'absent'],
    ['SSE4_1',          'sse4.1',          19, 'base'],
    ['SSE4_2',          'sse4.2',          20, 'base'],
    ['X2APIC',          'x2apic',          21, 'base'],
    ['MOVBE',           'movbe',           22, 'base'],
    ['POPCNT',          'popcnt',          23, 'base'],
    ['TSC_DEADLINE',    'tsc-deadline',    24, 'base'],
    ['AESNI',           'aes',             25, 'base'],
    ['XSAVE',           'xsave',           26, 'base'],
    ['AVX',             'avx',             28, 'absent'],
    ['F16C',            'f16c',            29, 'absent'],
    ['RDRAND',          'rdrand',          30, 'base'],
    ['HYPERVISOR',      'hypervisor',      31, 'option'],
  ]),
  ...word(7, 0, 'ebx', [
    ['FSGSBASE',        'fsgsbase',         0, 'base'],
    ['TSC_ADJUST',      'tsc-adjust',       1, 'base'],
    ['SGX',             'sgx',              2, 'absent'],
    ['BMI1',            'bmi1',             3, 'base'],
    ['HLE',             'hle',              4, 'absent'],
    ['AVX2',            'avx2',             5, 'absent'],
    ['FDP_EXCPTN_ONLY', 'fdp-excptn-only',  6, 'absent'],
    ['SMEP',            'smep',             7, 'base'],
    ['BMI2',            'bmi2',             8, 'base'],
    ['ERMS',            'erms',             9, 'base'],
    ['INVPCID',         'invpcid',         10, 'base'],
    ['RTM',             'rtm',             11, 'absent'],
    ['ZERO_FCS_FDS',    'zero-fcs-fds',    13, 'absent'],
    ['MPX',             'mpx',             14, 'absent'],
    ['AVX512F',         'avx512f',         16, 'absent'],
    ['AVX512DQ',        'avx512dq',        17, 'absent'],
    ['RDSEED',          'rdseed',          18, 'base'],
    ['ADX',             'adx',             19, 'base'],
    ['SMAP',            'smap',            20, 'base'],
    ['AVX512IFMA',      'avx512ifma',      21, 'absent'],
    ['CLFLUSHOPT',      'clflushopt',      23, 'base'],
    ['CLWB',            'clwb',            24, 'base'],
    ['INTEL_PT',        'intel-pt',        25, 'absent'],
    ['AVX512CD',        'avx512cd',        28, 'absent'],
    ['SHA',             'sha-ni',          29, 'absent'],
    ['AVX512BW',        'avx512bw',        30, 'absent'],
    ['AVX512VL',        'avx512vl',        31, 'absent'],
  ]),
  ...word(7, 0, 'ecx', [
    ['AVX512_VBMI',     'avx512vbmi',       1, 'absent'],
    ['UMIP',            'umip',             2, 'base'],
    ['PKU',             'pku',              3, 'absent'],
    ['WAITPKG',         'waitpkg',          5, 'absent'],
    ['CET_SS',          'cet-ss',           7, 'absent'],
    ['GFNI',            'gfni',             8, 'absent'],
    ['VAES',            'vaes',             9, 'absent'],
    ['VPCLMULQDQ',      'vpclmulqdq',      10, 'absent'],
    ['LA57',            'la57',            16, 'absent'],
    ['RDPID',           'rdpid',           22, 'base'],
    ['BUS_LOCK_DETECT', 'bus-lock-detect', 24, 'absent'],
    ['CLDEMOTE',        'cldemote',        25, 'absent'],
    ['MOVDIRI',         'movdiri',         27, 'absent'],
    ['MOVDIR64B',       'movdir64b',       28, 'absent'],
    ['PKS',             'pks',             31, 'absent'],
  ]),
  ...word(7, 0, 'edx', [
    ['FSRM',            'fsrm',             4, 'base'],
    ['MD_CLEAR',        'md-clear',        10, 'option'],
    ['SERIALIZE',       'serialize',       14, 'absent'],
    ['CET_IBT',         'cet-ibt',         20, 'absent'],
    ['SPEC_CTRL',       'spec-ctrl',       26, 'base'],
    ['STIBP',           'stibp',           27, 'base'],
    ['L1D_FLUSH',       'flush-l1d',       28, 'option'],
    ['ARCH_CAPABILITIES', 'arch-capabilities', 29, 'base'],
    ['CORE_CAPABILITIES', 'core-capability', 30, 'absent'],
    ['SSBD',            'ssbd',            31, 'base'],
  ]),
  ...word(7, 2, 'edx', [
    ['BHI_CTRL',        'bhi-ctrl',         4, 'base'],
    ['MCDT_NO',         'mcdt-no',          5, 'base'],
  ]),
  ...word(0xd, 1, 'eax', [
    ['XSAVEOPT',        'xsaveopt',         0, 'base'],
    ['XSAVEC',          'xsavec',           1, 'base'],
    ['XGETBV1',         'xgetbv1',          2, 'base'],
    ['XSAVES',          'xsaves',           3, 'base'],
  ]),
  ...word(6, 0, 'eax', [
    ['ARAT',            'arat',             2, 'base'],
  ]),
  ...word(0x80000001, 0, 'ecx', [
    ['LAHF',            'lahf-lm',          0, 'base'],
    ['LZCNT',           'abm',              5, 'base'],
    ['PREFETCHW',       '3dnowprefetch',    8, 'base'],
  ]),
  ...word(0x80000001, 0, 'edx', [
    ['SYSCALL',         'syscall',         11, 'base'],
    ['NX',              'nx',              20, 'base'],
    ['PAGE_1GB',        'pdpe1gb',         26, 'base'],
    ['RDTSCP',          'rdtscp',          27, 'base'],
    ['LM',              'lm',              29, 'base'],
  ]),
  ...word(0x80000007, 0, 'edx', [
    ['INVARIANT_TSC',   'invtsc',           8, 'base'],
  ]),
  ...word(0x80000008, 0, 'ebx', [
    ['WBNOINVD',        'wbnoinvd',         9, 'base'],
  ]),
];

/** Other spellings that QEMU takes for the same flag. */
// prettier-ignore
const ALIASES: Readonly<Record<string, string>> = {
  sse3: 'pni', 'sse4-1': 'sse4.1', sse4_1: 'sse4.1', 'sse4-2': 'sse4.2', sse4_2: 'sse4.2', lahf_lm: 'lahf-lm', i64: 'lm', xd: 'nx',
  ds_cpl: 'ds-cpl', tsc_adjust: 'tsc-adjust', pclmuldq: 'pclmulqdq', cmpxchg16b: 'cx16', cmpxchg8b: 'cx8',
};

/** The row that an option names, in any spelling QEMU takes. */
export function featureOfOption(option: string): FeatureRow | undefined {
  const plain = ALIASES[option] ?? option.replaceAll('_', '-');
  const name = ALIASES[plain] ?? plain;
  return FEATURES.find((row) => row.option === name);
}
