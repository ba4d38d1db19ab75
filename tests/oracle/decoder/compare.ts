// SPDX-License-Identifier: Apache-2.0
import { Code, CodeExt, Decoder, DecoderError, DecoderOptions, Instruction as Oracle, Mnemonic } from 'iced-x86';
import { hexBytes } from '../../../src/base/hex.ts';
import { DecodeStatus, decode } from '../../../src/decode/decoder.ts';
import { format, mnemonicOf } from '../../../src/decode/format.ts';
import { Instruction, OperandKind } from '../../../src/decode/instruction.ts';
import type { CodeSize } from '../../../src/decode/instruction.ts';
import { HINT, HINT_OPCODES, REX_W_IGNORED, WIDTH_IN_OPERAND, whyAbsent } from './known-differences.ts';
import { ourOperands } from './our-text.ts';
import { theirOperands } from './their-text.ts';

/** One name, two spellings. */
const RENAMED: Readonly<Record<string, string>> = {
  WAIT: 'FWAIT',
  RESERVEDNOP: 'NOP',
  GETSECQ: 'GETSEC',
  PCMPESTRM64: 'PCMPESTRM',
  PCMPESTRI64: 'PCMPESTRI',
};

const { operandSizes, addressSizes } = requiredSizes();

/** The operand and address size that iced-x86's codes are for, 0 where one code stands for several. */
function requiredSizes(): { operandSizes: Uint8Array; addressSizes: Uint8Array } {
  const count = Object.keys(Code).length / 2;
  const sizes = { operandSizes: new Uint8Array(count), addressSizes: new Uint8Array(count) };
  for (let code = 0; code < count; code++) {
    const info = CodeExt.opCode(code);
    sizes.operandSizes[code] = info.operandSize;
    sizes.addressSizes[code] = info.addressSize;
    info.free();
  }
  return sizes;
}

/** Bytes seen by both decoders, any number of times at any place. */
export class Comparison {
  /** Our reading of the last place compared. */
  readonly ours = new Instruction();
  /** Places compared, and those that both read as an instruction. */
  compared = 0;
  defined = 0;
  /** How often each reason of `known-differences.ts` was needed. */
  readonly allowed = new Map<string, number>();
  /** What nothing explains, one line for each row and code size. */
  readonly differences = new Map<string, string>();
  /** For tests of the comparison itself: changes what we decoded. */
  spoil: ((ours: Instruction) => void) | undefined;
  private readonly theirs = new Oracle();

  /**
   * Compares at each place that `next` gives, until it gives -1. `next` is told the last place's length, or 0 where
   * there was no instruction. Bytes are copied once, so `bytes` may be long.
   */
  run(bytes: Uint8Array, size: CodeSize, next: (length: number) => number): void {
    const decoder = new Decoder(size, bytes, DecoderOptions.None);
    for (let place = next(0); place >= 0;) {
      const status = decode(bytes, place, bytes.length, size, this.ours);
      this.spoil?.(this.ours);
      decoder.position = place;
      decoder.ip = 0n;
      decoder.decodeOut(this.theirs);
      this.judge(status, size, decoder, bytes, place);
      place = next(status === DecodeStatus.OK ? this.ours.length : 0);
    }
    decoder.free();
  }

  /** One instruction that begins `bytes`; gives the status of ours. */
  one(bytes: Uint8Array, size: CodeSize): number {
    let place = 0;
    this.run(bytes, size, () => place--);
    return decode(bytes, 0, bytes.length, size, this.ours);
  }

  private judge(status: number, size: CodeSize, decoder: Decoder, bytes: Uint8Array, place: number): void {
    this.compared++;
    const found =
      this.theirs.code === Code.INVALID
        ? this.unreadable(status, decoder.lastError)
        : status === DecodeStatus.OK
          ? this.difference(size)
          : this.absent(status, size);
    if (found === undefined) return;
    const where = `${size}-bit ${hexBytes(bytes.subarray(place, place + 15))}`;
    this.differences.set(`${size} ${this.ours.opcode.encoding} ${Code[this.theirs.code]}`, `${where}: ${found}`);
  }

