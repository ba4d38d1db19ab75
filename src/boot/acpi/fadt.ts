// SPDX-License-Identifier: Apache-2.0
// See: ACPI 5.2.9 Fixed ACPI Description Table (FADT); 5.2.10 Firmware ACPI Control Structure (FACS).

import type { PhysicalAddress } from '../../hardware/memory.ts';
import { fixedText } from '../../formats/ascii.ts';
import type { PcLayout } from '../layout.ts';
import { structure, type FieldRow } from '../structure.ts';
import { systemTable } from './table.ts';

/** Fixed feature flags. See: ACPI 5.2.9 Table 5.10 Fixed ACPI Description Table Fixed Feature Flags. */
const FLAG = {
  WBINVD: 1 << 0,
  PROC_C1: 1 << 2,
  SLP_BUTTON: 1 << 5, // 1: there is none in fixed hardware; the power button is there (bit 4 clear)
  FIX_RTC: 1 << 6, // 1: no wake status in fixed hardware
  TMR_VAL_EXT: 1 << 8,
  RESET_REG_SUP: 1 << 10,
} as const;

/** See: ACPI 5.2.9.3 IA-PC Boot Architecture Flags. Clear and meant so: 8042, MSI Not Supported, CMOS RTC Not Present. */
const BOOT_ARCHITECTURE = { LEGACY_DEVICES: 1 << 0, VGA_NOT_PRESENT: 1 << 2 } as const;

/** A latency above these says that C2 and C3 do not exist. */
const NO_C2 = 101;
const NO_C3 = 1001;

const SYSTEM_IO = 1;
const ACCESS = { 1: 1, 2: 2, 4: 3 } as const;

/** See: ACPI 5.2.3.2 Generic Address Structure. */
function ioAddress(field: string, port: number, bytes: number, access: 1 | 2 | 4): FieldRow[] {
  return [
    [`${field} space`, 1, port === 0 ? 0 : SYSTEM_IO],
    [`${field} bits`, 1, bytes * 8],
    [`${field} bit offset`, 1, 0],
    [`${field} access size`, 1, port === 0 ? 0 : ACCESS[access]],
    [`${field} address`, 8, port],
  ];
}

const none = (field: string): FieldRow[] => ioAddress(field, 0, 0, 1);

/** Revision 6: the machine is always in ACPI mode (no SMI command port), with full fixed hardware. */
export function fixedDescription(layout: PcLayout, facs: PhysicalAddress, dsdt: PhysicalAddress): Uint8Array {
  const power = layout.power;
  const timerFlag = power.pmTimerBits === 32 ? FLAG.TMR_VAL_EXT : 0;
  const flags = FLAG.WBINVD | FLAG.PROC_C1 | FLAG.SLP_BUTTON | FLAG.FIX_RTC | FLAG.RESET_REG_SUP | timerFlag;
  // prettier-ignore
  return systemTable('FACP', 6, structure([
    ['FIRMWARE_CTRL',        4, facs],
    ['DSDT',                 4, dsdt],
    ['reserved',             1, 0],
    ['Preferred_PM_Profile', 1, 0],
    ['SCI_INT',              2, power.sciInterrupt],
    ['SMI_CMD',              4, 0],
    ['ACPI_ENABLE',          1, 0],
    ['ACPI_DISABLE',         1, 0],
    ['S4BIOS_REQ',           1, 0],
    ['PSTATE_CNT',           1, 0],
    ['PM1a_EVT_BLK',         4, power.pm1aEventBlock],
    ['PM1b_EVT_BLK',         4, 0],
    ['PM1a_CNT_BLK',         4, power.pm1aControlBlock],
    ['PM1b_CNT_BLK',         4, 0],
    ['PM2_CNT_BLK',          4, 0],
    ['PM_TMR_BLK',           4, power.pmTimerBlock],
    ['GPE0_BLK',             4, power.gpe0Block],
    ['GPE1_BLK',             4, 0],
    ['PM1_EVT_LEN',          1, 4],
    ['PM1_CNT_LEN',          1, 2],
    ['PM2_CNT_LEN',          1, 0],
    ['PM_TMR_LEN',           1, 4],
    ['GPE0_BLK_LEN',         1, power.gpe0Length],
    ['GPE1_BLK_LEN',         1, 0],
    ['GPE1_BASE',            1, 0],
    ['CST_CNT',              1, 0],
    ['P_LVL2_LAT',           2, NO_C2],
    ['P_LVL3_LAT',           2, NO_C3],
    ['FLUSH_SIZE',           2, 0],
    ['FLUSH_STRIDE',         2, 0],
    ['DUTY_OFFSET',          1, 0],
    ['DUTY_WIDTH',           1, 0],
    ['DAY_ALRM',             1, 0],
    ['MON_ALRM',             1, 0],
    ['CENTURY',              1, layout.centuryRegister],
    ['IAPC_BOOT_ARCH',       2, BOOT_ARCHITECTURE.LEGACY_DEVICES | BOOT_ARCHITECTURE.VGA_NOT_PRESENT],
    ['reserved',             1, 0],
    ['Flags',                4, flags],
    ...ioAddress('RESET_REG', power.resetPort, 1, 1),
    ['RESET_VALUE',          1, power.resetValue],
    ['ARM_BOOT_ARCH',        2, 0],
    ['FADT Minor Version',   1, 3],
    ['X_FIRMWARE_CTRL',      8, 0], // the 32-bit field is used
    ['X_DSDT',               8, dsdt],
    ...ioAddress('X_PM1a_EVT_BLK', power.pm1aEventBlock, 4, 2),
    ...none('X_PM1b_EVT_BLK'),
    ...ioAddress('X_PM1a_CNT_BLK', power.pm1aControlBlock, 2, 2),
    ...none('X_PM1b_CNT_BLK'),
    ...none('X_PM2_CNT_BLK'),
    ...ioAddress('X_PM_TMR_BLK', power.pmTimerBlock, 4, 4),
    ...ioAddress('X_GPE0_BLK', power.gpe0Block, power.gpe0Length, 1),
    ...none('X_GPE1_BLK'),
    ...none('SLEEP_CONTROL_REG'),
    ...none('SLEEP_STATUS_REG'),
    ['Hypervisor Vendor Identity', 8, 0],
  ]));
}

/** 64 bytes, no checksum, at an address that is a multiple of 64, in memory the system may write. */
export function firmwareControl(): Uint8Array {
  return structure([
    ['signature', 4, fixedText('FACS', 4)],
    ['length', 4, 64],
    ['hardware_signature', 4, 0],
    ['firmware_waking_vector', 4, 0],
    ['global_lock', 4, 0],
    ['flags', 4, 0],
    ['x_firmware_waking_vector', 8, 0],
    ['version', 1, 2],
    ['reserved', 31, new Uint8Array(31)],
  ]);
}
