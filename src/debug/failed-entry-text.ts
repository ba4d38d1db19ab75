// SPDX-License-Identifier: Apache-2.0
// A failed VM entry in words.

import { vmInstructionError } from '../arch/vmx/errors.ts';
import { ENTRY_FAILURE_BIT } from '../arch/vmx/exit-reasons.ts';
import { hex } from '../base/hex.ts';
import type { FailedEntryFacts, FieldFacts, Place, Written } from './failed-entry-facts.ts';

const grouped = (count: number): string => String(count).replace(/\B(?=(\d{3})+$)/g, ',');
const line = (key: string, text: string): string => `  ${key.padEnd(7)} ${text}`;
const named = ({ address, symbol }: Place): string => symbol ?? address;

/** The lines, without ends of line. `recording`: file that the run is being recorded in, if it is. */
export function failedEntryLines(facts: FailedEntryFacts, recording?: string): string[] {
  const { level, processor, msr, memory, instruction } = facts;
  const where = processor === 0 ? '' : ` on processor ${processor}`;
  return [
    `VM entry failed: ${facts.by} by L${level}${where} at ${named(facts.at)}  (instruction ${grouped(instruction)})`,
    line('rule', `${facts.rule} — must hold: ${facts.sentence}      SDM ${facts.section}`),
    ...facts.fields.flatMap((field) => fieldLines(field, instruction)),
    ...(memory === undefined ? [] : [line('memory', `the rule reads ${memory}`)]),
    ...(msr === undefined ? [] : [line('entry', `${msr.entry} of the list: MSR ${msr.index} = ${msr.value}`)]),
    line(`L${level} sees`, seen(facts)),
    ...replayLine(facts, recording),
  ];
}

/** How to look at the machine right before the last of these fields was written. */
function replayLine({ fields }: FailedEntryFacts, recording: string | undefined): string[] {
  if (recording === undefined) return [];
  const writes = fields.flatMap((field) => (field.written?.by === 'VMWRITE' ? [field.written.instruction] : []));
  return writes.length === 0 ? [] : [line('replay', `turtles replay ${recording} --to ${Math.max(...writes) - 1}`)];
}

function fieldLines({ name, value, written }: FieldFacts, now: number): string[] {
  const field = line('field', `${name} = ${value}`);
  return written === undefined ? [field] : [field, line('written', writtenText(written, now))];
}

function writtenText(written: Written, now: number): string {
  if (written.by === 'memory') return 'in memory, not by VMWRITE';
  if (written.by === 'nobody')
    return written.vmclear === undefined
      ? 'never, as far as is known'
      : `not since VMCLEAR at instruction ${grouped(written.vmclear)}`;
  const distance = now - written.instruction;
  const ago = `${grouped(distance)} instruction${distance === 1 ? '' : 's'} earlier`;
  const cleared = written.beforeVmclear ? ', before the last VMCLEAR' : '';
  return written.by === 'VM exit'
    ? `saved by the VM exit at instruction ${grouped(written.instruction)}, ${ago}${cleared}`
    : `VMWRITE at ${named(written.at)}, ${ago}${cleared}`;
}

/** What the hypervisor of that level finds: flags and an error number, or an exit. */
function seen({ sees }: FailedEntryFacts): string {
  if (sees.kind === 'VMfailInvalid') return 'VMfailInvalid (CF is 1, and there is no error number)';
  if (sees.kind === 'VMfailValid')
    return `VMfailValid (ZF is 1), VM-instruction error ${sees.error}: ${vmInstructionError(sees.error)?.text}`;
  return `exit reason ${hex((sees.reason | ENTRY_FAILURE_BIT) >>> 0)}, qualification ${sees.qualification}`;
}