  /** iced-x86 reads no instruction. It does not tell too long from undefined. */
  private unreadable(status: number, error: number): string | undefined {
    if (status === DecodeStatus.OK)
      return `${format(this.ours, 0)} (${this.ours.opcode.encoding}), not ${DecoderError[error]}`;
    const truncated = status === DecodeStatus.TRUNCATED;
    return truncated === (error === DecoderError.NoMoreBytes)
      ? undefined
      : `status ${status}, not ${DecoderError[error]}`;
  }

  /** Undefined to us alone. */
  private absent(status: number, size: CodeSize): string | undefined {
    const why = status === DecodeStatus.UNDEFINED ? whyAbsent(this.theirs, size) : undefined;
    if (why === undefined) return `status ${status}, not ${Code[this.theirs.code]}`;
    this.allow(why);
    return undefined;
  }

  private allow(why: string): void {
    this.allowed.set(why, (this.allowed.get(why) ?? 0) + 1);
  }

  private difference(size: CodeSize): string | undefined {
    const { ours, theirs } = this;
    this.defined++;
    if (ours.length !== theirs.length)
      return `${ours.opcode.encoding}: length ${ours.length}, not ${theirs.length} ${Code[theirs.code]}`;
    return this.prefixDifference() ?? this.nameDifference(size);
  }

  private prefixDifference(): string | undefined {
    const { ours, theirs } = this;
    const expected = [operandSizes[theirs.code], addressSizes[theirs.code]];
    if (ours.lock !== theirs.hasLockPrefix) return `lock ${ours.lock}`;
    if (ours.opcode.repeat !== 'none' && (ours.rep === 0xf3) !== theirs.hasRepPrefix) return `REP ${ours.rep}`;
    if (ours.opcode.repeat !== 'none' && (ours.rep === 0xf2) !== theirs.hasRepnePrefix) return `REPNE ${ours.rep}`;
    if (expected[0] === 32 && ours.operandSize === 64 && WIDTH_IN_OPERAND.has(ours.opcode.mnemonic))
      this.allow(REX_W_IGNORED);
    else if (expected[0] !== 0 && ours.operandSize !== expected[0])
      return `${ours.opcode.encoding} operand size ${ours.operandSize}, not ${expected[0]} ${Code[theirs.code]}`;
    if (expected[1] !== 0 && ours.addressSize !== expected[1])
      return `${ours.opcode.encoding} address size ${ours.addressSize}, not ${expected[1]} ${Code[theirs.code]}`;
    return undefined;
  }

  private nameDifference(size: CodeSize): string | undefined {
    const { ours, theirs } = this;
    const name = Mnemonic[theirs.mnemonic].toUpperCase();
    const isHint = HINT_OPCODES.has(ours.opcode.id);
    if (mnemonicOf(ours) === (RENAMED[name] ?? name)) return this.operandDifference(size, isHint);
    if (!isHint) return `${mnemonicOf(ours)}, not ${name}`;
    this.allow(`${HINT}: ${name}`);
    return this.hintDifference(size);
  }

  /** The reserved NOPs have a register operand too, in iced-x86's eyes. */
  private operandDifference(size: CodeSize, isHint: boolean): string | undefined {
    const { ours, theirs } = this;
    const mine = ourOperands(ours);
    const count = isHint && ours.operandCount > 0 ? 1 : theirs.opCount;
    const expected = theirOperands(ours, theirs, size === 64, count);
    if (mine === expected) return undefined;
    return `${ours.opcode.encoding} ${mnemonicOf(ours)} ${mine}, not ${expected} ${Code[theirs.code]}`;
  }

  /** A named hint's operand may be wider or narrower than the NOP's; the address is the same. */
  private hintDifference(size: CodeSize): string | undefined {
    const { ours, theirs } = this;
    if (ours.operands[0].kind !== OperandKind.MEMORY) return undefined;
    const [, mine] = ourOperands(ours).split(' ');
    const [, expected] = theirOperands(ours, theirs, size === 64, 1).split(' ');
    return mine === expected ? undefined : `${ours.opcode.encoding} ${mine}, not ${expected} ${Code[theirs.code]}`;
  }
}
