// SPDX-License-Identifier: Apache-2.0
import type { LinearAddress, Processor } from '../processor.ts';
import { STATE, TR } from '../state.ts';
import { tableAddress } from './descriptors.ts';
import { implicitClass } from './implicit-access.ts';
import { taskIs32 } from './inner-stack.ts';

/** Offsets in a task-state segment. See: SDM 8.2.1 Task-State Segment (TSS), 8.6 16-Bit Task-State Segment (TSS). */
export interface TaskLayout {
  readonly bytes: 2 | 4;
  /** The smallest limit. */
  readonly limit: number;
  readonly ip: number;
  readonly flags: number;
  /** EAX ECX EDX EBX ESP EBP ESI EDI follow each other. */
  readonly general: number;
  /** ES CS SS DS (FS GS) follow each other. */
  readonly segments: number;
  readonly segmentCount: 4 | 6;
  readonly ldtr: number;
}

// prettier-ignore
export const TSS32: TaskLayout = { bytes: 4, limit: 0x67, ip: 0x20, flags: 0x24, general: 0x28, segments: 0x48, segmentCount: 6, ldtr: 0x60 };
// prettier-ignore
export const TSS16: TaskLayout = { bytes: 2, limit: 0x2b, ip: 0x0e, flags: 0x10, general: 0x12, segments: 0x22, segmentCount: 4, ldtr: 0x2a };

/** In 32-bit task-state segments only. */
const TSS32_CR3 = 0x1c;
const TSS32_TRAP = 0x64;

/** The state a task is entered with. */
export class TaskState {
  ip = 0;
  flags = 0;
  cr3 = 0;
  ldtr = 0;
  /** Bit 0 of T: a debug exception follows the switch. */
  trap = false;
  readonly general = new Uint32Array(8);
  readonly segments = new Uint16Array(6);

  /** Reads it all from a task-state segment; false when a fault was recorded. */
  read(cpu: Processor, base: LinearAddress, layout: TaskLayout): boolean {
    const accessClass = implicitClass(cpu);
    const wide = layout.bytes === 4;
    const word = (offset: number): number => cpu.load16(tableAddress(cpu, base, offset), accessClass);
    const value = (offset: number): number =>
      wide ? cpu.load32(tableAddress(cpu, base, offset), accessClass) : word(offset);
    this.ip = value(layout.ip);
    this.flags = value(layout.flags);
    this.ldtr = word(layout.ldtr);
    this.cr3 = wide ? value(TSS32_CR3) : -1;
    this.trap = wide && (word(TSS32_TRAP) & 1) !== 0;
    // Upper halves of registers are undefined after a switch to a 16-bit task: as they were.
    for (let i = 0; i < 8; i++)
      this.general[i] = value(layout.general + i * layout.bytes) | (wide ? 0 : cpu.reg32(i) & 0xffff0000);
    for (let i = 0; i < 6; i++)
      this.segments[i] = i < layout.segmentCount ? word(layout.segments + i * layout.bytes) : 0;
    return !cpu.faulted;
  }
}

/** Whether the current task's state can be written to its segment. */
export function probeCurrentTask(cpu: Processor): boolean {
  const layout = currentLayout(cpu);
  const end = layout.segments + layout.segmentCount * layout.bytes;
  return cpu.probeWrite(tableAddress(cpu, cpu.segmentBase(TR), layout.ip), end - layout.ip, implicitClass(cpu));
}

/** Writes the dynamic fields of the current task, with this EFLAGS image. */
export function saveCurrentTask(cpu: Processor, flags: number): void {
  const layout = currentLayout(cpu);
  const accessClass = implicitClass(cpu);
  const base = cpu.segmentBase(TR);
  const put = (offset: number, value: number): void => {
    const at = tableAddress(cpu, base, offset);
    if (layout.bytes === 4) cpu.store32(at, value, accessClass);
    else cpu.store16(at, value, accessClass);
  };
  put(layout.ip, cpu.get32(STATE.rip));
  put(layout.flags, flags);
  for (let i = 0; i < 8; i++) put(layout.general + i * layout.bytes, cpu.reg32(i));
  for (let i = 0; i < layout.segmentCount; i++)
    cpu.store16(tableAddress(cpu, base, layout.segments + i * layout.bytes), cpu.selector(i), accessClass);
}

function currentLayout(cpu: Processor): TaskLayout {
  return taskIs32(cpu) ? TSS32 : TSS16;
}
