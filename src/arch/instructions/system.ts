// SPDX-License-Identifier: Apache-2.0
import { row } from './row.ts';
import type { OpcodeRow } from './row.ts';

/** Segments, far transfers, input and output, and what an operating system uses. See: SDM 5.20 System Instructions. */
const SYSTEM = { blockEnd: 'system' } as const;
const IO = { vmx: 'I/O instruction' } as const;
const CR = { privileged: true, force64: true, modIgnored: true, vmx: 'Control-register accesses' } as const;
const DR = { privileged: true, force64: true, modIgnored: true, vmx: 'MOV DR' } as const;
const TABLES = { vmx: 'Access to GDTR or IDTR' } as const;
const SELECTORS = { protectedMode: true, vmx: 'Access to LDTR or TR' } as const;

// prettier-ignore
export const systemRows: readonly OpcodeRow[] = [
  // Segment registers
  row('06',       'PUSH', 'ES',     { no64: true }),
  row('07',       'POP',  'ES',     { no64: true, ...SYSTEM }),
  row('0E',       'PUSH', 'CS',     { no64: true }),
  row('16',       'PUSH', 'SS',     { no64: true }),
  row('17',       'POP',  'SS',     { no64: true, ...SYSTEM }),
  row('1E',       'PUSH', 'DS',     { no64: true }),
  row('1F',       'POP',  'DS',     { no64: true, ...SYSTEM }),
  row('0F A0',    'PUSH', 'FS',     { default64: true }),
  row('0F A1',    'POP',  'FS',     { default64: true, ...SYSTEM }),
  row('0F A8',    'PUSH', 'GS',     { default64: true }),
  row('0F A9',    'POP',  'GS',     { default64: true, ...SYSTEM }),
  row('8C',       'MOV',  'Rv/Mw Sw'),
  row('8E',       'MOV',  'Sw Ew',  SYSTEM),
  row('C4',       'LES',  'Gz Mp',  { no64: true, ...SYSTEM }),
  row('C5',       'LDS',  'Gz Mp',  { no64: true, ...SYSTEM }),
  row('0F B2',    'LSS',  'Gv Mp',  SYSTEM),
  row('0F B4',    'LFS',  'Gv Mp',  SYSTEM),
  row('0F B5',    'LGS',  'Gv Mp',  SYSTEM),
  row('63',       'ARPL', 'Ew Gw',  { no64: true, protectedMode: true }),
  row('0F 02',    'LAR',  'Gv Ew',  { protectedMode: true }),
  row('0F 03',    'LSL',  'Gv Ew',  { protectedMode: true }),
  row('0F 00 /4', 'VERR', 'Ew',     { protectedMode: true }),
  row('0F 00 /5', 'VERW', 'Ew',     { protectedMode: true }),
  row('0F 01 F8', 'SWAPGS', '',     { only64: true, privileged: true }),
  row('F3 0F AE /0', 'RDFSBASE', 'Ry', { only64: true, feature: 'FSGSBASE' }),
  row('F3 0F AE /1', 'RDGSBASE', 'Ry', { only64: true, feature: 'FSGSBASE' }),
  row('F3 0F AE /2', 'WRFSBASE', 'Ry', { only64: true, feature: 'FSGSBASE', ...SYSTEM }),
  row('F3 0F AE /3', 'WRGSBASE', 'Ry', { only64: true, feature: 'FSGSBASE', ...SYSTEM }),

  // Far transfers, interrupts, system calls
  row('9A',       'CALL',  'Ap',    { no64: true, ...SYSTEM }),
  row('EA',       'JMP',   'Ap',    { no64: true, ...SYSTEM }),
  row('FF /3',    'CALL',  'Mp',    SYSTEM),
  row('FF /5',    'JMP',   'Mp',    SYSTEM),
  row('CA',       'RETF',  'Iw',    SYSTEM),
  row('CB',       'RETF',  '',      SYSTEM),
  row('CC',       'INT3',  '',      SYSTEM),
  row('CD',       'INT',   'Ib',    SYSTEM),
  row('CE',       'INTO',  '',      { no64: true, ...SYSTEM }),
  row('CF',       'IRET',  '',      { bySize: 'IRET IRETD IRETQ', ...SYSTEM }),
  row('F1',       'INT1',  '',      SYSTEM),
  row('0F 05',    'SYSCALL', '',    { only64: true, feature: 'SYSCALL', ...SYSTEM }),
  row('0F 07',    'SYSRET',  '',    { only64: true, feature: 'SYSCALL', privileged: true, bySize: 'SYSRET SYSRET SYSRETQ' }),
  row('0F 34',    'SYSENTER', '',   { feature: 'SEP', ...SYSTEM }),
  row('0F 35',    'SYSEXIT',  '',   { feature: 'SEP', privileged: true, bySize: 'SYSEXIT SYSEXIT SYSEXITQ' }),

  // Input and output
  row('6C',       'INS',   'Yb DX', { repeat: 'REP', bySize: 'INSB INSB INSB', ...IO }),
  row('6D',       'INS',   'Yz DX', { repeat: 'REP', bySize: 'INSW INSD INSD', ...IO }),
  row('6E',       'OUTS',  'DX Xb', { repeat: 'REP', bySize: 'OUTSB OUTSB OUTSB', ...IO }),
  row('6F',       'OUTS',  'DX Xz', { repeat: 'REP', bySize: 'OUTSW OUTSD OUTSD', ...IO }),
  row('E4',       'IN',    'AL Ib', IO),
  row('E5',       'IN',    'eAX Ib', IO),
  row('E6',       'OUT',   'Ib AL', IO),
  row('E7',       'OUT',   'Ib eAX', IO),
  row('EC',       'IN',    'AL DX', IO),
  row('ED',       'IN',    'eAX DX', IO),
  row('EE',       'OUT',   'DX AL', IO),
  row('EF',       'OUT',   'DX eAX', IO),

  // Processor control
  row('F4',       'HLT',   '',      { privileged: true, vmx: 'HLT' }),
  row('FA',       'CLI',   '',      SYSTEM),
  row('FB',       'STI',   '',      SYSTEM),
  row('F3 90',    'PAUSE', '',      { vmx: 'PAUSE' }),
  row('0F 06',    'CLTS',  '',      { privileged: true, vmx: 'Control-register accesses' }),
  row('0F 08',    'INVD',  '',      { privileged: true, vmx: 'INVD' }),
  row('0F 09',    'WBINVD', '',     { privileged: true, vmx: 'WBINVD or WBNOINVD' }),
  row('F3 0F 09', 'WBNOINVD', '',   { privileged: true, vmx: 'WBINVD or WBNOINVD', feature: 'WBNOINVD' }),
  row('0F 20',    'MOV',   'Ry Cy', CR),
  row('0F 21',    'MOV',   'Ry Dy', DR),
  row('0F 22',    'MOV',   'Cy Ry', CR),
  row('0F 23',    'MOV',   'Dy Ry', DR),
  row('0F 30',    'WRMSR', '',      { privileged: true, vmx: 'WRMSR', feature: 'MSR' }),
  row('0F 31',    'RDTSC', '',      { vmx: 'RDTSC', feature: 'TSC' }),
  row('0F 32',    'RDMSR', '',      { privileged: true, vmx: 'RDMSR', feature: 'MSR' }),
  row('0F 33',    'RDPMC', '',      { vmx: 'RDPMC' }),
  row('0F 01 F9', 'RDTSCP', '',     { vmx: 'RDTSCP', feature: 'RDTSCP' }),
  row('F3 0F C7 /7', 'RDPID', 'Ry', { force64: true, feature: 'RDPID' }),
  row('0F A2',    'CPUID', '',      { vmx: 'CPUID' }),
  row('0F AA',    'RSM',   '',      { vmx: 'RSM' }),
  row('NP 0F 37', 'GETSEC', '',     { vmx: 'GETSEC', feature: 'SMX' }),
  row('NFx 0F C7 /6', 'RDRAND', 'Rv', { vmx: 'RDRAND', feature: 'RDRAND' }),
  row('NFx 0F C7 /7', 'RDSEED', 'Rv', { vmx: 'RDSEED', feature: 'RDSEED' }),
  row('NP 0F 01 C8', 'MONITOR', '', { vmx: 'MONITOR', feature: 'MONITOR' }),
  row('NP 0F 01 C9', 'MWAIT', '',   { vmx: 'MWAIT', feature: 'MONITOR' }),
  row('NP 0F 01 CA', 'CLAC', '',    { feature: 'SMAP', ...SYSTEM }),
  row('NP 0F 01 CB', 'STAC', '',    { feature: 'SMAP', ...SYSTEM }),

  // Descriptor tables and machine status word
  row('0F 00 /0', 'SLDT', 'Rv/Mw',  SELECTORS),
  row('0F 00 /1', 'STR',  'Rv/Mw',  SELECTORS),
  row('0F 00 /2', 'LLDT', 'Ew',     { privileged: true, ...SELECTORS }),
  row('0F 00 /3', 'LTR',  'Ew',     { privileged: true, ...SELECTORS }),
  row('0F 01 /0', 'SGDT', 'Ms',     { force64: true, ...TABLES }),
  row('0F 01 /1', 'SIDT', 'Ms',     { force64: true, ...TABLES }),
  row('0F 01 /2', 'LGDT', 'Ms',     { force64: true, privileged: true, ...TABLES }),
  row('0F 01 /3', 'LIDT', 'Ms',     { force64: true, privileged: true, ...TABLES }),
  row('0F 01 /4', 'SMSW', 'Rv/Mw',  { vmx: 'Control-register accesses' }),
  row('0F 01 /6', 'LMSW', 'Ew',     { privileged: true, vmx: 'Control-register accesses' }),

  // Caches and translation
  row('0F 01 /7', 'INVLPG', 'M',    { privileged: true, vmx: 'INVLPG' }),
  row('66 0F 38 82', 'INVPCID', 'Gy Mdq', { force64: true, protectedMode: true, privileged: true, vmx: 'INVPCID', feature: 'INVPCID' }),
  row('NP 0F AE /7', 'CLFLUSH', 'Mb', { feature: 'CLFSH' }),
  row('66 0F AE /7', 'CLFLUSHOPT', 'Mb', { feature: 'CLFLUSHOPT' }),
  row('66 0F AE /6', 'CLWB', 'Mb',  { feature: 'CLWB' }),
  row('NP 0F AE /5 reg', 'LFENCE', '', { feature: 'SSE2' }),
  row('NP 0F AE /6 reg', 'MFENCE', '', { feature: 'SSE2' }),
  row('NP 0F AE /7 reg', 'SFENCE', '', { feature: 'SSE' }),

  // Extended state
  row('NP 0F 01 D0', 'XGETBV', '',  { feature: 'XSAVE', ...SYSTEM }),
  row('NP 0F 01 D1', 'XSETBV', '',  { feature: 'XSAVE', privileged: true, vmx: 'XSETBV' }),
  row('NP 0F AE /0', 'FXSAVE',  'm512byte', { feature: 'FXSR', bySize: 'FXSAVE FXSAVE FXSAVE64', ...SYSTEM }),
  row('NP 0F AE /1', 'FXRSTOR', 'm512byte', { feature: 'FXSR', bySize: 'FXRSTOR FXRSTOR FXRSTOR64', ...SYSTEM }),
  row('NP 0F AE /4', 'XSAVE',    'M', { feature: 'XSAVE', bySize: 'XSAVE XSAVE XSAVE64', ...SYSTEM }),
  row('NP 0F AE /5', 'XRSTOR',   'M', { feature: 'XSAVE', bySize: 'XRSTOR XRSTOR XRSTOR64', ...SYSTEM }),
  row('NP 0F AE /6', 'XSAVEOPT', 'M', { feature: 'XSAVEOPT', bySize: 'XSAVEOPT XSAVEOPT XSAVEOPT64', ...SYSTEM }),
  row('NP 0F C7 /3', 'XRSTORS',  'M', { feature: 'XSAVES', privileged: true, vmx: 'XRSTORS', bySize: 'XRSTORS XRSTORS XRSTORS64' }),
  row('NP 0F C7 /4', 'XSAVEC',   'M', { feature: 'XSAVEC', bySize: 'XSAVEC XSAVEC XSAVEC64', ...SYSTEM }),
  row('NP 0F C7 /5', 'XSAVES',   'M', { feature: 'XSAVES', privileged: true, vmx: 'XSAVES', bySize: 'XSAVES XSAVES XSAVES64' }),
];
