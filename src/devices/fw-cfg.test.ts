// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DeviceBus } from './bus.ts';
import { FW_CFG_KEYS, FwCfg } from './fw-cfg.ts';
import { TestMemory } from './pci-fixture.test.ts';

const [ERROR, READ, SKIP, SELECT, WRITE] = [1, 2, 4, 8, 16];
const ACCESS = 0x100;

function machine() {
  const bus = new DeviceBus();
  const ram = new Uint8Array(0x4_0000);
  const fwCfg = new FwCfg({ memory: new TestMemory(ram), ramBytes: 6 * 2 ** 30, processors: 2, maxProcessors: 4 });
  fwCfg.claim(bus);
  const select = (key: number) => bus.writePort(0x510, 2, key);
  const read = (count: number) => Array.from({ length: count }, () => bus.readPort(0x511, 1));
  const view = new DataView(ram.buffer);
  const bigEndian = (value: number) => {
    const swap = new DataView(new ArrayBuffer(4));
    swap.setUint32(0, value);
    return swap.getUint32(0, true);
  };
  /** Runs a DMA operation and returns the control field afterwards. */
  const dma = (control: number, length: number, address: number): number => {
    view.setUint32(ACCESS, control);
    view.setUint32(ACCESS + 4, length);
    view.setUint32(ACCESS + 8, 0);
    view.setUint32(ACCESS + 12, address);
    bus.writePort(0x518, 4, bigEndian(ACCESS));
    return view.getUint32(ACCESS);
  };
  return { bus, ram, view, fwCfg, select, read, dma, bigEndian };
}

const text = (bytes: Iterable<number>) => String.fromCharCode(...bytes);

describe('fw_cfg', () => {
  it('has a signature, and tells that it has DMA', () => {
    const { bus, select, read } = machine();
    select(FW_CFG_KEYS.SIGNATURE.key);
    assert.equal(text(read(4)), 'QEMU');
    select(FW_CFG_KEYS.ID.key);
    assert.deepEqual(read(4), [3, 0, 0, 0]);
    assert.equal(bus.readPort(0x514, 4), 0x554d_4551);
    assert.equal(text([0, 1, 2, 3, 4, 5, 6, 7].map((index) => bus.readPort(0x514 + index, 1))), 'QEMU CFG');
  });

  it('tells memory and processors, little-endian', () => {
    const { select, read } = machine();
    select(FW_CFG_KEYS.RAM_SIZE.key);
    assert.deepEqual(read(8), [0, 0, 0, 0x80, 1, 0, 0, 0]);
    select(FW_CFG_KEYS.NB_CPUS.key);
    assert.deepEqual(read(2), [2, 0]);
    select(FW_CFG_KEYS.MAX_CPUS.key);
    assert.deepEqual(read(3), [4, 0, 0], 'zero beyond the end');
  });

  it('starts an item anew when it is selected, with or without the write bit', () => {
    const { select, read, bus } = machine();
    select(0);
    read(2);
    select(0x4000);
    assert.equal(text(read(4)), 'QEMU');
    bus.writePort(0x511, 1, 0x58);
    select(0);
    assert.equal(text(read(4)), 'QEMU', 'the data port does not write');
    select(0x3fff);
    assert.deepEqual(read(2), [0, 0]);
  });

  it('carries a kernel as the legacy keys do', () => {
    const { fwCfg, select, read } = machine();
    fwCfg.setCommandLine('console=ttyS0');
    fwCfg.setBytes('KERNEL_DATA', Uint8Array.of(0x7f, 0x45));
    fwCfg.setNumber('KERNEL_SIZE', 2);
    fwCfg.setNumber('INITRD_ADDR', 0x7fff_0000);
    select(FW_CFG_KEYS.CMDLINE_SIZE.key);
    assert.deepEqual(read(4), [14, 0, 0, 0]);
    select(FW_CFG_KEYS.CMDLINE_DATA.key);
    assert.equal(text(read(14)), 'console=ttyS0\0');
    select(FW_CFG_KEYS.INITRD_ADDR.key);
    assert.deepEqual(read(4), [0, 0, 0xff, 0x7f]);
    assert.throws(() => fwCfg.setNumber('KERNEL_DATA', 1), /is no number/);
    assert.throws(() => fwCfg.setBytes('KERNEL_SIZE', new Uint8Array(4)), /is a number/);
  });

  it('has a directory of files, in order of their names', () => {
    const { fwCfg, select, read } = machine();
    fwCfg.addFile('opt/org.example/b', Uint8Array.of(1, 2, 3));
    fwCfg.addFile('etc/a', new TextEncoder().encode('hello'));
    select(FW_CFG_KEYS.FILE_DIR.key);
    const directory = new DataView(Uint8Array.from(read(4 + 2 * 64)).buffer);
    assert.equal(directory.getUint32(0), 2);
    assert.deepEqual([directory.getUint32(4), directory.getUint16(8)], [5, 0x21]);
    assert.equal(text(new Uint8Array(directory.buffer, 12, 6)), 'etc/a\0');
    assert.deepEqual([directory.getUint32(68), directory.getUint16(72)], [3, 0x20]);
    select(0x21);
    assert.equal(text(read(5)), 'hello');
    assert.throws(() => fwCfg.addFile('etc/a', new Uint8Array(1)), /exists/);
    assert.throws(() => fwCfg.addFile('x'.repeat(56), new Uint8Array(1)), /too long/);
  });
});

