// SPDX-License-Identifier: Apache-2.0
// See: ACPI 5.2.11.1 Differentiated System Description Table (DSDT).

import {
  addressWindow,
  device,
  eisaId,
  fixedMemory,
  integer,
  ioPorts,
  isaInterrupt,
  list,
  name,
  resourceTemplate,
  scope,
  text,
} from '../../formats/aml.ts';
import type { Aml } from '../../formats/aml.ts';
import type { IsaDevice, PcLayout, PciInterrupt } from '../layout.ts';
import { systemTable } from './table.ts';

/** Revision 2: integers have 64 bits. */
const REVISION = 2;

/** An identifier of the form PNP0A08 is compressed; any other stays text. */
const hardwareId = (id: string): Aml => (/^[A-Z]{3}[0-9A-F]{4}$/.test(id) ? eisaId(id) : text(id));

export function differentiatedDescription(layout: PcLayout): Uint8Array {
  const aml = [
    scope('\\_SB', hostBridge(layout), motherboard(layout), ...layout.isaDevices.map(isaDevice)),
    softOff(layout),
  ];
  return systemTable('DSDT', REVISION, Uint8Array.from(aml.flat()));
}

/** See: ACPI 6.5 Other Objects and Controls, _CRS of a PCI host bridge: the windows it passes on to its bus. */
function hostBridge(layout: PcLayout): Aml {
  return device(
    'PCI0',
    name('_HID', eisaId('PNP0A08')),
    name('_CID', eisaId('PNP0A03')),
    name('_UID', integer(0)),
    name('_BBN', integer(0)),
    name('_SEG', integer(0)),
    // The configuration address and data ports are the bridge's own.
    name('_CRS', resourceTemplate(...layout.pciWindows.map(addressWindow), ioPorts(0xcf8, 8))),
    name('_PRT', list(...layout.pciInterrupts.map(routingEntry))),
  );
}

/** See: ACPI 6.2.13 _PRT (PCI Routing Table): any function of the device, pin from 0, no link device, the GSI. */
function routingEntry({ slot, pin, gsi }: PciInterrupt): Aml {
  return list(integer(slot * 0x10000 + 0xffff), integer(pin - 1), integer(0), integer(gsi));
}

/** The operating system believes MCFG only if a motherboard device reserves the same range. */
function motherboard(layout: PcLayout): Aml {
  const { ecam, power } = layout;
  return device(
    'MBRD',
    name('_HID', eisaId('PNP0C02')),
    name('_UID', integer(0)),
    name(
      '_CRS',
      resourceTemplate(
        fixedMemory(ecam.base, ecam.buses * 2 ** 20),
        ioPorts(power.pm1aEventBlock, 4),
        ioPorts(power.pm1aControlBlock, 2),
        ioPorts(power.pmTimerBlock, 4),
        ioPorts(power.gpe0Block, power.gpe0Length),
      ),
    ),
  );
}

function isaDevice({ name: path, hardwareId: id, uniqueId, ports, irq }: IsaDevice): Aml {
  const resources = ports.map(({ base, count }) => ioPorts(base, count));
  if (irq !== undefined) resources.push(isaInterrupt(irq));
  const present = 0xf;
  return device(
    path,
    name('_HID', hardwareId(id)),
    name('_UID', integer(uniqueId)),
    name('_STA', integer(present)),
    name('_CRS', resourceTemplate(...resources)),
  );
}

/** See: ACPI 7.4.2 \_Sx (where x = 0-5): SLP_TYPa, SLP_TYPb, two reserved. */
function softOff(layout: PcLayout): Aml {
  const type = integer(layout.power.softOffSleepType);
  return name('\\_S5', list(type, type, integer(0), integer(0)));
}
