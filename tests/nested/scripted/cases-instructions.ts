// SPDX-License-Identifier: Apache-2.0
// Table: instructions that exit: always, by a control of either profile, by one of the modern profile; and those that are
// undefined, because no profile has what they need. L1 skips each.
import type { ExitReasonName } from '../../../src/arch/vmx/exit-reasons.ts';
import { BOTH, MODERN, VMCALL, at, eax, ecx, finish, goTo, launch, resume } from './case.ts';
import type { Case } from './case.ts';
import type { Operation } from './image.ts';
import { AT } from './layout.ts';

type Row = readonly [reason: ExitReasonName, bytes: string];
const here = AT.OPERANDS;

// prettier-ignore
const ALWAYS: readonly Row[] = [
  ['CPUID',    '0f a2'],
  ['INVD',     '0f 08'],
  ['XSETBV',   '31 c9 31 d2 b0 07 0f 01 d1'],
  ['VMCALL',   VMCALL],
  ['VMCLEAR',  `66 0f c7 ${at(6, here)}`],
  ['VMLAUNCH', '0f 01 c2'],
  ['VMPTRLD',  `0f c7 ${at(6, here)}`],
  ['VMPTRLD',  '0f c7 74 c8 10'],                       // base, index, scale and displacement
  ['VMPTRST',  `0f c7 ${at(7, here)}`],
  ['VMREAD',   `0f 78 ${at(0, here)}`],
  ['VMREAD',   '0f 78 d9'],                             // register to register
  ['VMRESUME', '0f 01 c3'],
  ['VMWRITE',  `0f 79 ${at(0, here)}`],
  ['VMOFF',    '0f 01 c4'],
  ['VMON',     `f3 0f c7 ${at(6, here)}`],
  ['INVEPT',   `66 0f 38 80 ${at(0, here)}`],
  ['INVVPID',  `66 0f 38 81 ${at(0, here)}`],
];

// prettier-ignore
const BY_CONTROL: readonly Row[] = [
  ['HLT',                 'f4'],
  ['INVLPG',              `0f 01 ${at(7, here)}`],
  ['RDPMC',               '0f 33'],
  ['RDTSC',               '0f 31'],
  ['MWAIT_INSTRUCTION',   '31 c9 0f 01 c9'],
  ['MONITOR_INSTRUCTION', `${eax(here)} 31 c9 0f 01 c8`],
  ['CR_ACCESS',           '0f 20 d8'],                  // from CR3
  ['CR_ACCESS',           `${eax(AT.PML4)} 0f 22 d8`],  // to CR3
  ['CR_ACCESS',           '44 0f 20 c3'],               // from CR8
  ['CR_ACCESS',           '44 0f 22 c6'],               // to CR8
  ['CR_ACCESS',           '0f 20 c0 83 e0 f7 0f 22 c0'],// CR0.TS, which is L1's and 1 for L2
  ['CR_ACCESS',           '0f 06'],                     // CLTS
  ['CR_ACCESS',           `${eax(0x0b)} 0f 01 f0`],     // LMSW
  ['CR_ACCESS',           `0f 01 ${at(6, here)}`],      // LMSW from memory
  ['CR_ACCESS',           '0f 20 e0 0c 04 0f 22 e0'],   // CR4.TSD, which is L1's
  ['DR_ACCESS',           '0f 21 f8'],
  ['DR_ACCESS',           '0f 23 c8'],
  ['IO_INSTRUCTION',      'e4 80'],
  ['IO_INSTRUCTION',      'e6 80'],
  ['IO_INSTRUCTION',      '66 ba 71 00 66 ed'],
  ['IO_INSTRUCTION',      `bf ${'00 60 12 00'} 6d`],    // INS
  ['IO_INSTRUCTION',      `be ${'00 60 12 00'} b9 04 00 00 00 f3 6e`], // REP OUTS
  ['IO_INSTRUCTION',      `be ${'00 60 12 00'} 67 65 6e`], // with a segment and an address size
  ['MSR_READ',            `${ecx(0x10)} 0f 32`],
  ['MSR_WRITE',           `${ecx(0x277)} 0f 30`],
  ['PAUSE_INSTRUCTION',   'f3 90'],
];

// prettier-ignore
const MODERN_ONLY: readonly Row[] = [
  ['GDTR_IDTR', `0f 01 ${at(0, here)}`], ['GDTR_IDTR', `0f 01 ${at(1, here)}`],
  ['GDTR_IDTR', `0f 01 ${at(2, here)}`], ['GDTR_IDTR', `0f 01 ${at(3, here)}`],
  ['LDTR_TR',   '0f 00 c0'], ['LDTR_TR', `0f 00 ${at(1, here)}`], ['LDTR_TR', '0f 00 d0'], ['LDTR_TR', `0f 00 ${at(3, here)}`],
  ['RDTSCP',    '0f 01 f9'],
  ['WBINVD',    '0f 09'],
  ['RDRAND',    '0f c7 f2'], ['RDRAND', '48 0f c7 f2'],
  ['INVPCID',   `66 0f 38 82 ${at(3, here)}`],
  ['RDSEED',    '0f c7 fb'], ['RDSEED', '66 0f c7 fb'],
];

