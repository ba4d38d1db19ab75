// SPDX-License-Identifier: Apache-2.0
import { FunctionCode, I32, I64 } from '../../wasm/encoder.ts';
import { OP } from '../../wasm/opcodes.ts';
import { Code } from '../interpreter/code.ts';
import type { Label } from '../interpreter/code.ts';
import type { BranchStatement } from '../interpreter/lowering.ts';
import { RECORD } from '../interpreter/record.ts';
import { STATE } from '../state.ts';
import { emitCall } from './region-call.ts';
import { REGION_TYPE } from './region-emitter.ts';
import type { JumpTables, RegionEmitter, RegionImports } from './region-emitter.ts';
import type { FormIndex } from './form-index.ts';
import type { FlagKind } from './flag-kinds.ts';
import { LEAVE } from './region.ts';
import type { Region, RegionBlock } from './region.ts';
import { RegionLowering } from './region-lowering.ts';
import type { RegionFrame } from './region-lowering.ts';
import { registersOf } from './register-use.ts';
import { Registers } from './registers.ts';
import { structure } from './structure.ts';
import type { Destination } from './structure.ts';

type Targets = (target: number) => Destination<Label>;

/** Emits the function of one region. */
export class RegionFunction implements RegionEmitter {
  readonly code = new Code(new FunctionCode(REGION_TYPE));
  readonly frame: RegionFrame;
  readonly imports: RegionImports;
  readonly words: Int32Array;
  readonly lowering: RegionLowering;
  private readonly region: Region;
  private readonly forms: FormIndex;
  private readonly left: number;
  private readonly choices: number[] = [];
  private readonly arrivals: Arrivals;
  private readonly jumps: JumpTables;

  constructor(region: Region, forms: FormIndex, words: Int32Array, imports: RegionImports, jumps: JumpTables) {
    const { code } = this;
    this.region = region;
    this.forms = forms;
    this.words = words;
    this.imports = imports;
    this.jumps = jumps;
    const { touched, written } = registersOf(region, forms, words);
    this.frame = makeFrame(code, imports, new Registers(code, AREA, touched, written));
    this.left = code.temporary(I32);
    code.keepLocals();
    this.lowering = new RegionLowering(this.frame, words);
    this.arrivals = new Arrivals(region);
  }

  emit(): FunctionCode {
    const { code, frame } = this;
    code.get(AREA).memory(OP.i64_load, STATE.ripBase).set(frame.ripBase);
    this.enter();
    frame.leave = code.block();
    frame.chain = code.block();
    structure<Label>(this.region.blocks.map(edgesOf), 0, {
      block: () => code.block(),
      loop: () => code.loop(),
      end: () => void code.end(),
      dispatch: (number, labels) =>
        void code.get(this.choice(number)).brTable(labels.slice(0, -1), labels[labels.length - 1]),
      node: (node, destination) => this.block(this.region.blocks[node], node, destination),
    });
    code.end();
    this.chain();
    code.end();
    this.writeBack();
    code.get(frame.exitCode);
    return code.out;
  }

  /** To the region that begins at `target`, if there is one and nothing asks for attention; else the interpreter goes there. */
  private chain(): void {
    const { code, frame, left } = this;
    this.writeBack();
    code.get(AREA).memory(OP.i32_load, STATE.attention).op(OP.i32_eqz);
    code.if_(() => {
      code.get(AREA).get(frame.target).call(this.imports.findRegion).tee(left);
      code.if_(() => code.get(AREA).get(DEPTH).get(left).returnCallIndirect(this.imports.regionType));
    });
    code.get(AREA).get(frame.target).memory(OP.i64_store, STATE.rip);
    code.i32(LEAVE.dispatch).op(OP.return);
  }

  /** Takes over what the state block holds for a region. */
  enter(): void {
    const { code, frame } = this;
    code.get(AREA).memory(OP.i32_load, STATE.remaining).set(frame.remaining);
    this.takeContexts();
    code.get(AREA).memory(OP.i32_load, STATE.regionFlagKind).set(frame.flagKind);
    code.get(AREA).memory(OP.i64_load, STATE.regionFlagA).set(frame.flagA);
    code.get(AREA).memory(OP.i64_load, STATE.regionFlagB).set(frame.flagB);
    frame.registers.load();
  }

