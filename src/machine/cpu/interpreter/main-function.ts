// SPDX-License-Identifier: Apache-2.0
import { PAGE_SIZE } from '../../memory/layout.ts';
import { FunctionCode, I32, I64 } from '../../wasm/encoder.ts';
import { OP } from '../../wasm/opcodes.ts';
import { STATE } from '../state.ts';
import { Code } from './code.ts';
import type { Label } from './code.ts';
import { lookUpBlock } from './find-block.ts';
import { describeForm } from './forms.ts';
import type { Form } from './forms.ts';
import { RecordLowering } from './lower.ts';
import type { Surroundings } from './lower.ts';
import { HANDLER, RECORD, STATUS } from './record.ts';
import { callRegion } from './region-entry.ts';
import { storeTarget } from './shared-code.ts';
import type { Helpers } from './shared-code.ts';

/** Indices of imported functions. */
export type MainImports = Readonly<
  Record<'microcode' | 'helper' | 'lookup' | 'deliver' | 'address' | 'jumped' | 'flagResult' | 'flagCarry', number>
>;

/** The one big function, as a class because its parts share locals and labels. */
export class MainFunction {
  readonly code = new Code(new FunctionCode({ parameters: [], results: [I32] }));
  private readonly pc = this.code.temporary(I32);
  private readonly remaining = this.code.temporary(I32);
  private readonly after = this.code.temporary(I32);
  /** The link cell that led here, to be patched once the target is known; 0 for none. */
  private readonly cell = this.code.temporary(I32);
  private readonly link = this.code.temporary(I32);
  private readonly linear = this.code.temporary(I64);
  private readonly host = this.code.temporary(I32);
  private readonly area: number;
  private readonly codeTable: number;
  private readonly helpers: Helpers;
  private readonly imports: MainImports;
  private readonly coldType: number;
  private exit: Label = 0;
  private dispatch: Label = 0;
  private block: Label = 0;
  private next: Label = 0;
  private unlinked: Label = 0;
  private afterAccess: Label = 0;
  private fault: Label = 0;
  private helper: Label = 0;
  private microcode: Label = 0;

  constructor(area: number, codeTable: number, helpers: Helpers, imports: MainImports, coldType: number) {
    this.area = area;
    this.codeTable = codeTable;
    this.helpers = helpers;
    this.imports = imports;
    this.coldType = coldType;
  }

  emit(forms: readonly Form[]): void {
    const { code } = this;
    code.keepLocals();
    this.loadState(STATE.remaining);
    code.set(this.remaining);
    this.exit = code.block();
    this.dispatch = code.loop();
    this.findBlock();
    this.block = code.loop();
    this.enterBlock();
    this.next = code.loop();
    this.unlinked = code.block();
    this.afterAccess = code.block();
    this.fault = code.block();
    this.microcode = code.block();
    this.helper = code.block();
    const labels = Array.from({ length: HANDLER.firstForm + forms.length }, () => code.block()).reverse();
    code.get(this.pc).memory(OP.i32_load, RECORD.handler).brTable(labels, labels[0]);
    this.fixedHandlers();
    for (const form of forms) this.formHandler(form);
    code.end();
    this.callHelper();
    code.end();
    this.callMicrocode();
    code.end();
    this.faulted();
    code.end();
    this.accessed();
    code.end();
    this.followUnlinked();
    code.end().op(OP.unreachable).end().op(OP.unreachable).end().op(OP.unreachable).end();
    this.storeState(STATE.remaining, this.remaining);
    code.i32(0);
  }

  private surroundings(): Surroundings {
    return {
      ...this.helpers,
      code: this.code,
      area: this.area,
      record: this.pc,
      remaining: this.remaining,
      after: this.after,
      fault: () => this.code.br(this.fault),
      escape: () => this.code.br(this.helper),
      branch: (statement, low) => this.branch(statement, low),
    };
  }

  private loadState(offset: number, opcode: number = OP.i32_load): Code {
    return this.code.i32(0).memory(opcode, this.area + offset);
  }
  private storeState(offset: number, local: number): void {
    this.code
      .i32(0)
      .get(local)
      .memory(OP.i32_store, this.area + offset);
  }
  /** Before a call that may look at the record or at the exact time. */
  private flush(): void {
    this.storeState(STATE.record, this.pc);
    this.storeState(STATE.remaining, this.remaining);
  }
  private reload(): void {
    this.loadState(STATE.remaining);
    this.code.set(this.remaining);
  }

  /** The block at RIP, by the tables, else from the translator; the link cell that led here is patched. */
  private findBlock(): void {
    const { code, area, codeTable, pc, linear, host, link: entry } = this;
    lookUpBlock({ code, area, codeTable, pc, linear, host, entry });
    this.askTranslator();
    code.i32(0);
    this.loadState(STATE.rip, OP.i64_load)
      .get(this.linear)
      .i64(4095n)
      .op(OP.i64_and, OP.i64_sub)
      .memory(OP.i64_store, this.area + STATE.ripBase);
    code.get(this.cell).if_(() => this.patchLink());
  }

