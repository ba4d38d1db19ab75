// SPDX-License-Identifier: Apache-2.0
import { HANDLER, RECORD } from '../interpreter/record.ts';
import type { Form } from '../interpreter/forms.ts';
import type { FormIndex } from './form-index.ts';
import type { Region, RegionBlock, RegionInstruction, Terminator } from './region.ts';

/** What the former asks about records. */
export interface RecordSource {
  readonly words: Int32Array;
  readonly forms: FormIndex;
  /** The block that begins at an offset of the region's page, 0 when there is none: its first own record. */
  blockAt(offset: number): number;
  /** A link may lead to a region's stub: the block that the region begins with. */
  original(record: number): number;
  /** Offsets in the page that an indirect jump was seen to go to. */
  jumpTargets(record: number): readonly number[];
  /** Samples that fell on a block. */
  heat(record: number): number;
  /** Whether the instruction after this record of microcode is what follows it as a rule. */
  goesOn(record: number): boolean;
  /** Follow what exists, run or not: when everything is compiled at once. */
  readonly eager: boolean;
}

/** Larger regions cost V8's optimizer more than they bring. */
const LARGEST_REGION = 600;

/** Collects the blocks of a page that are worth compiling together with `entry`: what was reached from it by links. */
export function formRegion(source: RecordSource, entry: number): Region {
  const found = new Map<number, RegionBlock>();
  const queue = [entry];
  let size = 0;
  for (let head = queue.shift(); head !== undefined; head = queue.shift()) {
    if (found.has(head)) continue;
    const block = readBlock(source, head);
    if (found.size > 0 && size + block.count > LARGEST_REGION) continue;
    size += block.count;
    found.set(head, block);
    for (const next of successors(source, block)) if (next !== 0 && !found.has(next)) queue.push(next);
  }
  return link(source, wanted(source, [...found.values()], entry));
}

/** Of what was found, the blocks that lead to something warm: a path that was taken once is not worth compiling. */
function wanted(source: RecordSource, blocks: RegionBlock[], entry: number): RegionBlock[] {
  if (source.eager) return blocks;
  const keep = new Set(
    blocks.filter((block) => block.head === entry || source.heat(block.head) > 0).map((b) => b.head),
  );
  for (let before = -1; before !== keep.size;) {
    before = keep.size;
    for (const block of blocks) if (successors(source, block).some((head) => keep.has(head))) keep.add(block.head);
  }
  return blocks.filter((block) => keep.has(block.head));
}

function link(source: RecordSource, blocks: RegionBlock[]): Region {
  const index = new Map(blocks.map((block, i) => [block.head, i]));
  for (const block of blocks) {
    const [taken, next] = successors(source, block);
    if (block.terminator === 'jump')
      for (const offset of source.jumpTargets(block.last)) {
        const target = index.get(source.blockAt(offset));
        if (target !== undefined) block.targets.push({ offset, block: target });
      }
    if (block.terminator === 'jump') continue;
    block.taken = index.get(taken) ?? -1;
    block.next = index.get(next) ?? -1;
  }
  return { blocks, size: blocks.reduce((sum, block) => sum + block.count, 0) };
}

/** First records of the blocks that follow: [taken, not taken or returned to], 0 for none; or those an indirect jump goes to. */
function successors(source: RecordSource, block: RegionBlock): readonly number[] {
  const { words } = source;
  const nextOffset = words[(block.last + RECORD.nextOffset) >> 2];
  switch (block.terminator) {
    case 'branch':
      return [linked(source, block, RECORD.operand0), linked(source, block, RECORD.operand1)];
    case 'end':
      return [linked(source, block, RECORD.operand0), 0];
    case 'call':
    case 'microcode':
      return [0, nextOffset < 0x1000 ? source.blockAt(nextOffset) : 0];
    case 'jump':
      return source.jumpTargets(block.last).map((offset) => source.blockAt(offset));
    default:
      return [0, 0];
  }
}

function linked(source: RecordSource, block: RegionBlock, cell: number): number {
  const { words } = source;
  const target = words[(block.last + cell) >> 2];
  if (target > 1) return source.original(target);
  if (target === 1 || !source.eager) return 0;
  const taken = cell === RECORD.operand0;
  const offset = words[(block.last + (taken ? RECORD.displacement : RECORD.nextOffset)) >> 2];
  return source.blockAt(offset);
}

function terminatorOf(form: Form, forms: FormIndex): Terminator {
  if (form.key.startsWith('CALL64')) return 'call';
  if (form.key.startsWith('RET64')) return 'return';
  return forms.operation(form).statements.at(-1)?.kind === 'jump' ? 'jump' : 'branch';
}

function readBlock(source: RecordSource, head: number): RegionBlock {
  const { words, forms } = source;
  const instructions: RegionInstruction[] = [];
  const base = {
    head,
    offset: words[(head + RECORD.ripOffset) >> 2],
    count: words[(head + RECORD.unretired) >> 2],
    instructions,
    taken: -1,
    next: -1,
    targets: [],
    isIndirect: false,
  };
  let begin = head;
  for (let record = head; ; record += RECORD.size) {
    const handler = words[(record + RECORD.handler) >> 2];
    if (handler === HANDLER.end) return { ...base, terminator: 'end', last: record };
    const form = forms.formOf(words, record);
    if (handler === HANDLER.microcode && source.goesOn(record))
      return { ...base, terminator: 'microcode', last: record };
    const helper = handler === HANDLER.helper;
    if (form === undefined && handler !== HANDLER.address32 && !helper)
      return { ...base, terminator: 'leave', last: begin };
    instructions.push({ record, form, helper });
    if (form?.endsBlock)
      return { ...base, terminator: terminatorOf(form, forms), isIndirect: form.key.startsWith('JMP64'), last: record };
    if (form !== undefined || helper) begin = record + RECORD.size;
  }
}

/** The record that ends a block; 0 when what ends it has no links. */
export function lastRecord(words: Int32Array, forms: FormIndex, head: number): number {
  for (let record = head; ; record += RECORD.size) {
    const handler = words[(record + RECORD.handler) >> 2];
    if (handler === HANDLER.end) return record;
    if (handler === HANDLER.microcode || handler === HANDLER.region) return 0;
    const form = forms.formOf(words, record);
    if (form?.endsBlock) return record;
  }
}
