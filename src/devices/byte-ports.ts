// SPDX-License-Identifier: Apache-2.0
import type { PortDevice } from '../hardware/memory.ts';

/** A device of 8-bit ports: wider accesses fall apart into bytes, the lowest port first. */
export abstract class BytePortDevice implements PortDevice {
  /** One byte from an absolute port; 0xff where nothing answers. */
  abstract readByte(port: number): number;
  abstract writeByte(port: number, value: number): void;

  readPort(port: number, width: 1 | 2 | 4): number {
    let value = 0;
    for (let byte = 0; byte < width; byte++) value += this.readByte(port + byte) * 2 ** (8 * byte);
    return value;
  }

  writePort(port: number, width: 1 | 2 | 4, value: number): void {
    for (let byte = 0; byte < width; byte++) this.writeByte(port + byte, (value >>> (8 * byte)) & 0xff);
  }
}
