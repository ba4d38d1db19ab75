// SPDX-License-Identifier: Apache-2.0
import { CpuidFeature } from 'iced-x86';
import type { Instruction as Oracle } from 'iced-x86';
import type { CodeSize } from '../../../src/decode/instruction.ts';
import { opcodeTable } from '../../../src/arch/instructions/table.ts';

/** Where the two may differ, and why. Each use is counted, and the long run prints the counts. */

/** Extensions that iced-x86 decodes and our processor does not have: there the opcode is undefined. `#UD` is the answer of both manuals. */
// prettier-ignore
export const ABSENT: readonly (readonly [RegExp, string])[] = [
  [/^(AVX|AVX2|F16C|FMA|VAES|VPCLMULQDQ|GFNI)$/,       'no YMM state: CPUID shows neither AVX nor what builds on it'],
  [/^AVX(512|_|10)/,                                   'no AVX-512 and no later AVX'],
  [/^(SHA|SHA512|SM3|SM4)$/,                           'hash extensions: not in CPUID'],
  [/^AMX_/,                                            'no tiles'],
  [/^(SVM|SKINIT|SKINIT_or_SVM|SEV_ES|SEV_SNP|CLZERO|MONITORX|MCOMMIT|RDPRU|INVLPGB|RMPQUERY|SSE4A|TBM|XOP|FMA4|LWP|D3NOW|D3NOWEXT|OSS)$/, "AMD's"],
  [/^(PADLOCK_\w+|CENTAUR_AIS)$/,                      "Centaur's"],
  [/^(CET_SS|PKU|RTM|HLE|HLE_or_RTM|MPX|SGX1|TDX|KL|AESKLE|WIDE_KL|UINTR|HRESET|FRED|LKGS|MSRLIST|WRMSRNS|TSE|PCONFIG|ENQCMD|MOVDIRI|MOVDIR64B|PTWRITE|RAO_INT|CMPCCXADD|SERIALIZE|TSXLDTRK|WAITPKG|CL1INVMB)$/,
                                                       "Intel's, not in CPUID of any of our models"],
];

/** Extensions whose opcodes our table holds, so that nothing of theirs may be undefined. */
// prettier-ignore
const PRESENT = new Set([
  'INTEL8086', 'INTEL8086_ONLY', 'INTEL186', 'INTEL286', 'INTEL286_ONLY', 'INTEL386', 'INTEL386_ONLY', 'INTEL486', 'X64', 'CPUID', 'CX8', 'CMOV',
  'CMPXCHG16B', 'FPU', 'FPU287', 'FPU387', 'FPU287XL_ONLY', 'MMX', 'SSE', 'SSE2', 'SSE3', 'SSSE3', 'SSE4_1', 'SSE4_2', 'AES', 'PCLMULQDQ', 'POPCNT', 'LZCNT',
  'BMI1', 'BMI2', 'ADX', 'MOVBE', 'RDRAND', 'RDSEED', 'TSC', 'RDTSCP', 'RDPID', 'RDPMC', 'FSGSBASE', 'MSR', 'SEP', 'SYSCALL', 'SMAP', 'SMM', 'SMX', 'VMX',
  'INVPCID', 'INVEPT', 'INVVPID', 'MONITOR', 'PAUSE', 'MULTIBYTENOP', 'PREFETCHW', 'CLFSH', 'CLFLUSHOPT', 'CLWB', 'WBNOINVD', 'FXSR', 'XSAVE', 'XSAVEC',
  'XSAVEOPT', 'XSAVES', 'CET_IBT',
]);

export const LEGACY_SYSCALL = "SYSCALL and SYSRET outside 64-bit mode are AMD's";
export const HINT = 'a hint to which a later manual gave a name: NOP with the same operand';

/** REX.W changes nothing for these, and iced-x86 says so; our operandSize says 64, and what is moved is in the operand's size, which is compared. */
export const WIDTH_IN_OPERAND = new Set([
  'IN',
  'OUT',
  'INS',
  'OUTS',
  'FLDENV',
  'FSTENV',
  'FNSTENV',
  'FRSTOR',
  'FSAVE',
  'FNSAVE',
]);
export const REX_W_IGNORED = 'REX.W where no operand can be 64 bits wide';

/** Why iced-x86 decodes what is undefined to us, or undefined when there is no reason. */
export function whyAbsent(oracle: Oracle, size: CodeSize): string | undefined {
  const features = Array.from(oracle.cpuidFeatures(), (feature) => CpuidFeature[feature]);
  if (features.includes('SYSCALL') && size !== 64) return LEGACY_SYSCALL;
  if (features.every((feature) => PRESENT.has(feature))) return undefined;
  for (const [pattern, why] of ABSENT) if (features.some((feature) => pattern.test(feature))) return why;
  return undefined;
}

/** Hint opcodes: NOP to us where no row names them. See: SDM Table A-3 Two-byte Opcode Map, 0F 0D and 0F 18 to 0F 1F. */
export const HINT_OPCODES = new Set(
  opcodeTable.filter((row) => /^0F (0D|1[89A-F])/.test(row.encoding) && row.mnemonic === 'NOP').map((row) => row.id),
);
