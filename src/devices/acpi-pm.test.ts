// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACPI_PM_LAYOUT, AcpiPm, PM_TIMER_HERTZ, PM1_EVENT } from './acpi-pm.ts';
import { ManualTime } from './manual-time.ts';
import { nanosecondsOfTick } from './ticks.ts';

function device(options: ConstructorParameters<typeof AcpiPm>[3] = {}) {
  const time = new ManualTime();
  const seen = { level: false, off: 0 };
  const line = {
    set(asserted: boolean) {
      seen.level = asserted;
    },
  };
  const pm = new AcpiPm(time, line, () => seen.off++, options);
  return { time, seen, pm };
}

const BASE = ACPI_PM_LAYOUT.DEFAULT_BASE;
const CONTROL = BASE + ACPI_PM_LAYOUT.PM1_CONTROL_OFFSET;
const TIMER = BASE + ACPI_PM_LAYOUT.PM_TIMER_OFFSET;
const GPE0 = BASE + ACPI_PM_LAYOUT.GPE0_OFFSET;

test('the timer counts at 3.579545 MHz and wraps at its width', () => {
  for (const timerBits of [24, 32] as const) {
    const { time, pm } = device({ timerBits });
    time.advanceTo(1e9);
    assert.equal(pm.readPort(TIMER, 4), PM_TIMER_HERTZ);
    time.advanceTo(nanosecondsOfTick(2 ** timerBits, PM_TIMER_HERTZ) - 1);
    assert.equal(pm.readPort(TIMER, 4), 2 ** timerBits - 1);
    time.advance(1);
    assert.equal(pm.readPort(TIMER, 4), 0);
  }
});

test('the timer event interrupts whenever the most significant bit changes, without drift', () => {
  const { time, pm, seen } = device({ timerBits: 24 });
  pm.writePort(BASE + 2, 2, PM1_EVENT.TIMER);
  for (let half = 1; half <= 100; half++) {
    const at = nanosecondsOfTick(half * 2 ** 23, PM_TIMER_HERTZ);
    time.advanceTo(at - 1);
    assert.equal(seen.level, false);
    time.advanceTo(at);
    assert.equal(seen.level, true);
    assert.equal(pm.readPort(BASE, 2), PM1_EVENT.TIMER);
    pm.writePort(BASE, 2, PM1_EVENT.TIMER);
    assert.equal(seen.level, false);
  }
});

test('without the enable bit the status is there for who looks', () => {
  const { time, pm, seen } = device({ timerBits: 24 });
  time.advanceTo(3e9);
  assert.equal(time.nextDeadline(), Infinity);
  assert.equal(pm.readPort(BASE, 2), PM1_EVENT.TIMER);
  assert.equal(seen.level, false);
  pm.writePort(BASE + 2, 2, PM1_EVENT.TIMER);
  assert.equal(seen.level, true);
});

test('the power button: status, SCI, write 1 to clear', () => {
  const { pm, seen } = device();
  pm.pressPowerButton();
  assert.equal(seen.level, false);
  pm.writePort(BASE + 2, 2, 0xffff);
  assert.equal(pm.readPort(BASE + 2, 2), 0x0721);
  assert.equal(seen.level, true);
  pm.writePort(BASE, 2, 0x00ff);
  assert.equal(seen.level, true, 'other bits clear nothing');
  pm.writePort(BASE + 1, 1, 0x01);
  assert.equal(seen.level, false);
  assert.equal(pm.readPort(BASE, 4), 0x0721_0000);
});

test('soft off needs its type and the enable bit; SCI_EN always reads 1', () => {
  const { pm, seen } = device();
  const type = ACPI_PM_LAYOUT.SOFT_OFF_SLEEP_TYPE << 10;
  assert.equal(pm.readPort(CONTROL, 2), 1);
  pm.writePort(CONTROL, 2, type);
  assert.equal(pm.readPort(CONTROL, 2), type | 1);
  pm.writePort(CONTROL, 2, 0x2000 | (1 << 10));
  assert.equal(seen.off, 0);
  pm.writePort(CONTROL, 2, 0x2000 | type);
  assert.equal(seen.off, 1);
  assert.equal(pm.readPort(CONTROL, 2) & 0x2000, 0, 'SLP_EN is write only');
});

test('general-purpose events', () => {
  const { pm, seen } = device();
  pm.raiseGeneralPurposeEvent(9);
  assert.equal(pm.readPort(GPE0, 2), 0x200);
  assert.equal(seen.level, false);
  pm.writePort(GPE0 + 3, 1, 0x02);
  assert.equal(seen.level, true);
  pm.writePort(GPE0, 2, 0x200);
  assert.equal(seen.level, false);
  assert.equal(pm.readPort(GPE0, 4), 0x0200_0000);
});

test('another base; restored, the event comes at the same time', () => {
  const one = device({ base: 0xb000, timerBits: 24 });
  one.pm.writePort(0xb002, 2, 1);
  const two = device({ base: 0xb000, timerBits: 24 });
  two.pm.restore(one.pm.save());
  assert.equal(two.time.nextDeadline(), nanosecondsOfTick(2 ** 23, PM_TIMER_HERTZ));
  two.pm.reset();
  assert.equal(two.time.nextDeadline(), Infinity);
});
