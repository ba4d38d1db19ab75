// SPDX-License-Identifier: Apache-2.0
import { extract } from '../../arch/vmx/bit-field.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { INSTRUCTION_INFORMATION } from '../../arch/vmx/instruction-information.ts';
import { readLittleEndian, writeLittleEndian } from '../../devices/bus-width.ts';
import { LinearMemory } from '../emulator/linear-memory.ts';
import { ES, misaligned, segmentLinear } from '../emulator/segments.ts';
import { advanceIndex, countLeft, pointer } from '../emulator/string-registers.ts';
import { notePort } from '../breakpoints.ts';
import type { Vcpu } from '../vcpu.ts';

const { VMX_INSTRUCTION_INFO } = OFFSET;
const RCX = 1;
const RSI = 6;
const RDI = 7;
const ADDRESS_SIZES = [16, 32, 64] as const;

export interface PortAccess {
  readonly port: number;
  readonly width: 1 | 2 | 4;
  readonly input: boolean;
  readonly repeated: boolean;
}

/**
 * INS and OUTS, one iteration for each exit: it counts as one instruction, and events are looked for between two. They
 * exit before the processor has looked at their memory.
 * See: SDM Table 28-8 Format of the VM-Exit Instruction-Information Field as Used for INS and OUTS.
 */
export function stringIo(vcpu: Vcpu, access: PortAccess): void {
  const information = vcpu.processor.readLow(VMX_INSTRUCTION_INFO);
  const { INS_OUTS } = INSTRUCTION_INFORMATION;
  const addressSize = ADDRESS_SIZES[extract(INS_OUTS.ADDRESS_SIZE, information)] ?? 64;
  const segment = access.input ? ES : extract(INS_OUTS.SEGMENT, information);
  const index = access.input ? RDI : RSI;
  if (access.repeated && countLeft(vcpu, addressSize) === 0n) return vcpu.completeInstruction();
  const linear = segmentLinear(vcpu, segment, pointer(vcpu, index, addressSize), access.width, access.input);
  if (linear === undefined || misaligned(vcpu, linear, access.width) || !transfer(vcpu, access, linear)) return;
  advanceIndex(vcpu, index, addressSize, access.width);
  if (access.repeated) advanceIndex(vcpu, RCX, addressSize, -1, false);
  if (access.repeated && countLeft(vcpu, addressSize) !== 0n) vcpu.completeIteration();
  else vcpu.completeInstruction();
}

/** One element between port and memory; false when the memory access faulted. Memory is probed before a port is read. */
function transfer(vcpu: Vcpu, { port, width, input }: PortAccess, linear: number): boolean {
  const memory = new LinearMemory(vcpu);
  const { bus } = vcpu.machine;
  const bytes = new Uint8Array(width);
  notePort(vcpu, port, width);
  if (!input) {
    if (!memory.read(linear, bytes)) return false;
    bus.writePort(port, width, readLittleEndian(bytes, 0, width));
    return true;
  }
  if (!memory.probe(linear, width)) return false;
  writeLittleEndian(bytes, 0, width, bus.readPort(port, width));
  return memory.write(linear, bytes);
}
