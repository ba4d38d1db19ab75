// SPDX-License-Identifier: Apache-2.0
import { row } from './row.ts';
import type { OpcodeRow } from './row.ts';

/** See: SDM A.5 Escape Opcode Instructions; 5.2 x87 FPU Instructions. */
const FPU = { feature: 'FPU' } as const;
const FCMOV = { feature: 'CMOV' } as const;
const FISTTP = { feature: 'SSE3' } as const;
const SYSTEM = { feature: 'FPU', blockEnd: 'system' } as const;

const ARITHMETIC = ['FADD', 'FMUL', 'FCOM', 'FCOMP', 'FSUB', 'FSUBR', 'FDIV', 'FDIVR'] as const;

/** The memory operands of D8, DA, DC and DE: the same eight operations on four formats. */
const arithmetic = ARITHMETIC.flatMap((mnemonic, n) => [
  row(`D8 /${n} mem`, mnemonic, 'm32fp', FPU),
  row(`DC /${n} mem`, mnemonic, 'm64fp', FPU),
  row(`DA /${n} mem`, `FI${mnemonic.slice(1)}`, 'm32int', FPU),
  row(`DE /${n} mem`, `FI${mnemonic.slice(1)}`, 'm16int', FPU),
]);

// prettier-ignore
export const x87Rows: readonly OpcodeRow[] = [
  row('9B',       'FWAIT',   '',         SYSTEM),
  ...arithmetic,

  row('D8 C0+i',  'FADD',    'ST0 STi',  FPU),
  row('D8 C8+i',  'FMUL',    'ST0 STi',  FPU),
  row('D8 D0+i',  'FCOM',    'ST0 STi',  FPU),
  row('D8 D8+i',  'FCOMP',   'ST0 STi',  FPU),
  row('D8 E0+i',  'FSUB',    'ST0 STi',  FPU),
  row('D8 E8+i',  'FSUBR',   'ST0 STi',  FPU),
  row('D8 F0+i',  'FDIV',    'ST0 STi',  FPU),
  row('D8 F8+i',  'FDIVR',   'ST0 STi',  FPU),

  row('D9 /0',    'FLD',     'm32fp',    FPU),
  row('D9 /2',    'FST',     'm32fp',    FPU),
  row('D9 /3',    'FSTP',    'm32fp',    FPU),
  row('D9 /4',    'FLDENV',  'm14/28byte', SYSTEM),
  row('D9 /5',    'FLDCW',   'm2byte',   FPU),
  row('D9 /6',    'FNSTENV', 'm14/28byte', SYSTEM),
  row('D9 /7',    'FNSTCW',  'm2byte',   FPU),
  row('D9 C0+i',  'FLD',     'STi',      FPU),
  row('D9 C8+i',  'FXCH',    'ST0 STi',  FPU),
  row('D9 D0',    'FNOP',    '',         FPU),
  row('D9 D8+i',  'FSTPNCE', 'STi ST0',  FPU), // not in the SDM: FSTP that leaves out the check for an empty register
  row('D9 E0',    'FCHS',    '',         FPU),
  row('D9 E1',    'FABS',    '',         FPU),
  row('D9 E4',    'FTST',    '',         FPU),
  row('D9 E5',    'FXAM',    '',         FPU),
  row('D9 E8',    'FLD1',    '',         FPU),
  row('D9 E9',    'FLDL2T',  '',         FPU),
  row('D9 EA',    'FLDL2E',  '',         FPU),
  row('D9 EB',    'FLDPI',   '',         FPU),
  row('D9 EC',    'FLDLG2',  '',         FPU),
  row('D9 ED',    'FLDLN2',  '',         FPU),
  row('D9 EE',    'FLDZ',    '',         FPU),
  row('D9 F0',    'F2XM1',   '',         FPU),
  row('D9 F1',    'FYL2X',   '',         FPU),
  row('D9 F2',    'FPTAN',   '',         FPU),
  row('D9 F3',    'FPATAN',  '',         FPU),
  row('D9 F4',    'FXTRACT', '',         FPU),
  row('D9 F5',    'FPREM1',  '',         FPU),
  row('D9 F6',    'FDECSTP', '',         FPU),
  row('D9 F7',    'FINCSTP', '',         FPU),
  row('D9 F8',    'FPREM',   '',         FPU),
  row('D9 F9',    'FYL2XP1', '',         FPU),
  row('D9 FA',    'FSQRT',   '',         FPU),
  row('D9 FB',    'FSINCOS', '',         FPU),
  row('D9 FC',    'FRNDINT', '',         FPU),
  row('D9 FD',    'FSCALE',  '',         FPU),
  row('D9 FE',    'FSIN',    '',         FPU),
  row('D9 FF',    'FCOS',    '',         FPU),

  row('DA C0+i',  'FCMOVB',  'ST0 STi',  FCMOV),
  row('DA C8+i',  'FCMOVE',  'ST0 STi',  FCMOV),
  row('DA D0+i',  'FCMOVBE', 'ST0 STi',  FCMOV),
  row('DA D8+i',  'FCMOVU',  'ST0 STi',  FCMOV),
  row('DA E9',    'FUCOMPP', '',         FPU),

  row('DB /0',    'FILD',    'm32int',   FPU),
  row('DB /1',    'FISTTP',  'm32int',   FISTTP),
  row('DB /2',    'FIST',    'm32int',   FPU),
  row('DB /3',    'FISTP',   'm32int',   FPU),
  row('DB /5',    'FLD',     'm80fp',    FPU),
  row('DB /7',    'FSTP',    'm80fp',    FPU),
  row('DB C0+i',  'FCMOVNB', 'ST0 STi',  FCMOV),
  row('DB C8+i',  'FCMOVNE', 'ST0 STi',  FCMOV),
  row('DB D0+i',  'FCMOVNBE', 'ST0 STi', FCMOV),
  row('DB D8+i',  'FCMOVNU', 'ST0 STi',  FCMOV),
  row('DB E0',    'FNENI',   '',         FPU), // 8087 only; no operation since
  row('DB E1',    'FNDISI',  '',         FPU), // 8087 only
  row('DB E2',    'FNCLEX',  '',         FPU),
  row('DB E3',    'FNINIT',  '',         FPU),
  row('DB E4',    'FNSETPM', '',         FPU), // 287 only
  row('DB E8+i',  'FUCOMI',  'ST0 STi',  FCMOV),
  row('DB F0+i',  'FCOMI',   'ST0 STi',  FCMOV),

  row('DC C0+i',  'FADD',    'STi ST0',  FPU),
  row('DC C8+i',  'FMUL',    'STi ST0',  FPU),
  row('DC D0+i',  'FCOM',    'ST0 STi',  FPU), // not in the SDM, nor are the other doubles marked alias
  row('DC D8+i',  'FCOMP',   'ST0 STi',  FPU), // alias
  row('DC E0+i',  'FSUBR',   'STi ST0',  FPU),
  row('DC E8+i',  'FSUB',    'STi ST0',  FPU),
  row('DC F0+i',  'FDIVR',   'STi ST0',  FPU),
  row('DC F8+i',  'FDIV',    'STi ST0',  FPU),

  row('DD /0',    'FLD',     'm64fp',    FPU),
  row('DD /1',    'FISTTP',  'm64int',   FISTTP),
  row('DD /2',    'FST',     'm64fp',    FPU),
  row('DD /3',    'FSTP',    'm64fp',    FPU),
  row('DD /4',    'FRSTOR',  'm94/108byte', SYSTEM),
  row('DD /6',    'FNSAVE',  'm94/108byte', SYSTEM),
  row('DD /7',    'FNSTSW',  'm2byte',   FPU),
  row('DD C0+i',  'FFREE',   'STi',      FPU),
  row('DD C8+i',  'FXCH',    'ST0 STi',  FPU), // alias
  row('DD D0+i',  'FST',     'STi',      FPU),
  row('DD D8+i',  'FSTP',    'STi',      FPU),
  row('DD E0+i',  'FUCOM',   'ST0 STi',  FPU),
  row('DD E8+i',  'FUCOMP',  'ST0 STi',  FPU),

  row('DE C0+i',  'FADDP',   'STi ST0',  FPU),
  row('DE C8+i',  'FMULP',   'STi ST0',  FPU),
  row('DE D0+i',  'FCOMP',   'ST0 STi',  FPU), // alias
  row('DE D9',    'FCOMPP',  '',         FPU),
  row('DE E0+i',  'FSUBRP',  'STi ST0',  FPU),
  row('DE E8+i',  'FSUBP',   'STi ST0',  FPU),
  row('DE F0+i',  'FDIVRP',  'STi ST0',  FPU),
  row('DE F8+i',  'FDIVP',   'STi ST0',  FPU),

  row('DF /0',    'FILD',    'm16int',   FPU),
  row('DF /1',    'FISTTP',  'm16int',   FISTTP),
  row('DF /2',    'FIST',    'm16int',   FPU),
  row('DF /3',    'FISTP',   'm16int',   FPU),
  row('DF /4',    'FBLD',    'm80bcd',   FPU),
  row('DF /5',    'FILD',    'm64int',   FPU),
  row('DF /6',    'FBSTP',   'm80bcd',   FPU),
  row('DF /7',    'FISTP',   'm64int',   FPU),
  row('DF C0+i',  'FFREEP',  'STi',      FPU), // not in the SDM: FFREE, then pop
  row('DF C8+i',  'FXCH',    'ST0 STi',  FPU), // alias
  row('DF D0+i',  'FSTP',    'STi',      FPU), // alias
  row('DF D8+i',  'FSTP',    'STi',      FPU), // alias
  row('DF E0',    'FNSTSW',  'AX',       FPU),
  row('DF E8+i',  'FUCOMIP', 'ST0 STi',  FCMOV),
  row('DF F0+i',  'FCOMIP',  'ST0 STi',  FCMOV),
];
