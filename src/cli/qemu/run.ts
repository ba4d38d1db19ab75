// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../../base/errors.ts';
import type { Host } from '../../platform/node/host.ts';
import { checkHypervisor } from '../../system/hypervisor.ts';
import { makeRecorder } from '../../system/recording.ts';
import { Session } from '../../system/session.ts';
import { runSlices } from '../../system/slices.ts';
import type { Failures } from '../failures.ts';
import { START_TIME } from '../run.ts';
import { qemuBootRequest, qemuMachine } from './machine.ts';
import { parseQemuArguments } from './parse.ts';
import { SerialPorts } from './serial.ts';
import type { QemuSettings } from './settings.ts';

const PROGRAM = 'turtles-qemu';

/** `turtles qemu`: returns QEMU's exit status; throws UserError. */
export async function qemuCommand(args: readonly string[], host: Host, failures: Failures): Promise<number> {
  const settings = parseQemuArguments(args);
  if (settings.print !== undefined) {
    host.write(settings.print);
    return 0;
  }
  checkHypervisor({ bare: !settings.l0, paging: settings.paging }, '-accel turtles,l0=off');
  if (settings.kernel === undefined) throw new UserError('there is nothing to boot', 'give a kernel with -kernel FILE');
  const boot = qemuBootRequest(settings, settings.kernel, host);
  const serial = new SerialPorts(settings, host);
  const start = settings.startTime === 'now' ? host.unixTime() : (settings.startTime ?? START_TIME);
  const pc = qemuMachine(settings, start, host);
  const session = new Session({ pc, consoles: serial.channels, boot, recorder: makeRecorder(undefined) });
  failures.run = {
    options: { ...settings, notices: undefined, startTime: start },
    instructions: () => session.instructions,
  };
  for (const notice of [...settings.notices, ...session.remarks]) host.writeError(`${PROGRAM}: warning: ${notice}\n`);
  host.atExit(() => serial.close());
  serial.open();
  try {
    return await runToStatus(session, settings, serial, host);
  } finally {
    serial.close();
  }
}

async function runToStatus(session: Session, settings: QemuSettings, serial: SerialPorts, host: Host): Promise<number> {
  for (;;) {
    const how = await runSlices(session, host, {
      realTime: serial.interactive,
      awaitsInput: () => serial.mayReceive,
      before: () => session.poll(),
      after: () => {
        serial.show();
        return serial.left;
      },
    });
    if (how === 'stopped') return 0;
    if (how === 'idle') {
      throw new UserError(
        'every processor waits for an interrupt that does not come',
        'the guest has stopped; give it input with -serial stdio, or look at what it said last',
      );
    }
    const status = exitStatus(session, settings);
    if (status !== undefined) return status;
    session.reboot();
    // A guest that resets at once must not keep signals out.
    await host.pause(0);
  }
}

/** Undefined when the guest has reset the machine and is to boot again. A triple fault is a reset to QEMU. */
function exitStatus({ end }: Session, { reboot }: QemuSettings): number | undefined {
  if (end?.kind === 'debugExit') return end.code & 0xff;
  if (end?.kind === 'powerOff') return 0;
  return reboot ? undefined : 0;
}
