// SPDX-License-Identifier: Apache-2.0
// See: Multiboot2 Specification 2.0, 3.3 I386 machine state and 3.6 Boot information format.

import { UserError } from '../base/errors.ts';
import { nulTerminated } from '../formats/ascii.ts';
import { HEADER_TAG, MULTIBOOT2_BOOT_MAGIC } from '../formats/multiboot.ts';
import type { Multiboot2Header } from '../formats/multiboot.ts';
import type { PhysicalAddress } from '../hardware/memory.ts';
import { RSDP_BYTES } from './acpi/root.ts';
import { packRegions } from './e820.ts';
import { globalDescriptorTable, protectedModeEntry } from './entry-state.ts';
import type { Firmware } from './firmware.ts';
import { loadMultibootImage } from './multiboot-image.ts';
import { basicMemory, LOADER_NAME, multibootCommandLine } from './multiboot1.ts';
import type { MemoryPlacer } from './placement.ts';
import type { BootRequest, InitialState } from './plan.ts';
import { alignUp, concatenate, structure } from './structure.ts';

/** Information tag types. */
// prettier-ignore
export const TAG = {
  end: 0, commandLine: 1, loaderName: 2, module: 3, basicMemory: 4, memoryMap: 6, acpiOld: 14, acpiNew: 15, loadBase: 21,
} as const;
const ARCHITECTURE_I386 = 0;
/** Header tags that need nothing from a PC without EFI and display. Relocation is permission, which we do not use. */
const HARMLESS_TAGS: readonly number[] = [
  HEADER_TAG.informationRequest,
  HEADER_TAG.address,
  HEADER_TAG.entryAddress,
  HEADER_TAG.moduleAlignment,
  HEADER_TAG.efiBootServices,
  HEADER_TAG.efi32Entry,
  HEADER_TAG.efi64Entry,
  HEADER_TAG.relocatable,
];
/** Console flags, bit 0: the kernel cannot do without one of the consoles it supports. */
const CONSOLE_REQUIRED = 1;

export function planMultiboot2(
  request: BootRequest,
  header: Multiboot2Header,
  firmware: Firmware,
  placer: MemoryPlacer,
  remarks: string[],
): InitialState {
  checkHeader(header, request.kernelName, remarks);
  const rip = loadMultibootImage(request, header, placer);
  const loadBase = Math.min(...placer.writes.map((write) => write.address));
  const modules = request.modules.map((module) => placer.above(module.bytes, `module ${module.name}`));
  const tags = informationTags(request, modules, firmware, loadBase);
  const information = structure([
    ['total_size', 4, tags.length + 8],
    ['reserved', 4, 0],
    ['tags', tags.length, tags],
  ]);
  const rbx = placer.low(information, 8, 'multiboot 2 information');
  const gdt = placer.low(globalDescriptorTable(32), 8, 'global descriptor table');
  return protectedModeEntry({ rip, gdt, general: { rax: MULTIBOOT2_BOOT_MAGIC, rbx } });
}

function checkHeader(header: Multiboot2Header, name: string, remarks: string[]): void {
  if (header.architecture !== ARCHITECTURE_I386) {
    throw new UserError(
      `${name} is a multiboot 2 kernel for architecture ${header.architecture}, not for x86`,
      'give a kernel built for x86',
    );
  }
  const missing = header.requiredInformation.filter((type) => !Object.values<number>(TAG).includes(type));
  if (missing.length > 0) {
    throw new UserError(
      `${name} demands multiboot 2 information of type ${missing.join(', ')}, which this machine has not`,
      'mark the request optional',
    );
  }
  for (const tag of header.tags) {
    if (HARMLESS_TAGS.includes(tag.type)) continue;
    const serialSuffices = tag.type === HEADER_TAG.consoleFlags && (tag.data[0]! & CONSOLE_REQUIRED) === 0;
    if (!tag.optional && !serialSuffices) {
      throw new UserError(
        `${name} demands ${tagName(tag.type)}, which this machine has not`,
        'mark the header tag optional',
      );
    }
    if (tag.type === HEADER_TAG.framebuffer) remarks.push(`${name} asks for a framebuffer: there is no display`);
  }
}

function tagName(type: number): string {
  if (type === HEADER_TAG.consoleFlags) return 'a console on the display';
  return type === HEADER_TAG.framebuffer ? 'a framebuffer' : `multiboot 2 header tag ${type}`;
}

/** All tags, each on an 8-byte boundary, the end tag last. */
function informationTags(
  request: BootRequest,
  modules: readonly PhysicalAddress[],
  firmware: Firmware,
  loadBase: number,
): Uint8Array {
  const [lower, upper] = basicMemory(firmware.memoryMap);
  const rsdp = firmware.writes.find((write) => write.address === firmware.rsdp)!.bytes;
  const map = packRegions(firmware.memoryMap, 4);
  return concatenate([
    tag(TAG.commandLine, nulTerminated(multibootCommandLine(request))),
    tag(TAG.loaderName, nulTerminated(LOADER_NAME)),
    ...request.modules.map((module, index) => {
      const start = modules[index]!;
      const text = nulTerminated(module.commandLine);
      return tag(
        TAG.module,
        structure([
          ['start', 4, start],
          ['end', 4, start + module.bytes.length],
          ['string', text.length, text],
        ]),
      );
    }),
    tag(
      TAG.basicMemory,
      structure([
        ['lower', 4, lower],
        ['upper', 4, upper],
      ]),
    ),
    tag(
      TAG.memoryMap,
      structure([
        ['entry_size', 4, 24],
        ['entry_version', 4, 0],
        ['entries', map.length, map],
      ]),
    ),
    tag(TAG.acpiOld, rsdp.subarray(0, 20)),
    tag(TAG.acpiNew, rsdp.subarray(0, RSDP_BYTES)),
    tag(TAG.loadBase, structure([['load_base_addr', 4, loadBase]])),
    tag(TAG.end, new Uint8Array(0)),
  ]);
}

/** The size counts the 8-byte head but not the padding. */
function tag(type: number, data: Uint8Array): Uint8Array {
  const padding = alignUp(data.length, 8) - data.length;
  return structure([
    ['type', 4, type],
    ['size', 4, data.length + 8],
    ['data', data.length, data],
    ['padding', padding, new Uint8Array(padding)],
  ]);
}
