// SPDX-License-Identifier: Apache-2.0
import { extract } from '../../arch/vmx/bit-field.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { IO_INSTRUCTION } from '../../arch/vmx/qualifications.ts';
import { notePort } from '../breakpoints.ts';
import type { Vcpu } from '../vcpu.ts';
import { stringIo } from './string-io.ts';
import type { PortAccess } from './string-io.ts';

const { EXIT_QUALIFICATION } = OFFSET;
const RAX = 0;

/** IN, OUT, INS, OUTS: the ports of L1's own devices. The processor has checked IOPL and the I/O permission bitmap. */
export function ioInstruction(vcpu: Vcpu): void {
  const qualification = vcpu.processor.readLow(EXIT_QUALIFICATION);
  const access: PortAccess = {
    port: extract(IO_INSTRUCTION.PORT, qualification),
    width: (extract(IO_INSTRUCTION.SIZE_MINUS_1, qualification) + 1) as 1 | 2 | 4,
    input: extract(IO_INSTRUCTION.DIRECTION, qualification) === 1,
    repeated: extract(IO_INSTRUCTION.REP, qualification) === 1,
  };
  if (extract(IO_INSTRUCTION.STRING, qualification) === 1) return stringIo(vcpu, access);
  notePort(vcpu, access.port, access.width);
  if (access.input) input(vcpu, access);
  else output(vcpu, access);
  vcpu.completeInstruction();
}

function input(vcpu: Vcpu, { port, width }: PortAccess): void {
  const value = vcpu.machine.bus.readPort(port, width);
  trace(vcpu, false, port, width, value);
  if (width === 4) return vcpu.writeLow(RAX, value);
  const mask = width === 2 ? 0xffffn : 0xffn;
  vcpu.writeWide(RAX, (vcpu.wide(RAX) & ~mask) | BigInt(value));
}

function output(vcpu: Vcpu, { port, width }: PortAccess): void {
  const value = vcpu.low(RAX);
  vcpu.machine.bus.writePort(port, width, width === 4 ? value : value & (2 ** (8 * width) - 1));
  trace(vcpu, true, port, width, value);
}

function trace(vcpu: Vcpu, rw: boolean, port: number, size: number, val: number): void {
  const { recorder, time } = vcpu.machine;
  if (recorder.tracing) recorder.event('kvm_pio', 0, vcpu.index, time.nanoseconds(), { rw, port, size, count: 1, val });
}
