import { emitInterpreter } from '../src/machine/cpu/interpreter/module.ts';
import { DESCRIPTIONS, formsOf } from '../src/machine/cpu/interpreter/forms.ts';
let t=performance.now(); const f=formsOf(DESCRIPTIONS); const m=emitInterpreter(0,0x100000,f); console.log('emit',performance.now()-t, m.mainSize, m.cold.length);
t=performance.now(); new WebAssembly.Module(m.main); console.log('main',performance.now()-t); t=performance.now(); new WebAssembly.Module(m.cold);console.log('cold',performance.now()-t);
