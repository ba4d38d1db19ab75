// SPDX-License-Identifier: Apache-2.0
import { row } from './row.ts';
import type { InstructionExit, OpcodeRow } from './row.ts';

/**
 * See: SDM Chapter 31 VMX Instruction Reference.
 * No row is `privileged`: outside VMX operation these are undefined, in VMX non-root operation they exit, and only then CPL is looked at.
 * VMCALL and VMFUNC exit or run in real-address and virtual-8086 mode too.
 */
function vmx(name: InstructionExit): { protectedMode: true; force64: true; feature: string; vmx: InstructionExit } {
  return { protectedMode: true, force64: true, feature: 'VMX', vmx: name };
}

// prettier-ignore
export const vmxRows: readonly OpcodeRow[] = [
  row('NP 0F 01 C1',  'VMCALL',   '',       { feature: 'VMX', vmx: 'VMCALL' }),
  row('NP 0F 01 C2',  'VMLAUNCH', '',       vmx('VMLAUNCH')),
  row('NP 0F 01 C3',  'VMRESUME', '',       vmx('VMRESUME')),
  row('NP 0F 01 C4',  'VMXOFF',   '',       vmx('VMXOFF')),
  row('NP 0F 01 D4',  'VMFUNC',   '',       { feature: 'VMX', vmx: 'VMFUNC' }),
  row('NP 0F C7 /6',  'VMPTRLD',  'Mq',     vmx('VMPTRLD')),
  row('66 0F C7 /6',  'VMCLEAR',  'Mq',     vmx('VMCLEAR')),
  row('F3 0F C7 /6',  'VMXON',    'Mq',     vmx('VMXON')),
  row('NP 0F C7 /7',  'VMPTRST',  'Mq',     vmx('VMPTRST')),
  row('NP 0F 78',     'VMREAD',   'Ey Gy',  vmx('VMREAD')),
  row('NP 0F 79',     'VMWRITE',  'Gy Ey',  vmx('VMWRITE')),
  row('66 0F 38 80',  'INVEPT',   'Gy Mdq', vmx('INVEPT')),
  row('66 0F 38 81',  'INVVPID',  'Gy Mdq', vmx('INVVPID')),
];
