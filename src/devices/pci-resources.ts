// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../base/errors.ts';
import type { AddressRange, PciBus } from './pci.ts';
import { BASE_ADDRESS, COMMAND, COMMAND_IO_SPACE, COMMAND_MEMORY_SPACE, INTERRUPT_LINE } from './pci-config.ts';
import type { PciBar, PciFunction } from './pci-function.ts';
import { pciGsi } from './pci-routing.ts';

interface Placement {
  readonly owner: PciFunction;
  readonly bar: PciBar;
}

/**
 * What a PC's firmware leaves behind: every BAR has an address, decoding is enabled, Interrupt Line names the I/O APIC
 * input. Bus Master stays off. The largest BARs come first, so that natural alignment wastes nothing.
 */
export function assignPciResources(pci: PciBus): void {
  const placements = pci.functions.flatMap((row) => row.function.bars.map((bar) => ({ owner: row.function, bar })));
  placements.sort((a, b) => b.bar.size - a.bar.size);
  place(
    placements.filter(({ bar }) => bar.kind === 'io'),
    pci.windows.ports,
  );
  place(
    placements.filter(({ bar }) => bar.kind !== 'io'),
    pci.windows.memory,
  );
  for (const { slot, function: owner } of pci.functions) {
    if (owner.interruptPin !== 0) owner.writeConfig(INTERRUPT_LINE, 1, pciGsi(pci.gsis, slot, owner.interruptPin));
    owner.writeConfig(COMMAND, 2, decoding(owner));
  }
}

function place(placements: readonly Placement[], window: AddressRange): void {
  let next = window.base;
  for (const { owner, bar } of placements) {
    const address = Math.ceil(next / bar.size) * bar.size;
    if (address + bar.size > window.base + window.size) {
      throw new UserError(`no room for BAR ${bar.index} of ${owner.name}`, 'use fewer devices');
    }
    owner.writeConfig(BASE_ADDRESS + 4 * bar.index, 4, address);
    if (bar.kind === 'memory64') owner.writeConfig(BASE_ADDRESS + 4 * bar.index + 4, 4, Math.floor(address / 2 ** 32));
    next = address + bar.size;
  }
}

function decoding(owner: PciFunction): number {
  const io = owner.bars.some((bar) => bar.kind === 'io') ? COMMAND_IO_SPACE : 0;
  const memory = owner.bars.some((bar) => bar.kind !== 'io') ? COMMAND_MEMORY_SPACE : 0;
  return owner.command | io | memory;
}
