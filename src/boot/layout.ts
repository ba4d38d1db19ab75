// SPDX-License-Identifier: Apache-2.0

import type { AddressWindow } from '../formats/aml.ts';

/** A device on the ISA side, as the DSDT shows it. */
export interface IsaDevice {
  /** Four characters, unique: COM1. */
  readonly name: string;
  /** PNP identifier, or any other ACPI identifier such as QEMU0002. */
  readonly hardwareId: string;
  readonly uniqueId: number;
  readonly ports: readonly { readonly base: number; readonly count: number }[];
  readonly irq?: number;
}

/** A row of _PRT: pin `pin` (1 for INTA# ... 4 for INTD#) of the device in `slot` of bus 0 arrives at this I/O APIC input. */
export interface PciInterrupt {
  readonly slot: number;
  readonly pin: number;
  readonly gsi: number;
}

/** ACPI fixed hardware: port addresses. See: ACPI 4.8.3 Fixed Hardware Registers. */
export interface PowerManagementPorts {
  /** 4 ports: status, enable. */
  readonly pm1aEventBlock: number;
  /** 2 ports. */
  readonly pm1aControlBlock: number;
  /** 4 ports. */
  readonly pmTimerBlock: number;
  /** The timer counts to 2^24 or 2^32. */
  readonly pmTimerBits: 24 | 32;
  readonly gpe0Block: number;
  readonly gpe0Length: number;
  /** SLP_TYP that turns the machine off. */
  readonly softOffSleepType: number;
  /** System control interrupt, level, active high. */
  readonly sciInterrupt: number;
  readonly resetPort: number;
  readonly resetValue: number;
}

/** What the boot side has to know about the PC; system/ builds the machine from the same values. */
export interface PcLayout {
  /** RAM in bytes, a multiple of 4 KiB. What does not fit below the PCI hole continues at 4 GiB. */
  readonly memoryBytes: number;
  /** APIC ids, the boot processor first. */
  readonly processors: readonly number[];
  /** Extended configuration space: 1 MiB for each bus. It also begins the PCI hole: RAM below 4 GiB ends here. */
  readonly ecam: { readonly base: number; readonly buses: number };
  readonly localApicBase: number;
  readonly ioApic: { readonly id: number; readonly base: number };
  /** Besides the ECAM: what the host bridge passes on. */
  readonly pciWindows: readonly AddressWindow[];
  readonly pciInterrupts: readonly PciInterrupt[];
  readonly isaDevices: readonly IsaDevice[];
  readonly power: PowerManagementPorts;
  /** Index of the century in CMOS RAM. */
  readonly centuryRegister: number;
  /** Port bases of the UARTs, COM1 first, for the BIOS data area. */
  readonly serialPorts: readonly number[];
}

const MIB = 2 ** 20;

/** INTx of all 32 slots, rotating over GSI 16..19 so that neighbours do not share. */
const rotatedPciInterrupts: readonly PciInterrupt[] = Array.from({ length: 128 }, (_, index) => {
  const [slot, pin] = [index >> 2, (index & 3) + 1];
  return { slot, pin, gsi: 16 + ((slot + pin - 1) & 3) };
});

// prettier-ignore
const standardIsaDevices: readonly IsaDevice[] = [
  { name: 'COM1', hardwareId: 'PNP0501', uniqueId: 1, ports: [{ base: 0x3f8, count: 8 }], irq: 4 },
  { name: 'COM2', hardwareId: 'PNP0501', uniqueId: 2, ports: [{ base: 0x2f8, count: 8 }], irq: 3 },
  { name: 'RTC',  hardwareId: 'PNP0B00', uniqueId: 0, ports: [{ base: 0x070, count: 2 }], irq: 8 },
];

const standardPowerManagement: PowerManagementPorts = {
  pm1aEventBlock: 0x600,
  pm1aControlBlock: 0x604,
  pmTimerBlock: 0x608,
  pmTimerBits: 32,
  gpe0Block: 0x610,
  gpe0Length: 4,
  softOffSleepType: 5,
  sciInterrupt: 9,
  resetPort: 0xcf9,
  resetValue: 6,
};

/** The PC as QEMU's q35 lays it out, with one processor and 256 MiB; `changes` replaces whole members. */
export function pcLayout(changes: Partial<PcLayout> = {}): PcLayout {
  const ecam = changes.ecam ?? { base: 0xb0000000, buses: 256 };
  const ecamEnd = ecam.base + ecam.buses * MIB;
  return {
    memoryBytes: 256 * MIB,
    processors: [0],
    localApicBase: 0xfee00000,
    ioApic: { id: 0, base: 0xfec00000 },
    pciWindows: [
      { kind: 'bus', base: 0, size: ecam.buses },
      { kind: 'io', base: 0, size: 0xcf8 },
      { kind: 'io', base: 0xd00, size: 0x10000 - 0xd00 },
      { kind: 'memory', base: 0xa0000, size: 0x20000 },
      { kind: 'memory', base: ecamEnd, size: 0xfec00000 - ecamEnd },
    ],
    pciInterrupts: rotatedPciInterrupts,
    isaDevices: standardIsaDevices,
    power: standardPowerManagement,
    centuryRegister: 0x32,
    serialPorts: [0x3f8, 0x2f8],
    ...changes,
    ecam,
  };
}
