// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../base/errors.ts';
import type { Host } from '../platform/node/host.ts';

const MIB = 1024 * 1024;
/** Of our own beside the machine's memory: tables, code, L0's pages. Measured at 170 to 340 MiB (docs/status.md). */
const OURS = 170 * MIB;

/** Refuses a machine that this computer cannot hold, before its guest starts. `option`: what sets its memory. */
export function checkMemory(ramBytes: number, option: string, host: Pick<Host, 'memoryAvailable'>): void {
  const available = host.memoryAvailable();
  if (ramBytes + OURS <= available) return;
  const [wanted, left] = [Math.ceil((ramBytes + OURS) / MIB), Math.floor(available / MIB)];
  throw new UserError(
    `this computer has ${left} MiB of memory left, and a machine of ${Math.round(ramBytes / MIB)} MiB needs ${wanted} MiB with our own`,
    `give the machine less with ${option}, or end other programs`,
  );
}
