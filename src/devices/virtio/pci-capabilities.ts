// SPDX-License-Identifier: Apache-2.0
import { writeLittleEndian } from '../bus-width.ts';
import type { PciCapability } from '../pci-config.ts';

/** The BAR of the transport's structures, and the one of MSI-X. */
export const BAR = 0;
export const BAR_BYTES = 0x4000;
export const MSIX_BAR = 1;
/** Each structure has a page of its own, so that a hypervisor can map notifications apart from the rest. */
const STRUCTURE_BYTES = 0x1000;
/** Bytes between the notification addresses of neighbouring queues. */
export const NOTIFY_MULTIPLIER = 4;

const CAPABILITY_VENDOR_SPECIFIC = 0x09;

interface Structure {
  readonly cfgType: number;
  readonly name: string;
  /** Within the BAR. */
  readonly offset: number;
}

/** See: VIRTIO 4.1.4 Virtio Structure PCI Capabilities. */
// prettier-ignore
export const STRUCTURES = {
  common: { cfgType: 1, name: 'VIRTIO_PCI_CAP_COMMON_CFG', offset: 0x0000 },
  notify: { cfgType: 2, name: 'VIRTIO_PCI_CAP_NOTIFY_CFG', offset: 0x3000 },
  isr:    { cfgType: 3, name: 'VIRTIO_PCI_CAP_ISR_CFG',    offset: 0x1000 },
  device: { cfgType: 4, name: 'VIRTIO_PCI_CAP_DEVICE_CFG', offset: 0x2000 },
} as const satisfies Record<string, Structure>;
const CAP_PCI_CFG = 5;

const COMMON_CONFIG_BYTES = 0x38;

/** Offsets from the start of the PCI configuration access capability. */
export const PCI_CFG = { bar: 4, offset: 8, length: 12, data: 16 } as const;

/** Which structure lies at an offset of the BAR, and the offset within it. */
export function structureAt(offset: number): { structure: Structure; offset: number } | undefined {
  const start = offset - (offset % STRUCTURE_BYTES);
  const structure = Object.values(STRUCTURES).find((row) => row.offset === start);
  return structure && { structure, offset: offset - start };
}

/** One virtio_pci_cap, with `extra` bytes at its end. */
function virtioCapability(cfgType: number, offset: number, length: number, extra: number): PciCapability {
  const registers = new Uint8Array(14 + extra);
  registers[0] = 2 + registers.length;
  registers[1] = cfgType;
  registers[2] = BAR;
  writeLittleEndian(registers, 6, 4, offset);
  writeLittleEndian(registers, 10, 4, length);
  return { id: CAPABILITY_VENDOR_SPECIFIC, registers, writable: new Uint8Array(registers.length) };
}

function pciCfgCapability(): PciCapability {
  const capability = virtioCapability(CAP_PCI_CFG, 0, 0, 4);
  capability.writable.fill(0xff, PCI_CFG.bar - 2, PCI_CFG.bar - 1);
  capability.writable.fill(0xff, PCI_CFG.offset - 2, PCI_CFG.data + 4 - 2);
  return capability;
}

/** The capabilities of a device; PCI configuration access is the last. A device without configuration shows none. */
export function virtioCapabilities(queues: number, configBytes: number): PciCapability[] {
  const { common, notify, isr, device } = STRUCTURES;
  const notifyCapability = virtioCapability(notify.cfgType, notify.offset, queues * NOTIFY_MULTIPLIER, 4);
  writeLittleEndian(notifyCapability.registers, 14, 4, NOTIFY_MULTIPLIER);
  return [
    virtioCapability(common.cfgType, common.offset, COMMON_CONFIG_BYTES, 0),
    notifyCapability,
    virtioCapability(isr.cfgType, isr.offset, 1, 0),
    ...(configBytes > 0 ? [virtioCapability(device.cfgType, device.offset, configBytes, 0)] : []),
    pciCfgCapability(),
  ];
}
