// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../../base/errors.ts';
import type { Host } from '../../platform/node/host.ts';
import { makeRecorder } from '../../system/recording.ts';
import { EntryFailures } from '../../system/entry-failures.ts';
import { Session } from '../../system/session.ts';
import { runSlices } from '../../system/slices.ts';
import { WedgeWatch, wedgeText } from '../../system/wedge.ts';
import { levelSymbols } from '../level-symbols.ts';
import { checkMemory } from '../check-memory.ts';
import type { Failures } from '../failures.ts';
import { qemuBootRequest, qemuMachine, qemuOptions } from './machine.ts';
import { SerialPorts } from './serial.ts';
import type { QemuSettings } from './settings.ts';

const PROGRAM = 'turtles-qemu';
/** Even: no value written to isa-debug-exit gives these. */
const STATUS_FAILED_ENTRY = 68;
const STATUS_WEDGED = 66;

/** Runs the machine of these settings; returns QEMU's exit status. Throws UserError. */
export async function runQemu(settings: QemuSettings, kernel: string, host: Host, failures: Failures): Promise<number> {
  const boot = qemuBootRequest(settings, kernel, host);
  const serial = new SerialPorts(settings, host);
  const pc = qemuMachine(settings, host);
  checkMemory(pc.ramBytes, '-m', host);
  const hypervisor = { bare: !settings.l0, paging: settings.paging };
  const recorder = makeRecorder(undefined);
  const session = new Session({ pc, consoles: serial.channels, boot, hypervisor, recorder });
  const warn = (lines: readonly string[]): void =>
    lines.forEach((text) => host.writeError(`${PROGRAM}: warning: ${text}\n`));
  const symbols = levelSymbols(boot, settings.symbols, '-symbols', host);
  const failed = new EntryFailures(session, recorder, settings.onEntryFailure, symbols, warn);
  failures.run = {
    options: qemuOptions(settings, pc, boot, host),
    instructions: () => session.instructions,
    journal: () => session.journal.journal,
  };
  for (const notice of [...settings.notices, ...session.remarks]) host.writeError(`${PROGRAM}: warning: ${notice}\n`);
  host.atExit(() => serial.close());
  serial.open();
  try {
    return await runToStatus(session, recorder, settings, serial, failed, host);
  } finally {
    const remark = failed.remark();
    if (remark !== undefined) warn([remark]);
    serial.close();
  }
}

async function runToStatus(
  session: Session,
  recorder: ReturnType<typeof makeRecorder>,
  settings: QemuSettings,
  serial: SerialPorts,
  failed: EntryFailures,
  host: Host,
): Promise<number> {
  const circles = new WedgeWatch(session, recorder, settings.wedgeSeconds);
  for (;;) {
    const how = await runSlices(session, host, {
      realTime: serial.interactive,
      awaitsInput: () => serial.mayReceive,
      before: () => session.poll(),
      after: () => {
        serial.show();
        return serial.left || failed.stopped;
      },
      wedged: () => circles.look(),
    });
    if (failed.stopped) return STATUS_FAILED_ENTRY;
    if (circles.wedge !== undefined) {
      host.writeError(endText(wedgeText(circles.wedge), session, recorder));
      return STATUS_WEDGED;
    }
    if (how === 'stopped') return 0;
    if (how === 'idle') {
      throw new UserError(
        'every processor waits for an interrupt that does not come',
        'the guest has stopped; give it input with -serial stdio, or look at what it said last',
      );
    }
    const status = exitStatus(session, settings);
    if (session.end?.kind === 'shutdown') host.writeError(endText(session.endText(), session, recorder));
    if (status !== undefined) return status;
    session.reboot();
    // A guest that resets at once must not keep signals out.
    await host.pause(0);
  }
}

/** Why it ended, and where. QEMU says nothing of a triple fault, and its users wish that it did. */
function endText(why: string, session: Session, recorder: ReturnType<typeof makeRecorder>): string {
  return [`${PROGRAM}: ${why}`, ...session.whereItEnded(recorder)].map((line) => `${line}\n`).join('  ');
}

/** Undefined when the guest has reset the machine and is to boot again. A triple fault is a reset to QEMU. */
function exitStatus({ end }: Session, { reboot }: QemuSettings): number | undefined {
  if (end?.kind === 'debugExit') return end.code & 0xff;
  if (end?.kind === 'powerOff') return 0;
  return reboot ? undefined : 0;
}
