// SPDX-License-Identifier: Apache-2.0
import { rowWithoutFeature } from '../../../arch/instructions/table.ts';
import { DecodeStatus, decode } from '../../../decode/decoder.ts';
import { Instruction, OperandKind } from '../../../decode/instruction.ts';
import type { CodeSize } from '../../../decode/instruction.ts';
import { assert } from '../../../base/assert.ts';
import type { HostAddress, Memory } from '../../memory/memory.ts';
import type { FormPlace } from '../interpreter/module.ts';
import { HANDLER, RECORD } from '../interpreter/record.ts';
import { MODE } from '../mode.ts';
import { BlockStore } from './block-store.ts';
import { NO_RECORD, copyOf, isSimple, joinableRecords } from './fusing.ts';
import type { FusedBranches, JoinableRecord } from './fusing.ts';
import { fpuFault } from './fpu-usable.ts';
import { RecordWriter, addressHandler } from './record-writer.ts';
import { matchForm } from './signature.ts';
import type { Match } from './signature.ts';

/** Blocks are short enough that single-stepping the rest of a budget costs little. */
const MAX_BLOCK = 32;
const RECORDS_PER_BLOCK = MAX_BLOCK * 2 + 2;

/** What microcode is called with: its number selects the entry, the instruction is a copy of its own. */
export interface MicrocodeEntry {
  readonly instruction: Instruction;
  /** Index of the function in the microcode table; the translator does not know what it does. */
  readonly routine: number;
}

/** Gives the number of the routine for an instruction that is no described operation. */
export interface MicrocodeTable {
  routineOf(instruction: Instruction): number;
  /** Routine that raises a fixed fault. */
  faultRoutine(vector: number, errorCode: number): number;
}

const CODE_16_32_64 = (mode: number): CodeSize => (mode & MODE.code64 ? 64 : mode & MODE.code32 ? 32 : 16);

/**
 * Bytes to records, keyed by (host address, mode). Shared by all processors.
 */
export class Translator {
  /** What has been translated. */
  readonly store: BlockStore;
  readonly entries: MicrocodeEntry[] = [];
  /** Counts, for the run's summary and for tests. */
  readonly counts = { instructions: 0, poolFlushes: 0 };
  private readonly memory: Memory;
  private readonly places: ReadonlyMap<string, FormPlace>;
  private readonly microcode: MicrocodeTable;
  private readonly features: ReadonlySet<string>;
  private readonly writer: RecordWriter;
  private readonly instruction = new Instruction();
  private readonly forms = new Map<number, Match | null>();
  private readonly crossing = new Uint8Array(16);
  private top: number;
  private readonly joinable: ReadonlyMap<string, FusedBranches>;
  private last: JoinableRecord = NO_RECORD;
  /** The record of the block under way that holds two instructions; it can only be the last. */
  private fusedAt = 0;

  constructor(
    memory: Memory,
    places: ReadonlyMap<string, FormPlace>,
    microcode: MicrocodeTable,
    features: ReadonlySet<string>,
    dropWriteTags: (host: HostAddress) => void,
  ) {
    this.memory = memory;
    this.places = places;
    this.microcode = microcode;
    this.features = features;
    this.store = new BlockStore(memory, dropWriteTags);
    this.writer = new RecordWriter(memory);
    this.top = memory.layout.recordPool;
    this.joinable = joinableRecords(places);
  }

  /** A record that stands for a compiled region; 0 when the pool is full. `head`: the first record of its block. */
  makeStub(head: number, slot: number): number {
    if (this.full) return 0;
    const { writer } = this;
    writer.at = this.advance();
    writer.begin(HANDLER.region, this.memory.i32[(head + RECORD.ripOffset) >> 2], 0);
    writer.set(RECORD.base, head);
    writer.set(RECORD.extra, slot);
    return writer.at;
  }

  /** Makes the block at a host address. Returns 0 when the first instruction reaches into the next page. */
  translate(host: HostAddress, mode: number): number {
    assert(
      this.top + RECORDS_PER_BLOCK * RECORD.size <= this.memory.layout.recordPoolEnd,
      'room for a block: ask `full` first',
    );
    const start = this.top;
    const pageEnd = host - (host & 0xfff) + 0x1000;
    let at = host;
    let count = 0;
    let ended = false;
    const limit = mode & MODE.single ? 1 : MAX_BLOCK;
    while (count < limit && !ended && at < pageEnd) {
      const status = this.decodeAt(this.memory.u8, at, pageEnd, mode);
      if (status === DecodeStatus.TRUNCATED) break;
      ended = this.emit(status, (at & 0xfff) >>> 0, mode, false);
      at += this.instruction.length;
      count++;
    }
    if (count === 0) return 0;
    this.close(start, count, ended, at - (host - (host & 0xfff)), mode);
    this.store.remember(host, at - host, mode, start);
    return start;
  }

