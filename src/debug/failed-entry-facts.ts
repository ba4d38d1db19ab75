// SPDX-License-Identifier: Apache-2.0
// A failed VM entry as data, for a report or a text: rule, each field with its value and who wrote it, and what is seen.

import type { EntryFailure } from '../arch/vmx/entry-check-row.ts';
import { fieldNamed } from '../arch/vmx/fields.ts';
import type { FieldName } from '../arch/vmx/fields.ts';
import { hex } from '../base/hex.ts';
import type { FailedEntry } from '../trace/failed-entry.ts';
import type { FieldWriter } from '../trace/field-writers.ts';

/** `vmx_vcpu_reset+0x93` for an address of software at this level; undefined: it has no known name. */
export type SymbolOf = (address: number, failed: FailedEntry) => string | undefined;

/** A linear address in the software of the level that failed, and its name if it has one. */
export interface Place {
  readonly address: string;
  readonly symbol?: string | undefined;
}

/** Who gave a field its value. Numbers of instructions count those of the run, the writing one included. */
export type Written =
  | { readonly by: 'VMWRITE'; readonly at: Place; readonly instruction: number; readonly beforeVmclear: boolean }
  | { readonly by: 'VM exit'; readonly instruction: number; readonly beforeVmclear: boolean }
  | { readonly by: 'memory' }
  | { readonly by: 'nobody'; readonly vmclear?: number | undefined };

export interface FieldFacts {
  readonly name: FieldName;
  /** Hexadecimal, as wide as the field; so are all values. */
  readonly value: string;
  readonly written?: Written | undefined;
}

export interface FailedEntryFacts {
  /** Of the hypervisor that tried: 1 for L1. */
  readonly level: number;
  readonly processor: number;
  readonly by: FailedEntry['instruction'];
  readonly at: Place;
  /** Of the run, the one that failed included. */
  readonly instruction: number;
  readonly rule: string;
  /** What must hold. */
  readonly sentence: string;
  /** SDM number and title. */
  readonly section: string;
  /** Those that the rule reads; none where there is no current VMCS. */
  readonly fields: readonly FieldFacts[];
  /** What the rule reads from memory, if anything. */
  readonly memory?: string | undefined;
  /** The entry of the MSR-load list, by number from 1. */
  readonly msr?: { readonly entry: number; readonly index: string; readonly value: string } | undefined;
  readonly sees:
    | Exclude<EntryFailure, { readonly kind: 'exit' }>
    | { readonly kind: 'exit'; readonly reason: number; readonly qualification: number };
}

/** `instructions`: of the run, the one that failed included. */
export function factsOf(failed: FailedEntry, instructions: number, symbol: SymbolOf): FailedEntryFacts {
  const { level, processor, rule, msr } = failed;
  return {
    ...{ level, processor, by: failed.instruction, at: place(failed.rip, failed, symbol), instruction: instructions },
    ...{ rule: rule.id, sentence: rule.sentence, section: rule.section },
    fields: [...new Set(rule.reads)].flatMap((name) => fieldFacts(failed, name, symbol)),
    memory: msr === undefined ? rule.memory : undefined,
    msr: msr && { entry: msr.number, index: hex(msr.index), value: wide(msr.low, msr.high) },
    sees: seen(rule.failure, msr?.number ?? 0),
  };
}

const place = (address: number, failed: FailedEntry, symbol: SymbolOf): Place => ({
  address: hex(address),
  symbol: symbol(address, failed),
});

const wide = (low: number, high: number): string => hex((BigInt(high) << 32n) | BigInt(low), 16);

function fieldFacts(failed: FailedEntry, name: FieldName, symbol: SymbolOf): FieldFacts[] {
  const { vmcs, writers } = failed;
  if (vmcs === undefined) return [];
  const { offset, width } = fieldNamed(name);
  const [low, high] = [vmcs.low(offset), vmcs.high(offset)];
  const value = width === 'u64' || width === 'natural' ? wide(low, high) : hex(low, width === 'u16' ? 4 : 8);
  return [{ name, value, written: writers && written(writers.writer(offset, low, high), failed, symbol) }];
}

function written(writer: FieldWriter, failed: FailedEntry, symbol: SymbolOf): Written {
  if (writer.kind === 'memory') return { by: 'memory' };
  if (writer.kind === 'never') return { by: 'nobody', vmclear: writer.vmclear };
  const { instructions: instruction, beforeVmclear } = writer;
  if (writer.kind === 'exit') return { by: 'VM exit', instruction, beforeVmclear };
  return { by: 'VMWRITE', at: place(writer.rip, failed, symbol), instruction, beforeVmclear };
}

function seen(failure: EntryFailure, msr: number): FailedEntryFacts['sees'] {
  if (failure.kind !== 'exit') return failure;
  const { kind, reason, qualification } = failure;
  return { kind, reason, qualification: qualification === 'entry' ? msr : qualification };
}
