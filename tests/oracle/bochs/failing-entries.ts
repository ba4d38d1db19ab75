// SPDX-License-Identifier: Apache-2.0
// Table: VM entries that fail, each by one field: how, on our machine and in Bochs. The scripted L1 of tests/nested tries
// one after the other.
import { ENCODING } from '../../../src/arch/vmx/fields.ts';
import type { FieldName } from '../../../src/arch/vmx/fields.ts';
import { Pc } from '../../../src/system/pc.ts';
import { IMAGES, readImage } from '../../nested/image.ts';
import { controlsField, kernelOf } from '../../nested/scripted/image.ts';
import type { Operation, Program } from '../../nested/scripted/image.ts';
import { initialFields } from '../../nested/scripted/initial-fields.ts';
import { AT } from '../../nested/scripted/layout.ts';
import { runInBochs } from './bochs.ts';

type Value = number | bigint;

const NOT_CANONICAL = 0x8000_0000_0000n;
const BEYOND_MEMORY = 1n << 50n;

/** A field, and the value that is refused; more fields where one alone cannot be wrong. */
// prettier-ignore
export const FAILING: readonly (readonly [FieldName, Value, ...(readonly (FieldName | Value)[])])[] = [
  ['PIN_BASED_VM_EXEC_CONTROL', 0], ['CPU_BASED_VM_EXEC_CONTROL', 0], ['VM_EXIT_CONTROLS', 0], ['VM_ENTRY_CONTROLS', 0],
  ['CR3_TARGET_COUNT', 5],
  ['VM_EXIT_MSR_STORE_COUNT', 1, 'VM_EXIT_MSR_STORE_ADDR', 8], ['VM_EXIT_MSR_LOAD_COUNT', 1, 'VM_EXIT_MSR_LOAD_ADDR', 8],
  ['VM_ENTRY_MSR_LOAD_COUNT', 1, 'VM_ENTRY_MSR_LOAD_ADDR', 8], ['VM_ENTRY_MSR_LOAD_COUNT', 1, 'VM_ENTRY_MSR_LOAD_ADDR', BEYOND_MEMORY],
  ['VM_ENTRY_INTR_INFO_FIELD', 0x80000100], ['VM_ENTRY_INTR_INFO_FIELD', 0x80000203], ['VM_ENTRY_INTR_INFO_FIELD', 0x80000320],
  ['VM_ENTRY_INTR_INFO_FIELD', 0x80000b01], ['VM_ENTRY_INTR_INFO_FIELD', 0x8000030d], ['VM_ENTRY_INTR_INFO_FIELD', 0x80001030],
  ['VM_ENTRY_INTR_INFO_FIELD', 0x80000b0d, 'VM_ENTRY_EXCEPTION_ERROR_CODE', 0x10000],
  ['VM_ENTRY_INTR_INFO_FIELD', 0x80000430, 'VM_ENTRY_INSTRUCTION_LEN', 16],
  // Not the injection of a pending MTF VM exit: Bochs gives up at it.
  ['HOST_CR0', 0x80000030], ['HOST_CR0', 0x31], ['HOST_CR4', 0x406a0], ['HOST_CR4', 0x42680], ['HOST_CR3', BEYOND_MEMORY],
  ['HOST_ES_SELECTOR', 0x13], ['HOST_CS_SELECTOR', 0], ['HOST_CS_SELECTOR', 0x0c], ['HOST_SS_SELECTOR', 0x11], ['HOST_DS_SELECTOR', 0x14],
  ['HOST_FS_SELECTOR', 0x17], ['HOST_GS_SELECTOR', 1], ['HOST_TR_SELECTOR', 0], ['HOST_TR_SELECTOR', 0x1b],
  ['HOST_FS_BASE', NOT_CANONICAL], ['HOST_GS_BASE', NOT_CANONICAL], ['HOST_TR_BASE', NOT_CANONICAL], ['HOST_GDTR_BASE', NOT_CANONICAL],
  ['HOST_IDTR_BASE', NOT_CANONICAL], ['HOST_IA32_SYSENTER_ESP', NOT_CANONICAL], ['HOST_IA32_SYSENTER_EIP', NOT_CANONICAL],
  ['HOST_RIP', NOT_CANONICAL],
  ['GUEST_CR0', 0x80000030], ['GUEST_CR0', 0x80000011], ['GUEST_CR4', 0x406a0], ['GUEST_CR4', 0x42680], ['GUEST_CR3', BEYOND_MEMORY],
  ['GUEST_SYSENTER_ESP', NOT_CANONICAL], ['GUEST_SYSENTER_EIP', NOT_CANONICAL],
  ['GUEST_RFLAGS', 0], ['GUEST_RFLAGS', 0x8002], ['GUEST_RFLAGS', 0x20002], ['GUEST_RFLAGS', 0x40_0002],
  ['GUEST_TR_SELECTOR', 0x1c], ['GUEST_SS_SELECTOR', 0x13],
  ['GUEST_CS_AR_BYTES', 0xa093], ['GUEST_CS_AR_BYTES', 0xe09b], ['GUEST_CS_AR_BYTES', 0xa01b], ['GUEST_CS_AR_BYTES', 0xa08b], ['GUEST_CS_AR_BYTES', 0xa09a],
  ['GUEST_CS_AR_BYTES', 0xa0fb], ['GUEST_CS_AR_BYTES', 0xa19b], ['GUEST_CS_AR_BYTES', 0x209b], 
  ['GUEST_SS_AR_BYTES', 0xc09b], ['GUEST_SS_AR_BYTES', 0xc013], ['GUEST_SS_AR_BYTES', 0xc083], ['GUEST_SS_AR_BYTES', 0xc0f3], ['GUEST_SS_AR_BYTES', 0xc193],
  ['GUEST_SS_AR_BYTES', 0x4093], ['GUEST_SS_LIMIT', 0xffff0000],
  ['GUEST_DS_AR_BYTES', 0xc092], ['GUEST_DS_AR_BYTES', 0xc099], ['GUEST_DS_AR_BYTES', 0xc013], ['GUEST_DS_AR_BYTES', 0xc083], ['GUEST_ES_AR_BYTES', 0xcf93],
  ['GUEST_FS_AR_BYTES', 0x4093], ['GUEST_GS_AR_BYTES', 0xc0082],
  ['GUEST_TR_AR_BYTES', 0x89], ['GUEST_TR_AR_BYTES', 0x83], ['GUEST_TR_AR_BYTES', 0x9b], ['GUEST_TR_AR_BYTES', 0x0b], ['GUEST_TR_AR_BYTES', 0x1008b],
  ['GUEST_TR_AR_BYTES', 0x808b], ['GUEST_TR_AR_BYTES', 0x18b],
  ['GUEST_LDTR_AR_BYTES', 0x83], ['GUEST_LDTR_AR_BYTES', 0x92], ['GUEST_LDTR_AR_BYTES', 2], ['GUEST_LDTR_AR_BYTES', 0x82, 'GUEST_LDTR_SELECTOR', 0x0c],
  ['GUEST_FS_BASE', NOT_CANONICAL], ['GUEST_GS_BASE', NOT_CANONICAL], ['GUEST_TR_BASE', NOT_CANONICAL], ['GUEST_CS_BASE', 1n << 32n], ['GUEST_SS_BASE', 1n << 32n],
  ['GUEST_GDTR_BASE', NOT_CANONICAL], ['GUEST_IDTR_BASE', NOT_CANONICAL], ['GUEST_GDTR_LIMIT', 0x10000], ['GUEST_IDTR_LIMIT', 0x10000],
  // Not bits 63:48 of RIP: Bochs does not compare them.
  ['GUEST_ACTIVITY_STATE', 4], ['GUEST_INTERRUPTIBILITY_INFO', 1], ['GUEST_INTERRUPTIBILITY_INFO', 3], ['GUEST_INTERRUPTIBILITY_INFO', 0x20],
  ['GUEST_ACTIVITY_STATE', 1, 'GUEST_INTERRUPTIBILITY_INFO', 2], ['GUEST_PENDING_DBG_EXCEPTIONS', 0x10],
  ['VMCS_LINK_POINTER', 1], ['VMCS_LINK_POINTER', BEYOND_MEMORY], ['VMCS_LINK_POINTER', AT.VMCS_REGION],
];

