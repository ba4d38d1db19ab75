// SPDX-License-Identifier: Apache-2.0
import { LevelSymbols, symbolsOfKernel, symbolsOfList } from '../debug/level-symbols.ts';
import type { Host } from '../platform/node/host.ts';
import type { SessionDescription } from '../system/session.ts';

/** L1's symbols: of the list that `option` names, else of its kernel's file, else to be found. Throws UserError. */
export function levelSymbols(
  boot: SessionDescription['boot'],
  list: string | undefined,
  option: string,
  host: Pick<Host, 'readFile'>,
): LevelSymbols {
  if (list === undefined) return new LevelSymbols(symbolsOfKernel(boot.kernel, boot.kernelName));
  return new LevelSymbols(symbolsOfList(host.readFile(list, option), list));
}
