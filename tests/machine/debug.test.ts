// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CR4, RFLAGS } from '../../src/machine/cpu/processor.ts';
import { ATTENTION, STATE } from '../../src/machine/cpu/state.ts';
import { AT, Bench } from './bench.ts';

const RCX = 1;
const RSI = 6;
const RDI = 7;
const R15 = 15;
const HANDLER = 0x11000;
const INTERRUPT_HANDLER = 0x11100;
const DIVIDE_HANDLER = 0x11200;
const LOG = 0x30000;
const DATA = 0x20000;
const CLEAN_DR6 = 0xffff0ff0;

/** Appends RIP and DR6 to what R15 points at. */
const LOGGING = `
  48 8b 04 24      ; mov rax, [rsp]
  49 89 07         ; mov [r15], rax
  0f 21 f0         ; mov rax, dr6
  49 89 47 08      ; mov [r15+8], rax
  49 83 c7 10      ; add r15, 16
  b8 f0 0f ff ff   ; mov eax, ffff0ff0h
  0f 23 f0         ; mov dr6, rax
  48 cf            ; iretq`;

const WATCH = '0f 23 f9 ; mov dr7, rcx';
const START = 3;

/** DR7: local enable, R/W and LEN of breakpoint n. */
function enable(n: number, kind: number, length: 1 | 2 | 4 | 8): number {
  return ((1 << (2 * n)) | ((kind | ({ 1: 0, 2: 1, 4: 3, 8: 2 }[length] << 2)) << (16 + 4 * n))) >>> 0;
}
const WRITE = 1;
const PORT = 2;
const ACCESS = 3;

class Debugged extends Bench {
  /** `addresses`: DR0 and on. Afterwards: how far behind the MOV to DR7 each trap came, and its DR6 bits. */
  static run(code: string, dr7: number, addresses: number[], prepare?: (bench: Debugged) => void): string[] {
    const bench = new Debugged({
      code: {
        [AT.code]: `${WATCH}\n${code}\nf4`,
        [HANDLER]: LOGGING,
        [INTERRUPT_HANDLER]: '90 48 cf',
        [DIVIDE_HANDLER]: 'f4',
      },
      handlers: { 0: DIVIDE_HANDLER, 1: HANDLER, 0x20: INTERRUPT_HANDLER },
    });
    const { cpu } = bench;
    cpu.set64(STATE.dr6, BigInt(CLEAN_DR6));
    addresses.forEach((address, n) => cpu.setSigned(STATE.dr0 + 8 * n, address));
    cpu.setReg64(RCX, BigInt(dr7));
    cpu.setReg64(R15, BigInt(LOG));
    cpu.setReg64(RSI, BigInt(DATA));
    cpu.setReg64(RDI, BigInt(DATA + 0x100));
    prepare?.(bench);
    assert.equal(bench.run(1000), 'idle');
    return bench.log();
  }

  private log(): string[] {
    const lines: string[] = [];
    for (let at = LOG; this.peek32(at) !== 0; at += 16) {
      const where = (this.peek32(at) - AT.code - START).toString(16);
      lines.push(`${where}: ${((this.peek32(at + 8) ^ CLEAN_DR6) >>> 0).toString(16)}`);
    }
    return lines;
  }
}

