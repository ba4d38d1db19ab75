// SPDX-License-Identifier: Apache-2.0
// A failed VM entry in words: rule, sentence, section, each field with its value and who wrote it, and what is seen.

import { vmInstructionError } from '../arch/vmx/errors.ts';
import type { EntryRule } from '../arch/vmx/entry-check-row.ts';
import { ENTRY_FAILURE_BIT } from '../arch/vmx/exit-reasons.ts';
import { fieldNamed } from '../arch/vmx/fields.ts';
import type { FieldName } from '../arch/vmx/fields.ts';
import { hex } from '../base/hex.ts';
import type { FailedEntry } from '../trace/failed-entry.ts';
import type { FieldWriter } from '../trace/field-writers.ts';

/** What the text is made with. */
export interface Explaining {
  /** Instructions of the run, the one that failed included. */
  readonly instructions: number;
  /** `vmx_vcpu_reset+0x93` for an address of software at this level; undefined: it has no known name. */
  readonly symbol: (address: number, failed: FailedEntry) => string | undefined;
  /** File that the run is being recorded in, if it is. */
  readonly recording?: string | undefined;
}

const grouped = (count: number): string => String(count).replace(/\B(?=(\d{3})+$)/g, ',');
const line = (key: string, text: string): string => `  ${key.padEnd(7)} ${text}`;

/** The lines, without ends of line. */
export function failedEntryLines(failed: FailedEntry, explaining: Explaining): string[] {
  const { level, instruction, rip, rule, msr, processor } = failed;
  const at = place(rip, failed, explaining);
  const where = processor === 0 ? '' : ` on processor ${processor}`;
  return [
    `VM entry failed: ${instruction} by L${level}${where} at ${at}  (instruction ${grouped(explaining.instructions)})`,
    line('rule', `${rule.id} — must hold: ${rule.sentence}      SDM ${rule.section}`),
    ...[...new Set(rule.reads)].flatMap((field) => fieldLines(failed, field, explaining)),
    ...(rule.memory === undefined || msr !== undefined ? [] : [line('memory', `the rule reads ${rule.memory}`)]),
    ...(msr === undefined
      ? []
      : [line('entry', `${msr.number} of the list: MSR ${hex(msr.index)} = ${wide(msr.low, msr.high)}`)]),
    line(`L${level} sees`, seen(rule, msr?.number ?? 0)),
    ...replayLine(failed, explaining),
  ];
}

/** How to look at the machine right before the last of these fields was written. */
function replayLine({ vmcs, writers, rule }: FailedEntry, { recording }: Explaining): string[] {
  if (recording === undefined || vmcs === undefined || writers === undefined) return [];
  const written = rule.reads.flatMap((name) => {
    const { offset } = fieldNamed(name);
    const writer = writers.writer(offset, vmcs.low(offset), vmcs.high(offset));
    return writer.kind === 'vmwrite' ? [writer.instructions] : [];
  });
  return written.length === 0 ? [] : [line('replay', `turtles replay ${recording} --to ${Math.max(...written) - 1}`)];
}

function place(address: number, failed: FailedEntry, { symbol }: Explaining): string {
  return symbol(address, failed) ?? hex(address);
}

function fieldLines(failed: FailedEntry, name: FieldName, explaining: Explaining): string[] {
  const { vmcs, writers } = failed;
  if (vmcs === undefined) return [];
  const { offset, width } = fieldNamed(name);
  const [low, high] = [vmcs.low(offset), vmcs.high(offset)];
  const narrow = width === 'u16' ? 4 : 8;
  const value = width === 'u64' || width === 'natural' ? wide(low, high) : hex(low, narrow);
  const field = line('field', `${name} = ${value}`);
  return writers === undefined
    ? [field]
    : [field, line('written', written(writers.writer(offset, low, high), failed, explaining))];
}

const wide = (low: number, high: number): string => hex((BigInt(high) << 32n) | BigInt(low), 16);

function written(writer: FieldWriter, failed: FailedEntry, explaining: Explaining): string {
  if (writer.kind === 'memory') return 'in memory, not by VMWRITE';
  if (writer.kind === 'never')
    return writer.vmclear === undefined
      ? 'never, as far as is known'
      : `not since VMCLEAR at instruction ${grouped(writer.vmclear)}`;
  const distance = explaining.instructions - writer.instructions;
  const ago = `${grouped(distance)} instruction${distance === 1 ? '' : 's'} earlier`;
  const cleared = writer.beforeVmclear ? ', before the last VMCLEAR' : '';
  return writer.kind === 'exit'
    ? `saved by the VM exit at instruction ${grouped(writer.instructions)}, ${ago}${cleared}`
    : `VMWRITE at ${place(writer.rip, failed, explaining)}, ${ago}${cleared}`;
}

/** What the hypervisor of that level finds: flags and an error number, or an exit. */
function seen({ failure }: EntryRule, msr: number): string {
  if (failure.kind === 'VMfailInvalid') return 'VMfailInvalid (CF is 1, and there is no error number)';
  if (failure.kind === 'VMfailValid')
    return `VMfailValid (ZF is 1), VM-instruction error ${failure.error}: ${vmInstructionError(failure.error)?.text}`;
  const qualification = failure.qualification === 'entry' ? msr : failure.qualification;
  return `exit reason ${hex((failure.reason | ENTRY_FAILURE_BIT) >>> 0)}, qualification ${qualification}`;
}