  /** Whether the instruction at a host address was found to reach into another page. */
  crosses(host: HostAddress, mode: number): boolean {
    return this.store.crossingAt(host, mode) !== undefined;
  }

  /** The one-instruction block for bytes that begin at the end of one page and end in another. */
  translateCrossing(host: HostAddress, second: HostAddress, mode: number): number {
    const known = this.store.crossingAt(host, mode);
    if (known?.second === second) return known.record;
    const first = 0x1000 - (host & 0xfff);
    this.crossing.set(this.memory.u8.subarray(host, host + first));
    this.crossing.set(this.memory.u8.subarray(second, second + 15 - first), first);
    const start = this.top;
    const status = this.decodeAt(this.crossing, 0, 15, mode);
    assert(status !== DecodeStatus.TRUNCATED, 'fifteen bytes are enough');
    // What makes it undefined lies in the second page: its record says so, and is never linked to.
    if (status !== DecodeStatus.OK) this.instruction.length = Math.max(this.instruction.length, first + 1);
    const ended = this.emit(status, host & 0xfff, mode, true);
    this.close(start, 1, ended, (host & 0xfff) + this.instruction.length, mode | MODE.single);
    const rest = Math.max(1, this.instruction.length - first);
    this.store.rememberCrossing(host, first, rest, mode, { second, record: start });
    return start;
  }

  /** Whether the pool must be emptied before the next block. */
  get full(): boolean {
    return this.top + RECORDS_PER_BLOCK * RECORD.size > this.memory.layout.recordPoolEnd;
  }

  dropAll(): void {
    this.entries.length = 0;
    this.top = this.memory.layout.recordPool;
    this.counts.poolFlushes++;
    this.store.dropAll();
  }

  private decodeAt(bytes: Uint8Array, at: number, end: number, mode: number): number {
    const { instruction } = this;
    const status = decode(bytes, at, end, CODE_16_32_64(mode), instruction);
    if (status !== DecodeStatus.OK) return status;
    const { feature } = instruction.opcode;
    if (feature === undefined || this.features.has(feature)) return status;
    const other = rowWithoutFeature(instruction.opcode);
    if (other === undefined) return DecodeStatus.UNDEFINED;
    instruction.opcode = other;
    return status;
  }

  /** Writes the record (and the address record before it) of the instruction just decoded; true when it ends the block. */
  private emit(status: number, ripOffset: number, mode: number, alone: boolean): boolean {
    this.counts.instructions++;
    const { instruction } = this;
    if (status !== DecodeStatus.OK)
      return this.emitFault(
        ripOffset,
        status === DecodeStatus.TOO_LONG ? 13 : 6,
        status === DecodeStatus.TOO_LONG ? 0 : -1,
      );
    const { opcode } = instruction;
    if (opcode.protectedMode && mode & (MODE.real | MODE.virtual8086)) return this.emitFault(ripOffset, 6, -1);
    const unusable = fpuFault(instruction, mode);
    if (unusable >= 0) return this.emitFault(ripOffset, unusable, -1);
    const match = this.match(mode);
    return match === null
      ? this.emitMicrocode(ripOffset, this.microcode.routineOf(instruction))
      : this.emitForm(match, ripOffset, mode, alone);
  }

  private match(mode: number): Match | null {
    const { instruction } = this;
    const [first, second, third] = instruction.operands;
    const kinds = first.kind + second.kind * 16 + third.kind * 256;
    const sizes =
      instruction.operandSize / 16 + (instruction.addressSize / 16) * 8 + (instruction.segmentOverride >= 0 ? 64 : 0);
    const cacheKey =
      ((instruction.opcode.id * 4096 + kinds) * 128 + sizes) * 4 +
      (mode & MODE.code64 ? 1 : mode & MODE.flat && mode & MODE.code32 ? 2 : 0);
    let match = this.forms.get(cacheKey);
    if (match === undefined) {
      match = matchForm(this.places, instruction, mode) ?? null;
      this.forms.set(cacheKey, match);
    }
    return match;
  }

  private emitForm(match: Match, ripOffset: number, mode: number, alone: boolean): boolean {
    const { instruction, writer } = this;
    const usesMemory = match.place.form.signature.includes('m');
    const handler = usesMemory ? addressHandler(instruction, mode) : -1;
    const place = usesMemory && handler < 0 && isSimple(instruction) ? (match.simple ?? match.place) : match.place;
    if (handler >= 0) this.emitAddress(handler, ripOffset);
    if (this.fuse(place.form.key, ripOffset, mode, alone)) return true;
    writer.at = this.advance();
    writer.begin(place.handler, ripOffset, instruction.length);
    if (place.cold >= 0) writer.set(RECORD.extra, place.cold);
    writer.operands(instruction);
    if (handler >= 0) writer.preparedAddress();
    else if (usesMemory) writer.flatAddress(instruction, ripOffset + instruction.length);
    if (match.condition >= 0) writer.set(RECORD.operand2, match.condition);
    if (place.form.escapes) writer.set(RECORD.entry, this.keep(this.microcode.routineOf(instruction)));
    const first = instruction.operands[0];
    if (first.kind === OperandKind.RELATIVE && instruction.operandCount > 0) this.emitBranch(ripOffset, mode, alone);
    else if (place.form.goesOn) this.emitNext(ripOffset, mode, alone);
    return place.form.endsBlock;
  }