describe('data breakpoints', () => {
  const storeAndLoad = '89 0e ; mov [rsi], ecx \n 8b 16 ; mov edx, [rsi]';

  test('a write traps after the instruction; a read only where reads are watched', () => {
    assert.deepEqual(Debugged.run(storeAndLoad, enable(0, WRITE, 4), [DATA]), ['2: 1']);
    assert.deepEqual(Debugged.run(storeAndLoad, enable(0, ACCESS, 4), [DATA]), ['2: 1', '4: 1']);
    assert.deepEqual(Debugged.run(storeAndLoad, 0, [DATA]), []);
  });

  test('translations that were cached before do not hide accesses, and do not come back', () => {
    const before = '31 c9 ; xor ecx, ecx \n 0f 23 f9 ; mov dr7, rcx';
    const code = `${storeAndLoad}\n${before}\n${storeAndLoad}`;
    assert.deepEqual(Debugged.run(code, enable(0, WRITE, 4), [DATA]), ['2: 1']);
    const bench = new Debugged({
      code: { [AT.code]: `${storeAndLoad} \n ${WATCH} \n ${storeAndLoad} \n f4`, [HANDLER]: LOGGING },
      handlers: { 1: HANDLER },
    });
    bench.cpu.setReg64(RSI, BigInt(DATA));
    bench.cpu.setReg64(R15, BigInt(LOG));
    bench.cpu.setReg64(RCX, BigInt(enable(0, WRITE, 4)));
    bench.cpu.setSigned(STATE.dr0, DATA);
    assert.equal(bench.run(1000), 'idle');
    assert.equal(bench.peek32(LOG) - AT.code, 4 + 3 + 2);
  });

  test('any byte within the range, which is aligned to its length', () => {
    const store = '88 4e 07 ; mov [rsi+7], cl';
    assert.deepEqual(Debugged.run(store, enable(1, WRITE, 8), [0, DATA + 3]), ['3: 2']);
    assert.deepEqual(Debugged.run(store, enable(1, WRITE, 4), [0, DATA + 3]), []);
    assert.deepEqual(Debugged.run(store, enable(1, WRITE, 4), [0, DATA + 6]), ['3: 2']);
    assert.deepEqual(Debugged.run(store, enable(1, WRITE, 2), [0, DATA + 7]), ['3: 2']);
    assert.deepEqual(Debugged.run(store, enable(1, WRITE, 1), [0, DATA + 6]), []);
    const across = '48 89 4e fc ; mov [rsi-4], rcx';
    assert.deepEqual(Debugged.run(across, enable(3, WRITE, 1), [0, 0, 0, DATA + 3]), ['4: 8']);
    assert.deepEqual(Debugged.run(across, enable(3, WRITE, 1), [0, 0, 0, DATA + 4]), []);
  });

  test('several at once, and microcode: a push', () => {
    const dr7 = enable(0, WRITE, 8) | enable(2, ACCESS, 1);
    assert.deepEqual(Debugged.run('66 0f a0 ; push fs, 16 bits', dr7, [AT.stack - 8, 0, AT.stack - 1]), ['3: 5']);
  });

  test('a repeated string instruction traps after the iteration', () => {
    const code = 'b9 04 00 00 00 ; mov ecx, 4 \n f3 a4 ; rep movsb \n 90';
    assert.deepEqual(Debugged.run(code, enable(0, WRITE, 1), [DATA + 0x101]), ['5: 1']);
    assert.deepEqual(Debugged.run(code, enable(0, ACCESS, 1), [DATA + 3]), ['7: 1']);
  });

  test('XSAVE and its kind', () => {
    assert.deepEqual(Debugged.run('0f ae 06 ; fxsave [rsi]', enable(0, WRITE, 4), [DATA + 0x18]), ['3: 1']);
  });

  test('an instruction that faults does not trap', () => {
    const divide = 'f6 36 ; div byte [rsi]';
    assert.deepEqual(Debugged.run(divide, enable(0, ACCESS, 1), [DATA]), []);
    const divisor = (bench: Bench): void => bench.poke64(DATA, 1n);
    assert.deepEqual(Debugged.run(divide, enable(0, ACCESS, 1), [DATA], divisor), ['2: 1']);
  });

  test('after MOV SS the trap waits for the next instruction', () => {
    const code = '8e 16 ; mov ss, [rsi] \n 90 \n 90';
    const log = Debugged.run(code, enable(0, ACCESS, 2), [DATA], (bench) => bench.poke64(DATA, 0x10n));
    assert.deepEqual(log, ['3: 1']);
  });

  test('after MOV SS and INT n it comes before the first instruction of the handler, after a fault never', () => {
    const stack = (bench: Bench): void => bench.poke64(DATA, 0x10n);
    const run = (code: string): string[] =>
      Debugged.run(`8e 16 ; mov ss, [rsi] \n ${code}`, enable(0, ACCESS, 2), [DATA], stack);
    assert.deepEqual(run('cd 20 ; int 20h'), [`${(INTERRUPT_HANDLER - AT.code - START).toString(16)}: 1`]);
    assert.deepEqual(run('f6 76 10 ; div byte [rsi + 10h]'), []);
  });

  test("what an event's delivery meets comes before the handler's first instruction", () => {
    const log = Debugged.run('cd 20 ; int 20h', enable(0, WRITE, 1), [AT.stack - 8]);
    assert.deepEqual(log, [`${(INTERRUPT_HANDLER - AT.code - START).toString(16)}: 1`]);
  });
});