describe('the DMA interface of fw_cfg', () => {
  it('selects and reads, and reads on where it stopped', () => {
    const { fwCfg, ram, dma } = machine();
    fwCfg.addFile(
      'etc/a',
      Uint8Array.from({ length: 100 }, (_, index) => index),
    );
    assert.equal(dma((0x20 << 16) | SELECT | READ, 10, 0x1000), 0);
    assert.deepEqual([...ram.slice(0x1000, 0x100b)], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]);
    assert.equal(dma(SKIP, 80, 0), 0);
    ram.fill(0xff, 0x1000, 0x1020);
    assert.equal(dma(READ, 15, 0x1000), 0);
    assert.deepEqual([...ram.slice(0x1000, 0x1010)], [90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 0, 0, 0, 0, 0, 0xff]);
  });

  it('moves items of more than one chunk', () => {
    const { fwCfg, ram, dma } = machine();
    const contents = Uint8Array.from({ length: 0x1_8001 }, (_, index) => (index * 31) >> 5);
    fwCfg.addFile('etc/big', contents);
    assert.equal(dma((0x20 << 16) | SELECT | READ, contents.length, 0x2000), 0);
    assert.deepEqual(ram.slice(0x2000, 0x2000 + contents.length), contents);
  });

  it('writes only writable files, and only whole', () => {
    const { fwCfg, ram, dma } = machine();
    const contents = Uint8Array.of(1, 2, 3, 4);
    fwCfg.addFile('etc/constant', contents);
    fwCfg.addFile('etc/variable', contents, true);
    ram.set([9, 8, 7, 6, 5], 0x1000);
    assert.equal(dma((0x20 << 16) | SELECT | WRITE, 4, 0x1000), ERROR);
    assert.equal(dma((0x21 << 16) | SELECT | WRITE, 5, 0x1000), ERROR);
    assert.deepEqual(fwCfg.file('etc/variable'), Uint8Array.of(1, 2, 3, 4));
    assert.equal(dma((0x21 << 16) | SELECT | SKIP, 1, 0), 0);
    assert.equal(dma(WRITE, 3, 0x1000), 0);
    assert.deepEqual(fwCfg.file('etc/variable'), Uint8Array.of(1, 9, 8, 7));
    assert.deepEqual([...contents], [1, 2, 3, 4], 'the caller keeps what it gave');
  });

  it('takes the high half of an address first, once', () => {
    const { bus, dma, ram } = machine();
    bus.writePort(0x514, 4, 0x0100_0000);
    assert.equal(dma(SELECT | READ, 4, 0x1000), SELECT | READ, 'went to 4 GiB');
    assert.equal(dma(SELECT | READ, 4, 0x1000), 0);
    assert.equal(text(ram.slice(0x1000, 0x1004)), 'QEMU');
  });

  it('saves and restores selection and writable files', () => {
    const build = () => {
      const built = machine();
      built.fwCfg.addFile('etc/variable', Uint8Array.of(1, 2, 3, 4), true);
      return built;
    };
    const [before, after] = [build(), build()];
    before.ram.set([7, 7], 0x1000);
    before.dma((0x20 << 16) | SELECT | WRITE, 2, 0x1000);
    after.fwCfg.restore(before.fwCfg.save());
    assert.deepEqual(after.read(2), [3, 4], 'offset and selector');
    assert.deepEqual(after.fwCfg.file('etc/variable'), Uint8Array.of(7, 7, 3, 4));
    after.fwCfg.reset();
    assert.equal(text(after.read(4)), 'QEMU');
  });
});