  /**
   * Not with an instruction that reaches into the next page: what is there is looked at each time. Its record is dropped
   * with that page, where nobody would find the cell.
   */
  private patchLink(): void {
    const { code } = this;
    code.get(this.pc).memory(OP.i32_load, RECORD.nextOffset).i32(PAGE_SIZE).op(OP.i32_lt_s);
    code.if_(() => code.get(this.cell).get(this.pc).memory(OP.i32_store, 0));
  }

  /** The answer: a record, 0 to look again (a fault was delivered), or -1 to leave. */
  private askTranslator(): void {
    const { code } = this;
    code
      .get(this.pc)
      .op(OP.i32_eqz)
      .if_(() => {
        this.storeState(STATE.remaining, this.remaining);
        code.call(this.imports.lookup).set(this.pc);
        this.reload();
        code.get(this.pc).i32(-1).op(OP.i32_eq).brIf(this.exit);
        code
          .get(this.pc)
          .op(OP.i32_eqz)
          .if_(() => {
            code.i32(0).set(this.cell).br(this.dispatch);
          });
      });
  }

  /** A block is entered only if the budget covers all of it and nothing asks for attention. */
  private enterBlock(): void {
    const { code } = this;
    const left = this.link;
    code
      .get(this.remaining)
      .get(this.pc)
      .memory(OP.i32_load, RECORD.unretired)
      .op(OP.i32_sub)
      .tee(left)
      .i32(0)
      .op(OP.i32_lt_s);
    this.loadState(STATE.attention)
      .op(OP.i32_or)
      .if_(() => {
        code.i32(0);
        this.loadState(STATE.ripBase, OP.i64_load)
          .get(this.pc)
          .memory(OP.i64_load32_u, RECORD.ripOffset)
          .op(OP.i64_add);
        this.loadState(STATE.codeMask, OP.i64_load)
          .op(OP.i64_and)
          .memory(OP.i64_store, this.area + STATE.rip);
        code.i32(0).get(this.pc);
        this.loadState(STATE.sample)
          .op(OP.i32_or)
          .memory(OP.i32_store, this.area + STATE.sample);
        code.br(this.exit);
      });
    code.get(left).set(this.remaining);
  }

  private advance(): void {
    this.code.get(this.pc).i32(RECORD.size).op(OP.i32_add).set(this.pc).br(this.next);
  }

  private fixedHandlers(): void {
    const { code } = this;
    const low = new RecordLowering(this.surroundings());
    code.end();
    this.goTo(() => code.i32(0));
    code.end();
    code.br(this.microcode);
    code.end();
    this.callCold();
    code.end();
    this.flush();
    code.get(this.pc).call(this.imports.address).brIf(this.fault);
    this.advance();
    code.end();
    low.storeState('i64', STATE.linear, () => {
      low.operandAddress();
      code.i64(0xffffffffn).op(OP.i64_and);
    });
    this.advance();
    code.end();
    code.br(this.helper);
    code.end();
    this.enterRegion();
    code.releaseLocals();
  }

  /** Runs a compiled region, and does what it leaves to do: see LEAVE. */
  private enterRegion(): void {
    const { code, area, pc, link, remaining, imports, coldType: regionType } = this;
    callRegion({ code, area, pc, link, remaining, regionType, ...imports });
    const [resume, taken, notTaken, dispatch, block, jumped] = Array.from({ length: 6 }, () => code.block()).reverse();
    code.get(link).brTable([resume, taken, notTaken, dispatch, block, dispatch, jumped, this.exit], dispatch);
    code.end().br(this.next).end();
    this.goTo(() => code.i32(0));
    code.end();
    this.goTo(() => code.i32(1));
    code.end().i32(0).set(this.cell).br(this.dispatch).end();
    code
      .i32(0)
      .i32(1)
      .memory(OP.i32_store, area + STATE.sample);
    code.br(this.block).end();
    code.get(pc).call(imports.jumped).i32(0).set(this.cell).br(this.dispatch);
  }

  private callMicrocode(): void {
    const { code } = this;
    this.flush();
    code.get(this.pc).call(this.imports.microcode).i32(STATUS.exit).op(OP.i32_eq).set(this.link);
    this.reload();
    code.get(this.link).brIf(this.exit).i32(0).set(this.cell).br(this.dispatch);
  }

  private callHelper(): void {
    const { code } = this;
    this.flush();
    code
      .get(this.pc)
      .call(this.imports.helper)
      .tee(this.link)
      .op(OP.i32_eqz)
      .if_(() => this.advance());
    code.get(this.link).i32(STATUS.fault).op(OP.i32_eq).brIf(this.fault).br(this.afterAccess);
  }

