// SPDX-License-Identifier: Apache-2.0
import { assert } from '../../base/assert.ts';

/** Value types of the WebAssembly binary format. */
export const I32 = 0x7f;
export const I64 = 0x7e;
export const F32 = 0x7d;
export const F64 = 0x7c;
export const V128 = 0x7b;
export type ValueType = typeof I32 | typeof I64 | typeof F32 | typeof F64 | typeof V128;

/** A growing byte buffer with the LEB128 forms of the binary format. */
class ByteWriter {
  bytes = new Uint8Array(1024);
  length = 0;

  byte(value: number): this {
    if (this.length === this.bytes.length) this.grow(1);
    this.bytes[this.length++] = value;
    return this;
  }

  append(source: ByteWriter): this {
    this.grow(source.length);
    this.bytes.set(source.bytes.subarray(0, source.length), this.length);
    this.length += source.length;
    return this;
  }

  unsigned(value: number): this {
    let rest = value >>> 0;
    while (rest > 0x7f) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    return this.byte(rest);
  }

  signed32(value: number): this {
    let rest = value | 0;
    for (;;) {
      const low = rest & 0x7f;
      rest >>= 7;
      if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) return this.byte(low);
      this.byte(low | 0x80);
    }
  }

  signed64(value: bigint): this {
    let rest = BigInt.asIntN(64, value);
    for (;;) {
      const low = Number(rest & 0x7fn);
      rest >>= 7n;
      if ((rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)) return this.byte(low);
      this.byte(low | 0x80);
    }
  }

  name(text: string): this {
    this.unsigned(text.length);
    for (let i = 0; i < text.length; i++) this.byte(text.charCodeAt(i));
    return this;
  }

  private grow(extra: number): void {
    if (this.length + extra <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.length + extra));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }
}

export interface FunctionType {
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
}

interface ImportedFunction {
  readonly name: string;
  readonly type: number;
}

interface DefinedFunction {
  readonly type: number;
  readonly code: FunctionCode;
  readonly exportName: string | undefined;
  /** What profiles and stack traces show. */
  readonly name: string | undefined;
}

/** The locals and the instruction bytes of one function. */
export class FunctionCode extends ByteWriter {
  readonly parameterCount: number;
  private readonly localTypes: ValueType[] = [];

  constructor(type: FunctionType) {
    super();
    this.parameterCount = type.parameters.length;
  }

  /** Declares a local and returns its index. */
  local(type: ValueType): number {
    this.localTypes.push(type);
    return this.parameterCount + this.localTypes.length - 1;
  }

  encodeTo(out: ByteWriter): void {
    const body = new ByteWriter();
    body.unsigned(this.localTypes.length);
    for (const type of this.localTypes) body.unsigned(1).byte(type);
    body.append(this).byte(0x0b);
    out.unsigned(body.length).append(body);
  }
}

/** A subsection of the custom section "name". */
const NAMES = { module: 0, functions: 1 } as const;

/** One module that imports memory `e.m` (and table `e.t` when asked) and functions of `e`. */
export class ModuleBuilder {
  private readonly types: FunctionType[] = [];
  private readonly imports: ImportedFunction[] = [];
  private readonly functions: DefinedFunction[] = [];
  private importsTable = false;
  private readonly name: string;

  /** `name`: of the module, in the URL that profiles show: wasm://wasm/NAME-HASH. ASCII, as all names. */
  constructor(name: string) {
    this.name = name;
  }

  importTable(): void {
    this.importsTable = true;
  }

  typeIndex(type: FunctionType): number {
    const key = (t: FunctionType) => `${t.parameters.join()}:${t.results.join()}`;
    const found = this.types.findIndex((t) => key(t) === key(type));
    if (found >= 0) return found;
    this.types.push(type);
    return this.types.length - 1;
  }

  /** All imports come before the first definition, as the index space demands. */
  importFunction(name: string, type: FunctionType): number {
    assert(this.functions.length === 0, `import ${name} after a definition`);
    this.imports.push({ name, type: this.typeIndex(type) });
    return this.imports.length - 1;
  }

  define(type: FunctionType, code: FunctionCode, exportName?: string, name = exportName): number {
    this.functions.push({ type: this.typeIndex(type), code, exportName, name });
    return this.imports.length + this.functions.length - 1;
  }

  /** Bytes of the code of each function, for tests of size. */
  codeSizes(): number[] {
    return this.functions.map((f) => f.code.length);
  }

  encode(): Uint8Array<ArrayBuffer> {
    const out = new ByteWriter();
    for (const byte of [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]) out.byte(byte);
    section(out, 1, (s) => this.encodeTypes(s));
    section(out, 2, (s) => this.encodeImports(s));
    section(out, 3, (s) => {
      s.unsigned(this.functions.length);
      for (const f of this.functions) s.unsigned(f.type);
    });
    section(out, 7, (s) => this.encodeExports(s));
    section(out, 10, (s) => {
      s.unsigned(this.functions.length);
      for (const f of this.functions) f.code.encodeTo(s);
    });
    section(out, 0, (s) => this.encodeNames(s.name('name')));
    return out.bytes.slice(0, out.length);
  }

  private encodeTypes(s: ByteWriter): void {
    s.unsigned(this.types.length);
    for (const type of this.types) {
      s.byte(0x60).unsigned(type.parameters.length);
      for (const p of type.parameters) s.byte(p);
      s.unsigned(type.results.length);
      for (const r of type.results) s.byte(r);
    }
  }

  private encodeImports(s: ByteWriter): void {
    s.unsigned(this.imports.length + 1 + (this.importsTable ? 1 : 0));
    s.name('e').name('m').byte(2).byte(0).unsigned(1);
    if (this.importsTable) s.name('e').name('t').byte(1).byte(0x70).byte(0).unsigned(0);
    for (const f of this.imports) s.name('e').name(f.name).byte(0).unsigned(f.type);
  }

  private encodeExports(s: ByteWriter): void {
    const exported = this.functions
      .map((f, i) => ({ name: f.exportName, index: this.imports.length + i }))
      .filter((f) => f.name !== undefined);
    s.unsigned(exported.length);
    for (const f of exported)
      s.name(f.name ?? '')
        .byte(0)
        .unsigned(f.index);
  }

  private encodeNames(s: ByteWriter): void {
    const named = this.functions
      .map(({ name }, i) => ({ name, index: this.imports.length + i }))
      .filter(({ name }) => name !== undefined);
    section(s, NAMES.module, (names) => void names.name(this.name));
    section(s, NAMES.functions, (names) => {
      names.unsigned(named.length);
      for (const { name, index } of named) names.unsigned(index).name(name ?? '');
    });
  }
}

function section(out: ByteWriter, id: number, fill: (s: ByteWriter) => void): void {
  const body = new ByteWriter();
  fill(body);
  out.byte(id).unsigned(body.length).append(body);
}
