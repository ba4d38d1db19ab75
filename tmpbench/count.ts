import { Engine } from '../src/machine/cpu/interpreter/engine.ts';
import { Mmu } from '../src/machine/mmu/mmu.ts';
const counts = new Map<string, number>();
const bump = (k: string) => counts.set(k, (counts.get(k) ?? 0) + 1);
for (const name of ['microcode', 'lookup', 'deliver', 'helper', 'address']) {
  const p = Engine.prototype as any; const f = p[name];
  p[name] = function (r: number) { bump(name); if (name === 'microcode' || name==='helper') { const e = this.entry(r); bump(name[0] + ' ' + e.instruction.opcode.mnemonic + (e.instruction.rep ? ' rep' : '')); } return f.call(this, r); };
}
for (const name of ['access', 'throughScratch', 'finishStore', 'contextChanged']) { const p = Mmu.prototype as any; const f = p[name]; p[name] = function (...a: any[]) { bump(name); return f.apply(this, a); }; }
await import('./boot.ts');
console.log([...counts].sort((a, b) => b[1] - a[1]).slice(0, 50));
