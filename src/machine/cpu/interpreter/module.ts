// SPDX-License-Identifier: Apache-2.0
import { processorArea } from '../../memory/layout.ts';
import { FunctionCode, I32, ModuleBuilder } from '../../wasm/encoder.ts';
import type { FunctionType } from '../../wasm/encoder.ts';
import { OP } from '../../wasm/opcodes.ts';
import { Code } from './code.ts';
import { RUNTIME } from '../jit/runtime.ts';
import { DESCRIPTIONS, describeForm, formsOf } from './forms.ts';
import type { Form } from './forms.ts';
import { RecordLowering } from './lower.ts';
import { MainFunction } from './main-function.ts';
import { HANDLER, STATUS } from './record.ts';
import { TAKES_I32, defineHelpers, importShared, storeTarget } from './shared-code.ts';

/** Where a form went: a handler of the big function, or a cold function. */
export interface FormPlace {
  readonly form: Form;
  readonly handler: number;
  /** Table index of the cold function, or -1. */
  readonly cold: number;
}

export interface InterpreterModules {
  readonly main: Uint8Array<ArrayBuffer>;
  readonly cold: Uint8Array<ArrayBuffer>;
  readonly coldCount: number;
  readonly places: ReadonlyMap<string, FormPlace>;
  readonly handlers: number;
  /** Bytes of the big function: V8's optimizer grows fast with it. */
  readonly mainSize: number;
}

const COLD_TYPE: FunctionType = { parameters: [I32, I32], results: [I32] };

const emitted = new Map<string, InterpreterModules>();

/**
 * The interpreter of one processor, with all forms there are. Emitted once: machines of the same shape share the modules
 * and what V8 makes of them.
 */
export function interpreterOf(processor: number, codeTable: number): InterpreterModules {
  const key = `${processor} ${codeTable}`;
  const there = emitted.get(key);
  if (there !== undefined) return there;
  const made = emitInterpreter(processor, codeTable, formsOf(DESCRIPTIONS));
  emitted.set(key, made);
  return made;
}

/** Emits the interpreter of one processor: its state's address is a constant of the code. */
export function emitInterpreter(processor: number, codeTable: number, forms: readonly Form[]): InterpreterModules {
  const places = new Map<string, FormPlace>();
  const hot = forms.filter((form) => form.hot);
  const cold = forms.filter((form) => !form.hot);
  hot.forEach((form, i) => places.set(form.key, { form, handler: HANDLER.firstForm + i, cold: -1 }));
  cold.forEach((form, i) => places.set(form.key, { form, handler: HANDLER.cold, cold: i }));
  const main = emitMain(processor, codeTable, hot);
  return {
    main: main.bytes,
    mainSize: main.size,
    cold: emitCold(processor, cold),
    coldCount: cold.length,
    places,
    handlers: HANDLER.firstForm + hot.length,
  };
}

function emitCold(processor: number, forms: readonly Form[]): Uint8Array<ArrayBuffer> {
  const area = processorArea(processor);
  const module = new ModuleBuilder('operations');
  const helpers = defineHelpers(module, area, importShared(module));
  forms.forEach((form, i) => {
    const code = new Code(new FunctionCode(COLD_TYPE));
    const after = code.temporary(I32);
    const leave = (status: number): void => void code.i32(status).op(OP.return);
    const low: RecordLowering = new RecordLowering({
      ...helpers,
      code,
      area,
      record: 0,
      remaining: 1,
      after,
      fault: () => leave(STATUS.fault),
      escape: () => leave(STATUS.escape),
      branch(statement, lowering) {
        storeTarget(statement, lowering);
        if (lowering.accessed) code.get(after).if_(() => code.call(helpers.finish).op(OP.drop));
        leave(STATUS.dispatch);
      },
    });
    low.statements(describeForm(form).statements);
    if (low.accessed && !low.ended) code.get(after).if_(() => leave(STATUS.afterAccess));
    code.i32(STATUS.next);
    module.define(COLD_TYPE, code.out, `f${i}`, `operation ${form.key}`);
  });
  return module.encode();
}

function emitMain(
  processor: number,
  codeTable: number,
  forms: readonly Form[],
): { bytes: Uint8Array<ArrayBuffer>; size: number } {
  const area = processorArea(processor);
  const module = new ModuleBuilder('interpreter');
  module.importTable();
  const shared = importShared(module);
  const imports = {
    microcode: module.importFunction('microcode', TAKES_I32),
    helper: module.importFunction('helper', TAKES_I32),
    lookup: module.importFunction('lookup', { parameters: [], results: [I32] }),
    deliver: module.importFunction('deliver', TAKES_I32),
    address: module.importFunction('address', TAKES_I32),
    jumped: module.importFunction('jumped', { parameters: [I32], results: [] }),
    flagResult: module.importFunction('flagResult', RUNTIME.flagResult),
    flagCarry: module.importFunction('flagCarry', RUNTIME.flagCarry),
  };
  const helpers = defineHelpers(module, area, shared);
  const main = new MainFunction(area, codeTable, helpers, imports, module.typeIndex(COLD_TYPE));
  main.emit(forms);
  module.define({ parameters: [], results: [I32] }, main.code.out, 'run', 'interpreter');
  return { bytes: module.encode(), size: main.code.out.length };
}