  /** Leaves in the state block what others must find there. */
  writeBack(): void {
    const { code, frame } = this;
    code.get(AREA).get(frame.remaining).memory(OP.i32_store, STATE.remaining);
    code.get(AREA).get(frame.flagKind).memory(OP.i32_store, STATE.regionFlagKind);
    code.get(AREA).get(frame.flagA).memory(OP.i64_store, STATE.regionFlagA);
    code.get(AREA).get(frame.flagB).memory(OP.i64_store, STATE.regionFlagB);
    frame.registers.store();
  }

  private takeContexts(): void {
    const { code, frame } = this;
    code.get(AREA).memory(OP.i64_load, STATE.dataContext).set(frame.dataContext);
    code.get(AREA).memory(OP.i32_load, STATE.dataHash).set(frame.dataHash);
  }

  /** Calls TypeScript for a record, with everything where it expects it; leaves if that says so. */
  private callOut(call: number, record: number): void {
    const { code, frame, left } = this;
    this.lowering.settle();
    code.get(AREA).get(frame.flagA).memory(OP.i64_store, STATE.flagResult);
    code.get(AREA).get(frame.flagB).op(OP.i32_wrap_i64).memory(OP.i32_store, STATE.flagCarry);
    code.get(AREA).get(frame.remaining).memory(OP.i32_store, STATE.remaining);
    frame.registers.store();
    code.get(AREA).i32(record).call(call).tee(left);
    code.if_(() => code.get(left).op(OP.return));
    code.get(AREA).memory(OP.i32_load, STATE.remaining).set(frame.remaining);
    this.takeContexts();
    code.get(AREA).memory(OP.i64_load, STATE.flagResult).set(frame.flagA);
    code.get(AREA).memory(OP.i64_load32_u, STATE.flagCarry).set(frame.flagB);
    frame.registers.load();
  }

  leave(leaving: number): void {
    this.code.i32(leaving).set(this.frame.exitCode).br(this.frame.leave);
  }

  private block(block: RegionBlock, index: number, destination: Targets): void {
    const { lowering } = this;
    lowering.kind = this.arrivals.kind(index);
    this.budget(block);
    lowering.onBranch = (statement) => this.branch(block, statement, destination);
    for (const instruction of block.instructions) {
      if (instruction.helper) this.callOut(this.imports.helper, instruction.record);
      else if (instruction.form === undefined) lowering.addressRecord(instruction.record);
      else lowering.instruction(instruction, this.forms.operation(instruction.form).statements);
    }
    if (block.terminator === 'microcode') {
      this.callOut(this.imports.microcode, block.last);
      this.follow(block, 'next', destination);
    }
    if (block.terminator === 'end') this.follow(block, 'taken', destination);
    if (block.terminator === 'leave') this.leave(block.last | LEAVE.resume);
  }

  /** A block is entered only if the budget covers all of it. */
  private budget(block: RegionBlock): void {
    const { code, frame, left } = this;
    code.get(frame.remaining).i32(block.count).op(OP.i32_sub).tee(left).i32(0).op(OP.i32_lt_s);
    this.lowering.leaveIf(block.head | LEAVE.block);
    code.get(left).set(frame.remaining);
  }

  private branch(block: RegionBlock, statement: BranchStatement, destination: Targets): void {
    if (block.terminator === 'call') {
      emitCall(this, block, statement);
      return this.follow(block, 'next', destination);
    }
    if (block.terminator === 'jump' && statement.kind === 'jump')
      return this.indirectJump(block, statement, destination);
    if (statement.kind === 'jump') {
      this.lowering.emit(statement.target);
      return this.return();
    }
    if (statement.condition === undefined) return this.follow(block, 'taken', destination);
    this.lowering.emit(statement.condition);
    this.followIf(block, destination);
    this.follow(block, 'next', destination);
  }

  /** To the region that called this one, or to whatever region is there. */
  private return(): void {
    const { code, frame } = this;
    code.set(frame.target).get(DEPTH).op(OP.i32_eqz).brIf(frame.chain);
    code.get(AREA).get(frame.target).memory(OP.i64_store, STATE.rip);
    this.leave(LEAVE.returned);
  }