const PROFILE = 'modern-1';
const MOST_TICKS = 4e6;
const SECONDS = 60;
const ENTRY_IN_HEADER = 28;
/** MOV DX, F4h; OUT DX, EAX; HLT: L1's end. */
const END = Buffer.from([0x66, 0xba, 0xf4, 0x00, 0xef, 0xf4]);
/** RFLAGS; the error, or the time after an exit; reason; qualification. */
const WORDS = 4;
const MAXIMUM_ERROR = 64n;

interface Tried {
  readonly what: string;
  /** VM-instruction error, or 0 after an exit. */
  readonly error: bigint;
  readonly reason: bigint;
  readonly qualification: bigint;
}

/** Try, tell, and make it right again. */
function script(onExit: number): Operation[] {
  const sound = new Map<FieldName, Value>([...initialFields(PROFILE, 'long', onExit), ...soundControls()]);
  const restore = (field: FieldName): Operation => ['vmwrite', ENCODING[field], sound.get(field) ?? 0];
  return FAILING.flatMap((row): Operation[] => {
    const pairs = Array.from(
      { length: row.length / 2 },
      (_, n) => [row[2 * n] as FieldName, row[2 * n + 1] as Value] as const,
    );
    return [
      ...pairs.map(([field, value]): Operation => ['vmwrite', ENCODING[field], value]),
      ['launch'],
      ['vmread', ENCODING.VM_EXIT_REASON],
      ['vmread', ENCODING.EXIT_QUALIFICATION],
      ...pairs.map(([field]) => restore(field)),
    ];
  });
}