/** By why there is no exit: the feature or the control is missing. */
// prettier-ignore
const UNDEFINED: readonly (readonly [what: string, bytes: string])[] = [
  ['GETSEC',    '0f 37'],
  ['RSM',       '0f aa'],
  ['VMFUNC',    '0f 01 d4'],
  ['ENCLS',     '0f 01 cf'],
  ['ENCLV',     '0f 01 c0'],
  ['PCONFIG',   '0f 01 c5'],
  ['UMWAIT',    'f2 0f ae f1'],
  ['TPAUSE',    '66 0f ae f1'],
  ['SEAMCALL',  '66 0f 01 cf'],
  ['TDCALL',    '66 0f 01 cc'],
  ['RDMSRLIST', 'f2 0f 01 c6'],
  ['WRMSRLIST', 'f3 0f 01 c6'],
  ['LOADIWKEY', 'f3 0f 38 dc c1'],
  ['ENQCMD',    'f2 0f 38 f8 01'],
  ['ENQCMDS',   'f3 0f 38 f8 01'],
];
/** Undefined on the paper profile only: their controls are 0 there. */
// prettier-ignore
const UNDEFINED_ON_PAPER: readonly (readonly [what: string, bytes: string])[] = [
  ['RDTSCP',  '0f 01 f9'],
  ['INVPCID', `66 0f 38 82 ${at(3, here)}`],
  ['XSAVES',  `0f c7 ${at(5, here)}`],
  ['XRSTORS', `0f c7 ${at(3, here)}`],
];

const lines = (rows: readonly (readonly [string, string])[]): string =>
  [...rows.map(([, bytes]) => bytes), VMCALL].join('\n');
const exits = (rows: readonly Row[]): ExitReasonName[] => [...rows.map(([reason]) => reason), 'VMCALL'];

/** A label in front of each, and L1 goes on with the next: an undefined instruction has no length. */
function undefinedCase(name: string, profiles: Case['profiles'], rows: typeof UNDEFINED): Case {
  return {
    name,
    profiles,
    l2: [...rows.map(([, bytes], i) => `n${i}:\n${bytes}`), `n${rows.length}:`, VMCALL].join('\n'),
    script: (labels): Operation[] => [
      launch,
      ...rows.flatMap((_row, i) => [goTo(labels[`n${i + 1}`]), resume]),
      finish,
    ],
    exits: [...rows.map((): ExitReasonName => 'EXCEPTION_NMI'), 'VMCALL'],
  };
}

export const INSTRUCTION_CASES: readonly Case[] = [
  { name: 'always', profiles: BOTH, l2: lines(ALWAYS), exits: exits(ALWAYS) },
  {
    name: 'by control',
    profiles: BOTH,
    // prettier-ignore
    controls: [
      'primary.HLT_EXITING', 'primary.INVLPG_EXITING', 'primary.RDPMC_EXITING', 'primary.RDTSC_EXITING', 'primary.MWAIT_EXITING',
      'primary.MONITOR_EXITING', 'primary.CR3_LOAD_EXITING', 'primary.CR3_STORE_EXITING', 'primary.CR8_LOAD_EXITING',
      'primary.CR8_STORE_EXITING', 'primary.MOV_DR_EXITING', 'primary.UNCONDITIONAL_IO_EXITING', 'primary.PAUSE_EXITING',
    ],
    fields: { CR0_GUEST_HOST_MASK: 0x0a, CR0_READ_SHADOW: 0x08, CR4_GUEST_HOST_MASK: 0x04 },
    memory: () => [[here, 0x0f]],
    l2: lines(BY_CONTROL),
    exits: exits(BY_CONTROL),
  },
  {
    name: 'by secondary control',
    profiles: MODERN,
    // prettier-ignore
    controls: [
      'secondary.DESCRIPTOR_TABLE_EXITING', 'secondary.ENABLE_RDTSCP', 'primary.RDTSC_EXITING', 'secondary.WBINVD_EXITING',
      'secondary.RDRAND_EXITING', 'secondary.ENABLE_INVPCID', 'primary.INVLPG_EXITING', 'secondary.RDSEED_EXITING',
    ],
    l2: lines(MODERN_ONLY),
    exits: exits(MODERN_ONLY),
  },
  undefinedCase('undefined', BOTH, UNDEFINED),
  undefinedCase('undefined without the control', ['paper-1'], UNDEFINED_ON_PAPER),
  {
    name: 'XSAVES and XRSTORS pass, for IA32_XSS has no bit to exit by',
    profiles: MODERN,
    controls: ['secondary.ENABLE_XSAVES_XRSTORS'],
    fields: { XSS_EXIT_BITMAP: 0xffff_ffff_ffff_ffffn },
    l2: `${eax(3)} 31 d2\n0f c7 ${at(5, AT.DATA)}\n0f c7 ${at(3, AT.DATA)}\n${VMCALL}`,
    exits: ['VMCALL'],
  },
];