  /**
   * A conditional branch right after a comparison of registers joins its record. `last` remembers the record that may
   * be joined: the one of the instruction just before, in the same block.
   */
  private fuse(branchKey: string, ripOffset: number, mode: number, alone: boolean): boolean {
    const { last, writer } = this;
    this.last = NO_RECORD;
    if (alone || mode & MODE.single) return false;
    const comparison = this.joinable.get(branchKey);
    if (comparison !== undefined)
      this.last = { at: this.top, branches: comparison, next: ripOffset + this.instruction.length };
    if (last.next !== ripOffset || last.at !== this.top - RECORD.size) return false;
    const place = last.branches.get(branchKey);
    if (place === undefined) return false;
    const { i32 } = this.memory;
    writer.at = last.at;
    writer.set(RECORD.handler, place.handler);
    writer.set(RECORD.base, i32[(last.at + RECORD.operand0) >> 2]);
    writer.set(RECORD.index, i32[(last.at + RECORD.operand1) >> 2]);
    writer.set(RECORD.nextOffset, ripOffset + this.instruction.length);
    this.emitBranch(ripOffset, mode, alone);
    this.fusedAt = last.at;
    return true;
  }

  /** The block ends, and the next instruction follows. */
  private emitNext(ripOffset: number, mode: number, alone: boolean): void {
    const next = ripOffset + this.instruction.length;
    this.writer.branch(next, !(mode & MODE.single) && !alone && next < 0x1000, false);
  }

  private emitBranch(ripOffset: number, mode: number, alone: boolean): void {
    const next = ripOffset + this.instruction.length;
    const target = next + this.instruction.immediateHigh * 0x100000000 + (this.instruction.immediateLow >>> 0);
    const linkable = !(mode & MODE.single) && !alone;
    this.writer.branch(target, linkable && target >= 0 && target < 0x1000, linkable && next < 0x1000);
  }

  /**
   * The address in a record of its own: by the engine, or by microcode with the segment's checks. The instruction's
   * copy is found by the number in `entry` either way.
   */
  private emitAddress(handler: number, ripOffset: number): void {
    const { instruction, writer } = this;
    writer.at = this.advance();
    writer.begin(handler, ripOffset, instruction.length);
    if (handler === HANDLER.address32) {
      writer.flatAddress(instruction, ripOffset + instruction.length);
      return;
    }
    writer.set(RECORD.entry, this.keep(0));
  }

  private emitMicrocode(ripOffset: number, routine: number, fault = false): boolean {
    const { writer } = this;
    writer.at = this.advance();
    const { blockEnd, repeat } = this.instruction.opcode;
    const goesOn = blockEnd === 'none' && repeat === 'none' && !fault;
    writer.begin(goesOn ? HANDLER.helper : HANDLER.microcode, ripOffset, this.instruction.length);
    writer.set(RECORD.entry, this.keep(routine));
    return !goesOn;
  }

  private emitFault(ripOffset: number, vector: number, errorCode: number): boolean {
    if (this.instruction.length === 0) this.instruction.length = 1;
    return this.emitMicrocode(ripOffset, this.microcode.faultRoutine(vector, errorCode), true);
  }

  private keep(routine: number): number {
    return this.entries.push({ instruction: copyOf(this.instruction), routine }) - 1;
  }

  private advance(): number {
    const at = this.top;
    this.top += RECORD.size;
    return at;
  }

  /** Ends the block with a jump to what follows, unless it ends itself, and numbers its records. */
  private close(start: number, count: number, ended: boolean, next: number, mode: number): void {
    const { writer, memory } = this;
    const last = this.top;
    if (!ended) {
      writer.at = this.advance();
      writer.begin(HANDLER.end, next, 0);
      writer.branch(next, !(mode & MODE.single) && next < 0x1000, false);
    }
    let left = 0;
    let previous = -1;
    for (let at = last - RECORD.size; at >= start; at -= RECORD.size) {
      const ripOffset = memory.i32[(at + RECORD.ripOffset) >> 2];
      if (ripOffset !== previous) left += at === this.fusedAt ? 2 : 1;
      previous = ripOffset;
      memory.i32[(at + RECORD.unretired) >> 2] = left;
    }
    assert(left === count, 'every instruction is counted');
    this.fusedAt = 0;
    this.last = NO_RECORD;
  }
}