function tried(log: BigUint64Array): Tried[] {
  return FAILING.map((row, n) => {
    const [, second, reason, qualification] = log.subarray(n * WORDS, (n + 1) * WORDS);
    // After an exit L1 writes the time down in the place of the error.
    const error = second < MAXIMUM_ERROR ? second : 0n;
    return {
      what: row.map((part) => (typeof part === 'string' ? part : `0x${part.toString(16)}`)).join(' '),
      error,
      reason,
      qualification,
    };
  });
}

function soundControls(): [FieldName, Value][] {
  return [
    ['PIN_BASED_VM_EXEC_CONTROL', controlsField(PROFILE, 'pin', [])],
    ['CPU_BASED_VM_EXEC_CONTROL', controlsField(PROFILE, 'primary', [])],
    ['VM_EXIT_CONTROLS', controlsField(PROFILE, 'exit', ['exit.HOST_ADDRESS_SPACE_SIZE'])],
    ['VM_ENTRY_CONTROLS', controlsField(PROFILE, 'entry', ['entry.IA32E_MODE_GUEST'])],
  ];
}

function kernel(): { kernel: Uint8Array; entry: number; end: number } {
  const code = readImage(IMAGES.scripted).bytes;
  const onExit = Number(new DataView(code.buffer, code.byteOffset).getBigUint64(code.length - 16, true));
  const program: Program = {
    ...{
      profile: PROFILE,
      mode: 'long',
      processors: 1,
      signals: [],
      controls: [],
      fields: {},
      l2: '0f 01 c1',
      memory: () => [],
    },
    script: () => [...script(onExit), ['finish']],
  };
  const kernel = kernelOf(program, code);
  const view = new DataView(kernel.buffer);
  return {
    kernel,
    entry: view.getUint32(ENTRY_IN_HEADER, true),
    end: AT.ORIGIN + Buffer.from(kernel).indexOf(END) + 4,
  };
}

/** Every attempt that did not end in the same way, and how many there were. */
export async function compareFailingEntries(): Promise<{
  differences: string[];
  entries: number;
  failures: Set<string>;
}> {
  const { kernel: image, entry, end } = kernel();
  const length = FAILING.length * WORDS * 8;
  const pc = new Pc({
    ...{ serial: [], disks: [], startTime: 0, ramBytes: 16 << 20, processors: 1, frequencyHz: 1e9, seed: 1 },
    ...{ vmxProfile: PROFILE, debugExit: { port: 0xf4, size: 4 } },
  });
  pc.boot({ kernel: image, kernelName: 'scripted', commandLine: '', modules: [] });
  pc.run(MOST_TICKS);
  const bytes = new Uint8Array(length);
  pc.machine.memory.read(AT.LOG, bytes);
  const [log] = await runInBochs({
    image,
    entry,
    stopAt: end,
    read: [{ address: AT.LOG, bytes: length }],
    seconds: SECONDS,
  });
  const ours = tried(new BigUint64Array(bytes.buffer));
  const theirs = tried(new BigUint64Array(log.buffer.slice(log.byteOffset, log.byteOffset + length)));
  const differences = ours.flatMap((mine, n) =>
    told(mine) === told(theirs[n]) ? [] : [`${mine.what}: ${told(mine)}, theirs ${told(theirs[n])}`],
  );
  return {
    differences,
    entries: ours.length,
    failures: new Set(
      ours.map(({ error, reason }) => (error === 0n ? `reason ${reason & 0xffffn}` : `error ${error}`)),
    ),
  };
}

/** After a VMfail the fields of the exit are those of the one before. */
function told({ error, reason, qualification }: Tried): string {
  return error === 0n ? `reason ${reason.toString(16)} qualification ${qualification.toString(16)}` : `error ${error}`;
}
