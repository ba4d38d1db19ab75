import { createCpuUnderTest } from '../tests/oracle/adapter.ts';
import { STATE } from '../src/machine/cpu/state.ts';
import { MODE } from '../src/machine/cpu/mode.ts';
const u: any = createCpuUnderTest();
const s = u.get();
const code = [0x48,0x8b,0x04,0xd7, 0x48,0x01,0xc8, 0x48,0x31,0xc6, 0x48,0x89,0x34,0xd7, 0x48,0xff,0xc2, 0x81,0xe2,0xff,0,0,0, 0x48,0xff,0xc9, 0x75,0xe4];
u.writeMemory(0x10000000n, Uint8Array.from(code));
s.rip = 0x10000000n; s.general[7] = 0x20000000n; s.general[1] = 0x7fffffffffn; s.general[2]=0n;
u.set(s);
const cpu = u.cpu;
cpu.words[STATE.mode>>2] &= ~MODE.single;
cpu.words[STATE.attention>>2] = 0;
for (let r=0;r<8;r++){
  const t=performance.now();
  for (let i=0;i<10;i++){ cpu.words[STATE.remaining>>2] = 10_000_000; u.engine.run(); }
  const dt=performance.now()-t; console.log((100/dt*1000).toFixed(0),'MIPS', cpu.words[STATE.remaining>>2], cpu.faulted);
}
