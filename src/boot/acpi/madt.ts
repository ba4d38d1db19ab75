// SPDX-License-Identifier: Apache-2.0
// See: ACPI 5.2.12 Multiple APIC Description Table (MADT).

import type { PcLayout } from '../layout.ts';
import { structure, type FieldRow } from '../structure.ts';
import { systemTable } from './table.ts';

/** The PC also has two 8259s. */
const PCAT_COMPAT = 1;
const ENABLED = 1;
/** See: ACPI 5.2.12.5 MPS INTI Flags: polarity in bits 1:0, trigger mode in bits 3:2. */
const CONFORMING = 0;
const ACTIVE_HIGH_LEVEL = 0b1101;
const ALL_PROCESSORS = 0xff;
/** APIC ids above this, and processors listed by them, need the x2APIC structure. */
const LAST_XAPIC_ID = 254;

function processor(apicId: number, uid: number): FieldRow[] {
  if (apicId > LAST_XAPIC_ID) {
    // prettier-ignore
    return [['type', 1, 9], ['length', 1, 16], ['reserved', 2, 0], ['x2apic id', 4, apicId], ['flags', 4, ENABLED], ['uid', 4, uid]];
  }
  return [
    ['type', 1, 0],
    ['length', 1, 8],
    ['uid', 1, uid],
    ['apic id', 1, apicId],
    ['flags', 4, ENABLED],
  ];
}

function interruptOverride(irq: number, gsi: number, flags: number): FieldRow[] {
  return [
    ['type', 1, 2],
    ['length', 1, 10],
    ['bus', 1, 0],
    ['source', 1, irq],
    ['gsi', 4, gsi],
    ['flags', 2, flags],
  ];
}

/** LINT1 of every processor is NMI. */
function localNmi(): FieldRow[] {
  return [
    ['type', 1, 4],
    ['length', 1, 6],
    ['uid', 1, ALL_PROCESSORS],
    ['flags', 2, CONFORMING],
    ['lint', 1, 1],
  ];
}

export function multipleApics(layout: PcLayout): Uint8Array {
  const { ioApic, power } = layout;
  return systemTable(
    'APIC',
    5,
    structure([
      ['local apic address', 4, layout.localApicBase],
      ['flags', 4, PCAT_COMPAT],
      ...layout.processors.flatMap(processor),
      ['type', 1, 1],
      ['length', 1, 12],
      ['io apic id', 1, ioApic.id],
      ['reserved', 1, 0],
      ['io apic address', 4, ioApic.base],
      ['gsi base', 4, 0],
      // The 8254's output arrives at input 2: input 0 is where the 8259s would be cascaded.
      ...interruptOverride(0, 2, CONFORMING),
      ...interruptOverride(power.sciInterrupt, power.sciInterrupt, ACTIVE_HIGH_LEVEL),
      ...localNmi(),
    ]),
  );
}
