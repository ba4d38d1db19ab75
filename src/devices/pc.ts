// SPDX-License-Identifier: Apache-2.0
import type { BusMasterPort, PhysicalAddress } from '../hardware/memory.ts';
import type { BlockStore, ByteChannel, EntropySource } from '../hardware/ports.ts';
import type { TimerService } from '../hardware/time.ts';
import { AcpiPm } from './acpi-pm.ts';
import type { DeviceBus } from './bus.ts';
import { COPROCESSOR_ERROR_IRQ, CoprocessorError } from './coprocessor-error.ts';
import { DebugExit } from './debug-exit.ts';
import { FwCfg } from './fw-cfg.ts';
import { InterruptWiring } from './interrupt-router.ts';
import { IoApic } from './ioapic.ts';
import type { ApicBus } from './lapic-bus.ts';
import { PcTestDevice } from './pc-testdev.ts';
import { PciBus } from './pci.ts';
import { assignPciResources } from './pci-resources.ts';
import { PciTestDevice } from './pci-testdev.ts';
import type { Pic } from './pic.ts';
import { Pit } from './pit.ts';
import { ResetControl } from './reset.ts';
import type { ResetKind } from './reset.ts';
import { Rtc } from './rtc.ts';
import { Uart16550 } from './uart.ts';
import { VirtioBlock } from './virtio/block.ts';
import { VirtioEntropy } from './virtio/entropy.ts';
import { VirtioPci } from './virtio/pci-transport.ts';

/** The devices of one PC, by what the user chose; the rest is always there. */
export interface PcDescription {
  readonly ramBytes: number;
  readonly processors: number;
  readonly ecam: { readonly base: PhysicalAddress; readonly buses: 64 | 128 | 256 };
  /** Unix time, in seconds, at power-on. */
  readonly startTime: number;
  /** COM1 first; at most four. */
  readonly serial: readonly ByteChannel[];
  readonly disks: readonly BlockStore[];
  readonly entropy?: EntropySource;
  readonly debugExit?: { readonly port: number; readonly size: number };
  readonly pcTestDevice?: boolean;
  readonly pciTestDevice?: boolean;
}

/** What the devices of a PC are plugged into: the machine's, or those that L0 shows to an L1. */
export interface PcServices {
  readonly bus: DeviceBus;
  readonly apicBus: ApicBus;
  readonly pic: Pic;
  readonly time: TimerService;
  readonly busMaster: (requesterId: number) => BusMasterPort;
  readonly powerOff: () => void;
  readonly reset: (kind: ResetKind) => void;
  /** The guest asked to end the run with this value. */
  readonly debugExit: (code: number) => void;
}

const SERIAL = [
  { name: 'COM1', base: 0x3f8, irq: 4 },
  { name: 'COM2', base: 0x2f8, irq: 3 },
  { name: 'COM3', base: 0x3e8, irq: 4 },
  { name: 'COM4', base: 0x2e8, irq: 3 },
];
const FIRST_PCI_SLOT = 2;
/** fw_cfg's own reads and writes are those of the root complex. */
const ROOT_REQUESTER = 0;

/** All devices of a PC, built and claimed. */
export class PcDevices {
  readonly ioApic: IoApic;
  readonly wiring: InterruptWiring;
  readonly pit: Pit;
  readonly rtc: Rtc;
  readonly power: AcpiPm;
  readonly resetControl: ResetControl;
  readonly coprocessorError: CoprocessorError;
  readonly serial: readonly Uart16550[];
  readonly pci: PciBus;
  readonly fwCfg: FwCfg;

  constructor(description: PcDescription, services: PcServices) {
    const { bus, time } = services;
    services.pic.claim(bus);
    this.ioApic = new IoApic(services.apicBus);
    this.ioApic.claim(bus);
    this.wiring = new InterruptWiring(services.pic, this.ioApic, services.apicBus);
    this.pit = new Pit(time, this.wiring.isaLine(0));
    this.rtc = new Rtc(time, this.wiring.isaLine(8), { startTime: description.startTime });
    this.power = new AcpiPm(time, this.wiring.isaLine(9), services.powerOff);
    this.resetControl = new ResetControl({ reset: services.reset, a20Changed: () => {} });
    for (const device of [this.pit, this.rtc, this.power, this.resetControl]) device.claim(bus);
    this.serial = description.serial.map((channel, i) => this.uart(i, channel, bus));
    this.fwCfg = new FwCfg({
      memory: services.busMaster(ROOT_REQUESTER),
      ramBytes: description.ramBytes,
      processors: description.processors,
      maxProcessors: description.processors,
    });
    this.fwCfg.claim(bus);
    if (description.debugExit)
      new DebugExit(services.debugExit).claim(bus, description.debugExit.port, description.debugExit.size);
    if (description.pcTestDevice) new PcTestDevice(this.wiring).claim(bus);
    this.pci = this.pciBus(description, services);
    this.coprocessorError = new CoprocessorError(this.wiring.isaLine(COPROCESSOR_ERROR_IRQ));
    this.coprocessorError.claim(bus);
  }

  /** Lets the serial ports look whether input has come. */
  poll(): void {
    for (const uart of this.serial) uart.poll();
  }

  private uart(i: number, channel: ByteChannel, bus: DeviceBus): Uart16550 {
    const { name, base, irq } = SERIAL[i];
    const uart = new Uart16550({ name, base, line: this.wiring.isaLine(irq), channel });
    uart.claim(bus);
    return uart;
  }

  private pciBus(description: PcDescription, services: PcServices): PciBus {
    const end = description.ecam.base + description.ecam.buses * 0x100000;
    const windows = { ports: { base: 0xc000, size: 0x3000 }, memory: { base: end, size: 0xfec00000 - end } };
    const pci = new PciBus({
      bus: services.bus,
      interrupts: this.wiring,
      busMaster: services.busMaster,
      windows,
      ecam: description.ecam,
    });
    let slot = FIRST_PCI_SLOT;
    for (const [i, store] of description.disks.entries())
      pci.attach(slot++, 0, new VirtioPci(new VirtioBlock(store, `disk${i}`)).function);
    if (description.entropy) pci.attach(slot++, 0, new VirtioPci(new VirtioEntropy(description.entropy)).function);
    if (description.pciTestDevice) pci.attach(slot++, 0, new PciTestDevice().function);
    assignPciResources(pci);
    return pci;
  }
}
