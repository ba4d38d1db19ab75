// SPDX-License-Identifier: Apache-2.0
// See: Linux Documentation/arch/x86/boot.rst, 32-bit and 64-bit Boot Protocol; zero-page.rst.

import { UserError } from '../base/errors.ts';
import { nulTerminated } from '../formats/ascii.ts';
import {
  LOADED_HIGH,
  parseBzImage,
  SETUP_HEADER_FIELDS,
  SETUP_HEADER_START,
  XLF_KERNEL_64,
} from '../formats/bzimage.ts';
import type { BzImage, SetupHeaderField } from '../formats/bzimage.ts';
import type { PhysicalAddress } from '../hardware/memory.ts';
import { packRegions } from './e820.ts';
import {
  globalDescriptorTable,
  IDENTITY_TABLES_BYTES,
  identityPageTables,
  longModeEntry,
  protectedModeEntry,
} from './entry-state.ts';
import type { Firmware } from './firmware.ts';
import type { MemoryPlacer } from './placement.ts';
import type { BootModule, BootRequest, InitialState } from './plan.ts';
import { putNumber } from './structure.ts';

const BOOT_PARAMS_BYTES = 0x1000;
/** Offsets in boot_params, beside the setup header. */
const ACPI_RSDP_ADDR = 0x070;
const E820_ENTRIES = 0x1e8;
const E820_TABLE = 0x2d0;
/** type_of_loader: a loader without an assigned number. */
const UNDEFINED_LOADER = 0xff;
/** The 64-bit entry lies this far into the protected-mode code. */
const ENTRY_64 = 0x200;
/** Limits of protocols that do not state them. */
const OLD_COMMAND_LINE_SIZE = 255;
const OLD_INITRD_MAXIMUM = 0x37ffffff;

/** Places a bzImage, its initrd and boot_params; returns the state to enter it with. */
export function planLinux(request: BootRequest, firmware: Firmware, placer: MemoryPlacer): InitialState {
  const image = parseBzImage(request.kernel, request.kernelName);
  const initrd = soleInitrd(request);
  checkProtocol(image, request);
  const start = placeKernel(image, request.kernelName, placer);
  const long = (image.header.xloadflags & XLF_KERNEL_64) !== 0;
  const gdt = placer.low(globalDescriptorTable(long ? 64 : 32), 0x1000, 'global descriptor table');
  const pageTables = long ? placePageTables(placer) : 0;
  const commandLine = placer.low(nulTerminated(request.commandLine), 16, 'command line');
  const initrdAt = initrd && placer.high(initrd.bytes, initrdLimit(image), `initrd ${initrd.name}`);
  // prettier-ignore
  const parameters = bootParameters(image, firmware, {
    vid_mode: 0xffff,
    type_of_loader: UNDEFINED_LOADER,
    code32_start: start,
    ramdisk_image: initrdAt ?? 0,
    ramdisk_size: initrd?.bytes.length ?? 0,
    cmd_line_ptr: commandLine,
  });
  const rsi = placer.low(parameters, 0x1000, 'boot_params');
  if (!long) return protectedModeEntry({ rip: start, gdt, general: { rsi } });
  return longModeEntry({ rip: start + ENTRY_64, gdt, general: { rsi } }, pageTables);
}

function soleInitrd(request: BootRequest): BootModule | undefined {
  if (request.modules.length <= 1) return request.modules[0];
  throw new UserError(
    `Linux takes one initrd, not ${request.modules.length}`,
    'join them into one file: a kernel reads concatenated cpio archives',
  );
}

function checkProtocol(image: BzImage, request: BootRequest): void {
  const { version, loadflags, cmdline_size } = image.header;
  if (version < 0x0203 || (loadflags & LOADED_HIGH) === 0) {
    throw new UserError(
      `${request.kernelName} is a zImage or a kernel older than Linux 2.4`,
      'give a bzImage of boot protocol 2.03 or later',
    );
  }
  const limit = version >= 0x0206 ? cmdline_size : OLD_COMMAND_LINE_SIZE;
  const length = nulTerminated(request.commandLine).length - 1;
  if (length > limit) {
    throw new UserError(
      `the kernel command line has ${length} bytes, ${request.kernelName} takes ${limit}`,
      'make it shorter (-append)',
    );
  }
}

/** Returns where the protected-mode code lies. The kernel unpacks itself to pref_address or its own load address. */
function placeKernel(image: BzImage, name: string, placer: MemoryPlacer): PhysicalAddress {
  const { code32_start, pref_address, init_size } = image.header;
  const code = image.protectedModeCode;
  placer.fixed(code32_start, code.length, code, `the kernel ${name}`);
  const runs = Math.max(code32_start + code.length, pref_address);
  // See: boot.rst, init_size: linear contiguous memory from the runtime start address that the kernel needs before it looks at the map.
  const end = Math.max(code32_start, pref_address) + init_size;
  if (end > runs) placer.claim(runs, end - runs, `the kernel ${name}`);
  return code32_start;
}

function placePageTables(placer: MemoryPlacer): PhysicalAddress {
  const bytes = new Uint8Array(IDENTITY_TABLES_BYTES);
  const base = placer.low(bytes, 0x1000, 'identity page tables');
  bytes.set(identityPageTables(base));
  return base;
}

/** initrd_addr_max is the highest address its last byte may have. */
const initrdLimit = (image: BzImage): number => (image.header.initrd_addr_max || OLD_INITRD_MAXIMUM) + 1;

function bootParameters(
  image: BzImage,
  firmware: Firmware,
  loader: { readonly [Field in SetupHeaderField]?: number },
): Uint8Array {
  const bytes = new Uint8Array(BOOT_PARAMS_BYTES);
  bytes.set(image.headerBytes, SETUP_HEADER_START);
  for (const [field, at, width] of SETUP_HEADER_FIELDS) {
    const value = loader[field];
    if (value !== undefined) putNumber(bytes, at, width, value, field);
  }
  putNumber(bytes, ACPI_RSDP_ADDR, 8, firmware.rsdp, 'acpi_rsdp_addr');
  putNumber(bytes, E820_ENTRIES, 1, firmware.memoryMap.length, 'e820_entries');
  bytes.set(packRegions(firmware.memoryMap), E820_TABLE);
  return bytes;
}
