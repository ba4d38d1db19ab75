// SPDX-License-Identifier: Apache-2.0

/** SDM: Intel 64 and IA-32 Architectures Software Developer's Manual, combined volumes, order number 325462. */
export const SDM_REVISION = '325462-084';
/** ACPI Specification. */
export const ACPI_REVISION = '6.5';
/** Virtual I/O Device (VIRTIO) specification. */
export const VIRTIO_REVISION = '1.2';
/** PCI Local Bus Specification. */
export const PCI_REVISION = '3.0';
