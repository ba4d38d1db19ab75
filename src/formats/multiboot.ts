// SPDX-License-Identifier: Apache-2.0
// See: Multiboot Specification 0.6.96, 3.1 OS image format; Multiboot2 Specification 2.0, 3.1 OS image format.

import { UserError } from '../base/errors.ts';

const MULTIBOOT1_HEADER_MAGIC = 0x1badb002;
export const MULTIBOOT1_BOOT_MAGIC = 0x2badb002;
const MULTIBOOT2_HEADER_MAGIC = 0xe85250d6;
export const MULTIBOOT2_BOOT_MAGIC = 0x36d76289;

/** Multiboot 1 header flags. */
export const ALIGN_MODULES = 1 << 0;
export const MEMORY_INFORMATION = 1 << 1;
export const VIDEO_MODE = 1 << 2;
export const ADDRESS_FIELDS = 1 << 16;

/** Multiboot 2 header tag types. */
export const HEADER_TAG = {
  end: 0,
  informationRequest: 1,
  address: 2,
  entryAddress: 3,
  consoleFlags: 4,
  framebuffer: 5,
  moduleAlignment: 6,
  efiBootServices: 7,
  efi32Entry: 8,
  efi64Entry: 9,
  relocatable: 10,
} as const;

/** How to load a file that is not to be read as ELF; physical addresses. */
export interface LoadAddresses {
  /** Where the header itself lies in memory. */
  readonly header: number;
  /** Where loading starts; 0xffffffff in a multiboot 2 header means: the file's start. */
  readonly load: number;
  /** End of the text and data to load, 0 for the whole file. */
  readonly loadEnd: number;
  /** End of what must be zero, 0 for none. */
  readonly bssEnd: number;
}

export interface Multiboot1Header {
  /** Byte offset of the header in the file. */
  readonly offset: number;
  readonly flags: number;
  readonly addresses: LoadAddresses | undefined;
  /** Entry address, if the address fields are valid. */
  readonly entry: number | undefined;
}

export interface Multiboot2Tag {
  readonly type: number;
  readonly optional: boolean;
  /** The tag's bytes after its 8-byte head. */
  readonly data: Uint8Array;
}

export interface Multiboot2Header {
  readonly offset: number;
  readonly architecture: number;
  readonly tags: readonly Multiboot2Tag[];
  readonly addresses: LoadAddresses | undefined;
  readonly entry: number | undefined;
  readonly alignModules: boolean;
  /** Information tag types the kernel cannot do without. */
  readonly requiredInformation: readonly number[];
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const sumIsZero = (...words: number[]): boolean => words.reduce((sum, word) => (sum + word) >>> 0, 0) === 0;

/** Finds the header in the first 8 KiB; undefined if there is none with a right checksum. */
export function findMultiboot1(bytes: Uint8Array, name: string): Multiboot1Header | undefined {
  const view = viewOf(bytes);
  for (let at = 0; at + 12 <= Math.min(bytes.length, 8192); at += 4) {
    if (view.getUint32(at, true) !== MULTIBOOT1_HEADER_MAGIC) continue;
    const flags = view.getUint32(at + 4, true);
    if (sumIsZero(MULTIBOOT1_HEADER_MAGIC, flags, view.getUint32(at + 8, true)))
      return readMultiboot1(bytes, at, flags, name);
  }
  return undefined;
}

function readMultiboot1(bytes: Uint8Array, offset: number, flags: number, name: string): Multiboot1Header {
  if ((flags & ADDRESS_FIELDS) === 0) return { offset, flags, addresses: undefined, entry: undefined };
  if (offset + 32 > bytes.length) throw damaged(name, 'its multiboot header is cut off before the address fields');
  const addresses = readAddresses(viewOf(bytes), offset + 12);
  return { offset, flags, addresses, entry: viewOf(bytes).getUint32(offset + 28, true) };
}

function readAddresses(view: DataView, at: number): LoadAddresses {
  const [header, load, loadEnd, bssEnd] = [0, 4, 8, 12].map((step) => view.getUint32(at + step, true)) as [
    number,
    number,
    number,
    number,
  ];
  return { header, load, loadEnd, bssEnd };
}

/** Finds the header in the first 32 KiB; undefined if there is none with a right checksum. */
export function findMultiboot2(bytes: Uint8Array, name: string): Multiboot2Header | undefined {
  const view = viewOf(bytes);
  for (let at = 0; at + 16 <= Math.min(bytes.length, 32768); at += 8) {
    const words = [0, 4, 8, 12].map((step) => view.getUint32(at + step, true));
    if (words[0] === MULTIBOOT2_HEADER_MAGIC && sumIsZero(...words)) {
      return readMultiboot2(bytes.subarray(at), at, words[1]!, words[2]!, name);
    }
  }
  return undefined;
}

function readMultiboot2(
  header: Uint8Array,
  offset: number,
  architecture: number,
  length: number,
  name: string,
): Multiboot2Header {
  if (length > header.length) throw damaged(name, 'its multiboot 2 header is longer than the file');
  const tags = headerTags(header.subarray(0, length), name);
  const data = (type: number): DataView | undefined => {
    const tag = tags.find((candidate) => candidate.type === type);
    return tag && viewOf(tag.data);
  };
  const address = data(HEADER_TAG.address);
  return {
    offset,
    architecture,
    tags,
    addresses: address && readAddresses(address, 0),
    entry: data(HEADER_TAG.entryAddress)?.getUint32(0, true),
    alignModules: data(HEADER_TAG.moduleAlignment) !== undefined,
    requiredInformation: tags
      .filter((tag) => tag.type === HEADER_TAG.informationRequest && !tag.optional)
      .flatMap(requestedTypes),
  };
}

function requestedTypes(tag: Multiboot2Tag): number[] {
  const view = viewOf(tag.data);
  return Array.from({ length: tag.data.length >> 2 }, (_, index) => view.getUint32(index * 4, true));
}

/** Bytes of data that a tag must have for its fields to be read. */
const LEAST_DATA: { readonly [type: number]: number } = {
  [HEADER_TAG.address]: 16,
  [HEADER_TAG.entryAddress]: 4,
  [HEADER_TAG.consoleFlags]: 4,
};

function headerTags(header: Uint8Array, name: string): Multiboot2Tag[] {
  const view = viewOf(header);
  const tags: Multiboot2Tag[] = [];
  for (let at = 16; at + 8 <= header.length;) {
    const type = view.getUint16(at, true);
    const size = view.getUint32(at + 4, true);
    if (type === HEADER_TAG.end) return tags;
    if (size < 8 + (LEAST_DATA[type] ?? 0) || at + size > header.length) {
      throw damaged(name, `its multiboot 2 header has a tag of type ${type} with impossible size ${size}`);
    }
    tags.push({ type, optional: (view.getUint16(at + 2, true) & 1) !== 0, data: header.subarray(at + 8, at + size) });
    at += Math.ceil(size / 8) * 8;
  }
  throw damaged(name, 'its multiboot 2 header has no end tag');
}

function damaged(name: string, what: string): UserError {
  return new UserError(`${name} is damaged: ${what}`, 'copy or build the file again');
}
