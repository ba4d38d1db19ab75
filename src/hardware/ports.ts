// SPDX-License-Identifier: Apache-2.0

/** The world outside a machine. Everything that is not deterministic enters through one of these. */

/** Bytes out of a serial port, and bytes into it. */
export interface ByteChannel {
  /** The machine sends one byte out. Must not call back into the machine. */
  send(byte: number): void;
  /** Takes the next byte that came in, or -1 when there is none. */
  receive(): number;
}

/** A disk of whole 512-byte sectors, synchronous. */
export interface BlockStore {
  readonly sectors: number;
  readonly readOnly: boolean;
  read(sector: number, bytes: Uint8Array): void;
  write(sector: number, bytes: Uint8Array): void;
  flush(): void;
}

/** Random bytes; in a run that repeats, a generator started from the description's seed. */
export interface EntropySource {
  fill(bytes: Uint8Array): void;
}
