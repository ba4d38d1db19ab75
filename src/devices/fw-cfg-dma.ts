// SPDX-License-Identifier: Apache-2.0
import type { BusMasterPort, PhysicalAddress } from '../hardware/memory.ts';
import type { FwCfg } from './fw-cfg.ts';

/** See: QEMU docs/specs/fw_cfg, Guest-side DMA Interface. */
const ACCESS_BYTES = 16;
const CONTROL_ERROR = 1 << 0;
const CONTROL_READ = 1 << 1;
const CONTROL_SKIP = 1 << 2;
const CONTROL_SELECT = 1 << 3;
const CONTROL_WRITE = 1 << 4;
/** Set in what was read from where there is no memory. */
const CONTROL_RESERVED = 0xffe0;

const CHUNK_BYTES = 0x1_0000;

/** Performs the operation that the structure at `address` describes, and puts its outcome into its control field. */
export function runFwCfgDma(device: FwCfg, memory: BusMasterPort, address: PhysicalAddress): void {
  const access = new Uint8Array(ACCESS_BYTES);
  memory.read(address, access);
  const view = new DataView(access.buffer);
  const control = view.getUint32(0);
  const length = view.getUint32(4);
  const target = view.getUint32(8) * 2 ** 32 + view.getUint32(12);
  const done = (control & CONTROL_RESERVED) === 0 && perform(device, memory, control, target, length);
  view.setUint32(0, done ? 0 : CONTROL_ERROR);
  memory.write(address, access.subarray(0, 4));
}

function perform(
  device: FwCfg,
  memory: BusMasterPort,
  control: number,
  target: PhysicalAddress,
  length: number,
): boolean {
  if (control & CONTROL_SELECT) device.select(control >>> 16);
  if (control & CONTROL_READ) readItem(device, memory, target, length);
  else if (control & CONTROL_WRITE) return writeItem(device, memory, target, length);
  else if (control & CONTROL_SKIP) device.state.offset += length;
  return true;
}

/** Beyond its end an item reads as zeros. */
function readItem(device: FwCfg, memory: BusMasterPort, target: PhysicalAddress, length: number): void {
  const item = device.selectedItem;
  for (let done = 0; done < length; done += CHUNK_BYTES) {
    const bytes = new Uint8Array(Math.min(CHUNK_BYTES, length - done));
    bytes.set(item.subarray(device.state.offset, device.state.offset + bytes.length));
    memory.write(target + done, bytes);
    device.state.offset += bytes.length;
  }
}

/** Returns whether the item is writable and holds all of it: nothing is written in part. */
function writeItem(device: FwCfg, memory: BusMasterPort, target: PhysicalAddress, length: number): boolean {
  const item = device.selectedItem;
  const { offset } = device.state;
  if (!device.selectedIsWritable || offset + length > item.length) return false;
  memory.read(target, item.subarray(offset, offset + length));
  device.state.offset += length;
  return true;
}