  /** Within the page by a table of bytes, one for each offset: 0 where it has not been seen to go. */
  private indirectJump(block: RegionBlock, statement: BranchStatement & { kind: 'jump' }, destination: Targets): void {
    const { code, lowering, frame } = this;
    const target = lowering.inLocal(statement.target);
    const offset = code.temporary(I64);
    const unknown = code.block();
    const table = block.targets.length > 0 ? this.jumps.table(block) : 0;
    if (table !== 0) {
      const labels = block.targets.map(() => code.block()).reverse();
      code.get(target).get(frame.ripBase).op(OP.i64_sub).tee(offset).i64(0xfffn).op(OP.i64_gt_u).brIf(unknown);
      code.get(AREA).get(target).call(this.imports.fetches).op(OP.i32_eqz).brIf(unknown);
      code
        .get(offset)
        .op(OP.i32_wrap_i64)
        .memory(OP.i32_load8_u, table)
        .brTable([unknown, ...labels], unknown);
      for (const { block: to } of block.targets) {
        code.end();
        this.goTo(to, destination);
      }
    }
    code.end();
    if (!block.isIndirect || !this.jumps.learns(block.last))
      return void code.get(target).set(frame.target).br(frame.chain);
    lowering.storeState('i64', STATE.rip, () => code.get(target));
    this.leave(block.last | LEAVE.jumped);
  }

  /** Branches to the taken side if the i32 on the stack is not zero. */
  private followIf(block: RegionBlock, destination: Targets): void {
    const { code } = this;
    if (block.taken < 0) return void code.if_(() => this.leaveBy(block, 'taken'));
    const { label, choice } = destination(block.taken);
    if (choice >= 0) return void code.if_(() => this.follow(block, 'taken', destination));
    this.arrivals.note(block.taken, this.lowering.kind);
    code.brIf(label);
  }

  private follow(block: RegionBlock, side: 'taken' | 'next', destination: Targets): void {
    const target = block[side];
    if (target < 0) return this.leaveBy(block, side);
    this.goTo(target, destination);
  }

  /** By the link of the interpreter, unless the way leads to another page or was taken before. */
  private leaveBy({ terminator, last }: RegionBlock, side: 'taken' | 'next'): void {
    const { code, frame, words } = this;
    const link = words[(last + (side === 'taken' ? RECORD.operand0 : RECORD.operand1)) >> 2];
    const continues = terminator === 'call' || terminator === 'microcode';
    if (!continues && link === 0) return this.leave(last | (side === 'taken' ? LEAVE.taken : LEAVE.notTaken));
    const field = side === 'taken' ? RECORD.displacement : RECORD.nextOffset;
    code
      .get(frame.ripBase)
      .i64(BigInt(words[(last + field) >> 2]))
      .op(OP.i64_add)
      .set(frame.target);
    code.br(frame.chain);
  }

  private goTo(target: number, destination: Targets): void {
    const { code } = this;
    this.arrivals.note(target, this.lowering.kind);
    const { label, choice, dispatch } = destination(target);
    if (choice >= 0) code.i32(choice).set(this.choice(dispatch));
    code.br(label);
  }

  private choice(dispatch: number): number {
    if (this.choices[dispatch] === undefined) {
      this.choices[dispatch] = this.code.out.local(I32);
    }
    return this.choices[dispatch];
  }
}

const AREA = 0;
const DEPTH = 1;

function makeFrame(code: Code, imports: RegionImports, registers: Registers): RegionFrame {
  const frame = {
    code,
    area: AREA,
    depth: DEPTH,
    remaining: code.temporary(I32),
    exitCode: code.temporary(I32),
    ripBase: code.temporary(I64),
    target: code.temporary(I64),
    dataContext: code.temporary(I64),
    dataHash: code.temporary(I32),
    flagKind: code.temporary(I32),
    flagA: code.temporary(I64),
    flagB: code.temporary(I64),
    registers,
    leave: 0,
    chain: 0,
    flagResult: imports.flagResult,
    flagCarry: imports.flagCarry,
  };
  code.keepLocals();
  return frame;
}

function edgesOf({ taken, next, targets }: RegionBlock): number[] {
  return [...new Set([taken, next, ...targets.map(({ block }) => block)])].filter((target) => target >= 0);
}

/** Which kind of flags comes along each edge: where all agree and none is still to be emitted, the kind is known. */
class Arrivals {
  private readonly expected: number[];
  private readonly kinds: (FlagKind | undefined)[][];

  constructor({ blocks }: Region) {
    this.expected = blocks.map((_, i) => (i === 0 ? Infinity : 0));
    this.kinds = blocks.map(() => []);
    for (const block of blocks) for (const target of edgesOf(block)) this.expected[target]++;
  }

  note(target: number, kind: FlagKind | undefined): void {
    this.kinds[target].push(kind);
  }

  kind(target: number): FlagKind | undefined {
    const arrived = this.kinds[target];
    const [kind] = arrived;
    return arrived.length === this.expected[target] && arrived.every((other) => other === kind) ? kind : undefined;
  }
}