describe('I/O breakpoints', () => {
  const code = 'e6 80 ; out 80h, al \n e5 7e ; in eax, 7eh \n e4 84 ; in al, 84h';
  test('with CR4.DE, ports are watched like memory', () => {
    const withExtensions = (bench: Bench): void => bench.cpu.set32(STATE.cr4, bench.cpu.cr4 | CR4.DE);
    assert.deepEqual(Debugged.run(code, enable(0, PORT, 1), [0x80], withExtensions), ['2: 1', '4: 1']);
    assert.deepEqual(Debugged.run(code, enable(0, PORT, 4), [0x87], withExtensions), ['6: 1']);
    assert.deepEqual(Debugged.run(code, enable(0, PORT, 1), [0x80]), []);
  });
});

describe('single steps', () => {
  test('HLT with TF set: the trap comes instead of the wait', () => {
    const leave = '9c 81 24 24 ff fe ff ff 9d ; pushfq; and dword [rsp], ~100h; popfq';
    const log = Debugged.run(`90 f4 \n ${leave}`, 0, [], (bench) => {
      bench.cpu.rip = AT.code + START;
      bench.cpu.rflags = 2 | RFLAGS.TF;
      bench.unit.attend(ATTENTION.debug);
    });
    assert.deepEqual(log, ['1: 4000', '2: 4000', '3: 4000', 'a: 4000', 'b: 4000']);
  });

  test('with IA32_DEBUGCTL.BTF the trap comes after a branch, and the exception clears the flag', () => {
    const leave = '9c 81 24 24 ff fe ff ff 9d ; pushfq; and dword [rsp], ~100h; popfq';
    const stepped = (code: string): string[] =>
      Debugged.run(`${code} \n ${leave}`, 0, [], (bench) => {
        bench.cpu.rip = AT.code + START;
        bench.cpu.rflags = 2 | RFLAGS.TF;
        bench.cpu.environment.msrs.set(0x1d9, 2n);
        bench.unit.attend(ATTENTION.debug);
      });
    assert.deepEqual(stepped('90 \n 74 00 ; jz $+2 \n eb 01 ; jmp $+3 \n 90 \n 90'), ['6: 4000', '7: 4000', '8: 4000', 'f: 4000', '10: 4000']); // prettier-ignore
    assert.equal(stepped('b1 03 ; mov cl, 3 \n f3 a4 ; rep movsb \n e8 00 00 00 00 ; call $+5')[0], '9: 4000');
    assert.deepEqual(stepped('90 \n 90'), []);
  });
});

describe('bit strings in flat 32-bit code', () => {
  test('an offset in a register that passes 4 GiB wraps', () => {
    const bench = new Bench({ code: { [AT.code]: '0f ab 03 ; bts [ebx], eax \n f4' } });
    const { cpu } = bench;
    cpu.setSegment(1, 8, 0, 0xffffffff, 0xc09b);
    cpu.setReg64(3, 0xfffffff0n);
    cpu.setReg64(0, BigInt((DATA + 0x10) * 8 + 5));
    cpu.modeChanged();
    assert.equal(bench.run(1000), 'idle');
    assert.equal(bench.peek32(DATA), 0x20);
  });
});