  private callCold(): void {
    const { code } = this;
    code
      .get(this.pc)
      .get(this.remaining)
      .get(this.pc)
      .memory(OP.i32_load, RECORD.extra)
      .callIndirect(this.coldType)
      .set(this.link);
    code
      .get(this.link)
      .op(OP.i32_eqz)
      .if_(() => this.advance());
    code.get(this.link).i32(STATUS.fault).op(OP.i32_eq).brIf(this.fault);
    code.get(this.link).i32(STATUS.afterAccess).op(OP.i32_eq).brIf(this.afterAccess);
    code.get(this.link).i32(STATUS.escape).op(OP.i32_eq).brIf(this.helper);
    code.i32(0).set(this.cell).br(this.dispatch);
  }

  private formHandler(form: Form): void {
    const { code } = this;
    code.end();
    const around = form.endsBlock
      ? { ...this.surroundings(), escape: () => code.br(this.microcode) }
      : this.surroundings();
    const low = new RecordLowering(around, form);
    low.statements(describeForm(form).statements);
    if (!low.ended) {
      if (low.accessed) code.get(this.after).brIf(this.afterAccess);
      this.advance();
    }
    code.releaseLocals();
  }

  private branch(statement: Parameters<Surroundings['branch']>[0], low: RecordLowering): void {
    const { code } = this;
    if (low.accessed || statement.kind === 'jump') {
      const leave = (): void => {
        storeTarget(statement, low);
        if (low.accessed)
          code.get(this.after).if_(() => code.call(this.helpers.finish).op(OP.drop).i32(0).set(this.after));
        code.i32(0).set(this.cell).br(this.dispatch);
      };
      if (statement.kind === 'jump') return leave();
      code.get(this.after).if_(leave);
    }
    const condition = statement.kind === 'branch' ? statement.condition : undefined;
    this.goTo(() => (condition ? (low.emit(condition), code.op(OP.i32_eqz)) : code.i32(0)));
  }

  /** Follows the link of the side that `notTaken` (pushing 0 or 1) chooses, if it is there. */
  private goTo(notTaken: () => unknown): void {
    const { code } = this;
    code.get(this.pc);
    notTaken();
    code.i32(2).op(OP.i32_shl, OP.i32_add).tee(this.cell).memory(OP.i32_load, RECORD.operand0).tee(this.link);
    code
      .i32(1)
      .op(OP.i32_gt_u)
      .if_(() => code.get(this.link).set(this.pc).br(this.block));
    code.br(this.unlinked);
  }

  /** `cell` is pc (taken) or pc + 4; the target is worked out, and the cell kept for patching unless marked. */
  private followUnlinked(): void {
    const { code } = this;
    code.i32(0);
    this.loadState(STATE.ripBase, OP.i64_load);
    code.get(this.pc).memory(OP.i64_load, RECORD.displacement);
    code.get(this.pc).memory(OP.i64_load32_u, RECORD.nextOffset);
    code.get(this.cell).get(this.pc).op(OP.i32_eq, OP.select, OP.i64_add);
    this.loadState(STATE.codeMask, OP.i64_load)
      .op(OP.i64_and)
      .memory(OP.i64_store, this.area + STATE.rip);
    code.get(this.cell).i32(RECORD.operand0).op(OP.i32_add).i32(0);
    code.get(this.cell).memory(OP.i32_load, RECORD.operand0).op(OP.i32_eqz, OP.select).set(this.cell);
    code.br(this.dispatch);
  }

  private faulted(): void {
    const { code } = this;
    code.i32(0).set(this.after);
    code.i32(0).set(this.cell);
    this.flush();
    code.get(this.pc).call(this.imports.deliver).set(this.link);
    this.reload();
    code.get(this.link).i32(STATUS.exit).op(OP.i32_eq).brIf(this.exit).br(this.dispatch);
  }

  /** The instruction is done; a store may wait in scratch, and the block may have to be left. */
  private accessed(): void {
    const { code } = this;
    code.i32(0).set(this.after);
    this.flush();
    code
      .call(this.helpers.finish)
      .op(OP.i32_eqz)
      .if_(() => this.advance());
    code
      .get(this.remaining)
      .get(this.pc)
      .memory(OP.i32_load, RECORD.unretired)
      .op(OP.i32_add)
      .i32(1)
      .op(OP.i32_sub)
      .set(this.remaining);
    code.i32(0);
    this.loadState(STATE.ripBase, OP.i64_load).get(this.pc).memory(OP.i64_load32_u, RECORD.nextOffset).op(OP.i64_add);
    this.loadState(STATE.codeMask, OP.i64_load)
      .op(OP.i64_and)
      .memory(OP.i64_store, this.area + STATE.rip);
    code.i32(0).set(this.cell).br(this.dispatch);
  }
}
