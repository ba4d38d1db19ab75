// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DebugExit } from './debug-exit.ts';
import { RESET_CONTROL_PORT, RESET_CONTROL_VALUE, ResetControl } from './reset.ts';

function control() {
  const seen: string[] = [];
  const device = new ResetControl({
    reset: (kind) => seen.push(kind),
    a20Changed: (enabled) => seen.push(`a20 ${enabled}`),
  });
  return { device, seen };
}

test('port CF9h resets on a rising RST_CPU, hard or INIT', () => {
  const { device, seen } = control();
  device.writePort(RESET_CONTROL_PORT, 1, 0x02);
  assert.deepEqual(seen, []);
  device.writePort(RESET_CONTROL_PORT, 1, RESET_CONTROL_VALUE);
  device.writePort(RESET_CONTROL_PORT, 1, RESET_CONTROL_VALUE);
  assert.deepEqual(seen, ['hard']);
  assert.equal(device.readPort(RESET_CONTROL_PORT, 1), 0x06);
  device.writePort(RESET_CONTROL_PORT, 1, 0x00);
  device.writePort(RESET_CONTROL_PORT, 1, 0x04);
  assert.deepEqual(seen, ['hard', 'init']);
});

test('port 92h: fast reset and A20', () => {
  const { device, seen } = control();
  assert.equal(device.readPort(0x92, 1), 0x02);
  device.writePort(0x92, 1, 0x00);
  device.writePort(0x92, 1, 0x00);
  assert.equal(device.a20, false);
  device.writePort(0x92, 1, 0x03);
  assert.deepEqual(seen, ['a20 false', 'a20 true', 'init']);
  device.writePort(0x92, 1, 0x03);
  assert.deepEqual(seen, ['a20 false', 'a20 true', 'init']);
  const other = control().device;
  other.restore(device.save());
  assert.equal(other.readPort(0x92, 1), 0x03);
  device.reset();
  assert.equal(device.readPort(0x92, 1), 0x02);
});

test('the keyboard controller’s pulse, and nothing else of it', () => {
  const { device, seen } = control();
  device.writePort(0x64, 1, 0xd1);
  assert.equal(device.readPort(0x64, 1), 0xff);
  assert.deepEqual(seen, []);
  device.writePort(0x64, 1, 0xfe);
  assert.deepEqual(seen, ['init']);
});

test('debug exit: (value << 1) | 1', () => {
  const codes: number[] = [];
  const device = new DebugExit((code) => codes.push(code));
  device.writePort(0xf4, 1, 0);
  device.writePort(0xf4, 4, 0x10);
  device.writePort(0xf4, 4, 0x8000_0000);
  assert.deepEqual(codes, [1, 0x21, 1]);
  assert.equal(device.readPort(), 0);
});
