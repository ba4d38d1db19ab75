// SPDX-License-Identifier: Apache-2.0
import { allFailures } from '../arch/vmx/entry-checks.ts';
import { fieldNamed } from '../arch/vmx/fields.ts';
import type { FieldName } from '../arch/vmx/fields.ts';
import { processorFacts } from '../arch/vmx/processor-facts.ts';
import { InternalError } from '../base/assert.ts';
import { hex } from '../base/hex.ts';
import type { RootProcessor } from '../hardware/vmx.ts';

/** Bits 15:0 of the exit reason. */
export const BASIC_REASON = 0xffff;

/** An entry that L0 itself made wrong: our own bug, with every rule that the current VMCS breaks. */
export function describeFailedEntry(
  processor: RootProcessor,
  physicalAddressBits: number,
  what: string,
): InternalError {
  const view = {
    low: (offset: number) => processor.readLow(offset),
    high: (offset: number) => processor.readHigh(offset),
  };
  const context = {
    facts: processorFacts(processor.capabilities, physicalAddressBits),
    longModeActive: true,
    inSmm: false,
    currentVmcs: processor.currentVmcs,
    readPhysical32: () => 0xffffffff,
  };
  const value = (name: FieldName): string => {
    const { offset } = fieldNamed(name);
    return `${name} = ${hex((BigInt(view.high(offset)) << 32n) | BigInt(view.low(offset)))}`;
  };
  const broken = allFailures(view, context).map(
    ({ id, sentence, section, reads }) =>
      `${id}: ${sentence} (SDM ${section}; ${[...new Set(reads)].map(value).join(', ')})`,
  );
  return new InternalError(
    `VM entry on processor ${processor.index} failed (${what}). Rules that the VMCS breaks: ${broken.join('; ') || 'none that is known'}`,
  );
}
