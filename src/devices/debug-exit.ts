// SPDX-License-Identifier: Apache-2.0
import type { BusRegistry, PortDevice } from '../hardware/memory.ts';

/** Where kvm-unit-tests and most test kernels expect it. */
export const DEBUG_EXIT_PORT = 0xf4;
export const DEBUG_EXIT_SIZE = 4;

/** QEMU's isa-debug-exit: a write ends the run with the exit code (value << 1) | 1, which is never 0. Stateless. */
export class DebugExit implements PortDevice {
  readonly #exit: (code: number) => void;

  /** `exit` gets an unsigned 32-bit code. It may be called in the middle of an instruction's port write. */
  constructor(exit: (code: number) => void) {
    this.#exit = exit;
  }

  claim(registry: BusRegistry, first = DEBUG_EXIT_PORT, size = DEBUG_EXIT_SIZE): void {
    registry.claimPorts(first, size, 'debug exit', this);
  }

  readPort(): number {
    return 0;
  }

  writePort(_port: number, _width: 1 | 2 | 4, value: number): void {
    this.#exit(((value << 1) | 1) >>> 0);
  }
}
