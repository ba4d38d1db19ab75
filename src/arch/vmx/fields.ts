// SPDX-License-Identifier: Apache-2.0
// Every field of the VMCS, in the order of the manual. Names are the SDM's in the upper-case form that KVM made usual.
// See: SDM Appendix B Field Encoding in VMCS

import { parseEncoding, regionOffset } from './encoding.ts';
import type { FieldArea, FieldWidth } from './encoding.ts';
import type { ControlKey } from './controls.ts';

export type FieldAccess = 'rw' | 'ro';
/** On a processor that supports none of these controls the field does not exist: VMREAD and VMWRITE give error 12. */
export type ExistsWhen = 'always' | readonly [ControlKey, ...ControlKey[]];

export interface FieldRow<Name extends string = string> {
  /** With access type "full"; a 64-bit field's upper half is this + 1. */
  readonly encoding: number;
  readonly name: Name;
  readonly width: FieldWidth;
  readonly area: FieldArea;
  /** 'ro' fields can be written only where IA32_VMX_MISC[29] is 1. */
  readonly access: FieldAccess;
  readonly existsWhen: ExistsWhen;
  /** The manual's words. */
  readonly title: string;
  /** Byte offset in the VMCS region. Every field occupies 8 bytes, zero-extended, so VMREAD is a load. */
  readonly offset: number;
}

function row<const Name extends string>(
  encoding: number,
  name: Name,
  width: FieldWidth,
  area: FieldArea,
  access: FieldAccess,
  existsWhen: ExistsWhen,
  title: string,
): FieldRow<Name> {
  return { encoding, name, width, area, access, existsWhen, title, offset: regionOffset(encoding) };
}

const always = 'always';
const when = (...controls: [ControlKey, ...ControlKey[]]): ExistsWhen => controls;

// prettier-ignore
export const FIELDS = [
  // Table B-1. Encoding for 16-Bit Control Fields
  row(0x0000, 'VIRTUAL_PROCESSOR_ID',          'u16',     'control',         'rw', when('secondary.ENABLE_VPID'),                     'Virtual-processor identifier (VPID)'),
  row(0x0002, 'POSTED_INTR_NV',                'u16',     'control',         'rw', when('pin.PROCESS_POSTED_INTERRUPTS'),             'Posted-interrupt notification vector'),
  row(0x0004, 'EPTP_INDEX',                    'u16',     'control',         'rw', when('secondary.EPT_VIOLATION_VE'),                'EPTP index'),
  row(0x0006, 'HLAT_PREFIX_SIZE',              'u16',     'control',         'rw', when('tertiary.ENABLE_HLAT'),                      'HLAT prefix size'),
  row(0x0008, 'LAST_PID_POINTER_INDEX',        'u16',     'control',         'rw', when('tertiary.IPI_VIRTUALIZATION'),               'Last PID-pointer index'),
  // Table B-2. Encodings for 16-Bit Guest-State Fields
  row(0x0800, 'GUEST_ES_SELECTOR',             'u16',     'guest',           'rw', always,                                            'Guest ES selector'),
  row(0x0802, 'GUEST_CS_SELECTOR',             'u16',     'guest',           'rw', always,                                            'Guest CS selector'),
  row(0x0804, 'GUEST_SS_SELECTOR',             'u16',     'guest',           'rw', always,                                            'Guest SS selector'),
  row(0x0806, 'GUEST_DS_SELECTOR',             'u16',     'guest',           'rw', always,                                            'Guest DS selector'),
  row(0x0808, 'GUEST_FS_SELECTOR',             'u16',     'guest',           'rw', always,                                            'Guest FS selector'),
  row(0x080a, 'GUEST_GS_SELECTOR',             'u16',     'guest',           'rw', always,                                            'Guest GS selector'),
  row(0x080c, 'GUEST_LDTR_SELECTOR',           'u16',     'guest',           'rw', always,                                            'Guest LDTR selector'),
  row(0x080e, 'GUEST_TR_SELECTOR',             'u16',     'guest',           'rw', always,                                            'Guest TR selector'),
  row(0x0810, 'GUEST_INTR_STATUS',             'u16',     'guest',           'rw', when('secondary.VIRTUAL_INTERRUPT_DELIVERY'),      'Guest interrupt status'),
  row(0x0812, 'GUEST_PML_INDEX',               'u16',     'guest',           'rw', when('secondary.ENABLE_PML'),                      'PML index'),
  row(0x0814, 'GUEST_UINV',                    'u16',     'guest',           'rw', when('entry.LOAD_UINV', 'exit.CLEAR_UINV'),        'Guest UINV'),
  // Table B-3. Encodings for 16-Bit Host-State Fields
  row(0x0c00, 'HOST_ES_SELECTOR',              'u16',     'host',            'rw', always,                                            'Host ES selector'),
  row(0x0c02, 'HOST_CS_SELECTOR',              'u16',     'host',            'rw', always,                                            'Host CS selector'),
  row(0x0c04, 'HOST_SS_SELECTOR',              'u16',     'host',            'rw', always,                                            'Host SS selector'),
  row(0x0c06, 'HOST_DS_SELECTOR',              'u16',     'host',            'rw', always,                                            'Host DS selector'),
  row(0x0c08, 'HOST_FS_SELECTOR',              'u16',     'host',            'rw', always,                                            'Host FS selector'),
  row(0x0c0a, 'HOST_GS_SELECTOR',              'u16',     'host',            'rw', always,                                            'Host GS selector'),
  row(0x0c0c, 'HOST_TR_SELECTOR',              'u16',     'host',            'rw', always,                                            'Host TR selector'),
  // Table B-4. Encodings for 64-Bit Control Fields
  row(0x2000, 'IO_BITMAP_A',                   'u64',     'control',         'rw', when('primary.USE_IO_BITMAPS'),                    'Address of I/O bitmap A'),
  row(0x2002, 'IO_BITMAP_B',                   'u64',     'control',         'rw', when('primary.USE_IO_BITMAPS'),                    'Address of I/O bitmap B'),
  row(0x2004, 'MSR_BITMAP',                    'u64',     'control',         'rw', when('primary.USE_MSR_BITMAPS'),                   'Address of MSR bitmaps'),
  row(0x2006, 'VM_EXIT_MSR_STORE_ADDR',        'u64',     'control',         'rw', always,                                            'VM-exit MSR-store address'),
  row(0x2008, 'VM_EXIT_MSR_LOAD_ADDR',         'u64',     'control',         'rw', always,                                            'VM-exit MSR-load address'),
  row(0x200a, 'VM_ENTRY_MSR_LOAD_ADDR',        'u64',     'control',         'rw', always,                                            'VM-entry MSR-load address'),
  row(0x200c, 'EXECUTIVE_VMCS_POINTER',        'u64',     'control',         'rw', always,                                            'Executive-VMCS pointer'),
  row(0x200e, 'PML_ADDRESS',                   'u64',     'control',         'rw', when('secondary.ENABLE_PML'),                      'PML address'),
  row(0x2010, 'TSC_OFFSET',                    'u64',     'control',         'rw', always,                                            'TSC offset'),
  row(0x2012, 'VIRTUAL_APIC_PAGE_ADDR',        'u64',     'control',         'rw', when('primary.USE_TPR_SHADOW'),                    'Virtual-APIC address'),
  row(0x2014, 'APIC_ACCESS_ADDR',              'u64',     'control',         'rw', when('secondary.VIRTUALIZE_APIC_ACCESSES'),        'APIC-access address'),
  row(0x2016, 'POSTED_INTR_DESC_ADDR',         'u64',     'control',         'rw', when('pin.PROCESS_POSTED_INTERRUPTS'),             'Posted-interrupt descriptor address'),
  row(0x2018, 'VM_FUNCTION_CONTROL',           'u64',     'control',         'rw', when('secondary.ENABLE_VM_FUNCTIONS'),             'VM-function controls'),
  row(0x201a, 'EPT_POINTER',                   'u64',     'control',         'rw', when('secondary.ENABLE_EPT'),                      'EPT pointer (EPTP)'),
  row(0x201c, 'EOI_EXIT_BITMAP0',              'u64',     'control',         'rw', when('secondary.VIRTUAL_INTERRUPT_DELIVERY'),      'EOI-exit bitmap 0'),
  row(0x201e, 'EOI_EXIT_BITMAP1',              'u64',     'control',         'rw', when('secondary.VIRTUAL_INTERRUPT_DELIVERY'),      'EOI-exit bitmap 1'),
  row(0x2020, 'EOI_EXIT_BITMAP2',              'u64',     'control',         'rw', when('secondary.VIRTUAL_INTERRUPT_DELIVERY'),      'EOI-exit bitmap 2'),
  row(0x2022, 'EOI_EXIT_BITMAP3',              'u64',     'control',         'rw', when('secondary.VIRTUAL_INTERRUPT_DELIVERY'),      'EOI-exit bitmap 3'),
  row(0x2024, 'EPTP_LIST_ADDRESS',             'u64',     'control',         'rw', when('secondary.ENABLE_VM_FUNCTIONS'),             'EPTP-list address'),
  row(0x2026, 'VMREAD_BITMAP',                 'u64',     'control',         'rw', when('secondary.VMCS_SHADOWING'),                  'VMREAD-bitmap address'),
  row(0x2028, 'VMWRITE_BITMAP',                'u64',     'control',         'rw', when('secondary.VMCS_SHADOWING'),                  'VMWRITE-bitmap address'),
  row(0x202a, 'VE_INFORMATION_ADDRESS',        'u64',     'control',         'rw', when('secondary.EPT_VIOLATION_VE'),                'Virtualization-exception information address'),
  row(0x202c, 'XSS_EXIT_BITMAP',               'u64',     'control',         'rw', when('secondary.ENABLE_XSAVES_XRSTORS'),           'XSS-exiting bitmap'),
  row(0x202e, 'ENCLS_EXITING_BITMAP',          'u64',     'control',         'rw', when('secondary.ENABLE_ENCLS_EXITING'),            'ENCLS-exiting bitmap'),
  row(0x2030, 'SPP_TABLE_POINTER',             'u64',     'control',         'rw', when('secondary.SUB_PAGE_WRITE_PERMISSIONS'),      'Sub-page-permission-table pointer'),
  row(0x2032, 'TSC_MULTIPLIER',                'u64',     'control',         'rw', when('secondary.USE_TSC_SCALING'),                 'TSC multiplier'),
  row(0x2034, 'TERTIARY_VM_EXEC_CONTROL',      'u64',     'control',         'rw', when('primary.ACTIVATE_TERTIARY_CONTROLS'),        'Tertiary processor-based VM-execution controls'),
  row(0x2036, 'ENCLV_EXITING_BITMAP',          'u64',     'control',         'rw', when('secondary.ENABLE_ENCLV_EXITING'),            'ENCLV-exiting bitmap'),
  row(0x2038, 'LOW_PASID_DIRECTORY_ADDRESS',   'u64',     'control',         'rw', when('secondary.PASID_TRANSLATION'),               'Low PASID directory address'),
  row(0x203a, 'HIGH_PASID_DIRECTORY_ADDRESS',  'u64',     'control',         'rw', when('secondary.PASID_TRANSLATION'),               'High PASID directory address'),
  row(0x203c, 'SHARED_EPT_POINTER',            'u64',     'control',         'rw', when('tertiary.SEAM_GUEST_PHYSICAL_ADDRESS_WIDTH'),'Shared EPT pointer'),
  row(0x203e, 'PCONFIG_EXITING_BITMAP',        'u64',     'control',         'rw', when('secondary.ENABLE_PCONFIG'),                  'PCONFIG-exiting bitmap'),
  row(0x2040, 'HLAT_POINTER',                  'u64',     'control',         'rw', when('tertiary.ENABLE_HLAT'),                      'Hypervisor-managed linear-address translation pointer (HLATP)'),
  row(0x2042, 'PID_POINTER_TABLE',             'u64',     'control',         'rw', when('tertiary.IPI_VIRTUALIZATION'),               'PID-pointer table address'),
  row(0x2044, 'SECONDARY_VM_EXIT_CONTROLS',    'u64',     'control',         'rw', when('exit.ACTIVATE_SECONDARY_CONTROLS'),          'Secondary VM-exit controls'),
  row(0x204a, 'IA32_SPEC_CTRL_MASK',           'u64',     'control',         'rw', when('tertiary.VIRTUALIZE_IA32_SPEC_CTRL'),        'IA32_SPEC_CTRL mask'),
  row(0x204c, 'IA32_SPEC_CTRL_SHADOW',         'u64',     'control',         'rw', when('tertiary.VIRTUALIZE_IA32_SPEC_CTRL'),        'IA32_SPEC_CTRL shadow'),
  // Table B-5. Encodings for 64-Bit Read-Only Data Field
  row(0x2400, 'GUEST_PHYSICAL_ADDRESS',        'u64',     'exitInformation', 'ro', when('secondary.ENABLE_EPT'),                      'Guest-physical address'),
  // Table B-6. Encodings for 64-Bit Guest-State Fields
  row(0x2800, 'VMCS_LINK_POINTER',             'u64',     'guest',           'rw', always,                                            'VMCS link pointer'),
  row(0x2802, 'GUEST_IA32_DEBUGCTL',           'u64',     'guest',           'rw', always,                                            'Guest IA32_DEBUGCTL'),
  row(0x2804, 'GUEST_IA32_PAT',                'u64',     'guest',           'rw', when('entry.LOAD_IA32_PAT', 'exit.SAVE_IA32_PAT'), 'Guest IA32_PAT'),
  row(0x2806, 'GUEST_IA32_EFER',               'u64',     'guest',           'rw', when('entry.LOAD_IA32_EFER', 'exit.SAVE_IA32_EFER'),'Guest IA32_EFER'),
  row(0x2808, 'GUEST_IA32_PERF_GLOBAL_CTRL',   'u64',     'guest',           'rw', when('entry.LOAD_IA32_PERF_GLOBAL_CTRL', 'exit.SAVE_IA32_PERF_GLOBAL_CTRL'), 'Guest IA32_PERF_GLOBAL_CTRL'),
  row(0x280a, 'GUEST_PDPTR0',                  'u64',     'guest',           'rw', when('secondary.ENABLE_EPT'),                      'Guest PDPTE0'),
  row(0x280c, 'GUEST_PDPTR1',                  'u64',     'guest',           'rw', when('secondary.ENABLE_EPT'),                      'Guest PDPTE1'),
  row(0x280e, 'GUEST_PDPTR2',                  'u64',     'guest',           'rw', when('secondary.ENABLE_EPT'),                      'Guest PDPTE2'),
  row(0x2810, 'GUEST_PDPTR3',                  'u64',     'guest',           'rw', when('secondary.ENABLE_EPT'),                      'Guest PDPTE3'),
  row(0x2812, 'GUEST_BNDCFGS',                 'u64',     'guest',           'rw', when('entry.LOAD_IA32_BNDCFGS', 'exit.CLEAR_IA32_BNDCFGS'), 'Guest IA32_BNDCFGS'),
  row(0x2814, 'GUEST_IA32_RTIT_CTL',           'u64',     'guest',           'rw', when('entry.LOAD_IA32_RTIT_CTL', 'exit.CLEAR_IA32_RTIT_CTL'), 'Guest IA32_RTIT_CTL'),
  row(0x2816, 'GUEST_IA32_LBR_CTL',            'u64',     'guest',           'rw', when('entry.LOAD_GUEST_IA32_LBR_CTL', 'exit.CLEAR_IA32_LBR_CTL'), 'Guest IA32_LBR_CTL'),
  row(0x2818, 'GUEST_IA32_PKRS',               'u64',     'guest',           'rw', when('entry.LOAD_PKRS'),                           'Guest IA32_PKRS'),
  // Table B-7. Encodings for 64-Bit Host-State Fields
  row(0x2c00, 'HOST_IA32_PAT',                 'u64',     'host',            'rw', when('exit.LOAD_IA32_PAT'),                        'Host IA32_PAT'),
  row(0x2c02, 'HOST_IA32_EFER',                'u64',     'host',            'rw', when('exit.LOAD_IA32_EFER'),                       'Host IA32_EFER'),
  row(0x2c04, 'HOST_IA32_PERF_GLOBAL_CTRL',    'u64',     'host',            'rw', when('exit.LOAD_IA32_PERF_GLOBAL_CTRL'),           'Host IA32_PERF_GLOBAL_CTRL'),
  row(0x2c06, 'HOST_IA32_PKRS',                'u64',     'host',            'rw', when('exit.LOAD_PKRS'),                            'Host IA32_PKRS'),
  // Table B-8. Encodings for 32-Bit Control Fields
  row(0x4000, 'PIN_BASED_VM_EXEC_CONTROL',     'u32',     'control',         'rw', always,                                            'Pin-based VM-execution controls'),
  row(0x4002, 'CPU_BASED_VM_EXEC_CONTROL',     'u32',     'control',         'rw', always,                                            'Primary processor-based VM-execution controls'),
  row(0x4004, 'EXCEPTION_BITMAP',              'u32',     'control',         'rw', always,                                            'Exception bitmap'),
  row(0x4006, 'PAGE_FAULT_ERROR_CODE_MASK',    'u32',     'control',         'rw', always,                                            'Page-fault error-code mask'),
  row(0x4008, 'PAGE_FAULT_ERROR_CODE_MATCH',   'u32',     'control',         'rw', always,                                            'Page-fault error-code match'),
  row(0x400a, 'CR3_TARGET_COUNT',              'u32',     'control',         'rw', always,                                            'CR3-target count'),
  row(0x400c, 'VM_EXIT_CONTROLS',              'u32',     'control',         'rw', always,                                            'Primary VM-exit controls'),
  row(0x400e, 'VM_EXIT_MSR_STORE_COUNT',       'u32',     'control',         'rw', always,                                            'VM-exit MSR-store count'),
  row(0x4010, 'VM_EXIT_MSR_LOAD_COUNT',        'u32',     'control',         'rw', always,                                            'VM-exit MSR-load count'),
  row(0x4012, 'VM_ENTRY_CONTROLS',             'u32',     'control',         'rw', always,                                            'VM-entry controls'),
  row(0x4014, 'VM_ENTRY_MSR_LOAD_COUNT',       'u32',     'control',         'rw', always,                                            'VM-entry MSR-load count'),
  row(0x4016, 'VM_ENTRY_INTR_INFO_FIELD',      'u32',     'control',         'rw', always,                                            'VM-entry interruption-information field'),
  row(0x4018, 'VM_ENTRY_EXCEPTION_ERROR_CODE', 'u32',     'control',         'rw', always,                                            'VM-entry exception error code'),
  row(0x401a, 'VM_ENTRY_INSTRUCTION_LEN',      'u32',     'control',         'rw', always,                                            'VM-entry instruction length'),
  row(0x401c, 'TPR_THRESHOLD',                 'u32',     'control',         'rw', when('primary.USE_TPR_SHADOW'),                    'TPR threshold'),
  row(0x401e, 'SECONDARY_VM_EXEC_CONTROL',     'u32',     'control',         'rw', when('primary.ACTIVATE_SECONDARY_CONTROLS'),       'Secondary processor-based VM-execution controls'),
  row(0x4020, 'PLE_GAP',                       'u32',     'control',         'rw', when('secondary.PAUSE_LOOP_EXITING'),              'PLE_Gap'),
  row(0x4022, 'PLE_WINDOW',                    'u32',     'control',         'rw', when('secondary.PAUSE_LOOP_EXITING'),              'PLE_Window'),
  row(0x4024, 'INSTRUCTION_TIMEOUT_CONTROL',   'u32',     'control',         'rw', when('secondary.INSTRUCTION_TIMEOUT'),             'Instruction-timeout control'),
  // Table B-9. Encodings for 32-Bit Read-Only Data Fields
  row(0x4400, 'VM_INSTRUCTION_ERROR',          'u32',     'exitInformation', 'ro', always,                                            'VM-instruction error'),
  row(0x4402, 'VM_EXIT_REASON',                'u32',     'exitInformation', 'ro', always,                                            'Exit reason'),
  row(0x4404, 'VM_EXIT_INTR_INFO',             'u32',     'exitInformation', 'ro', always,                                            'VM-exit interruption information'),
  row(0x4406, 'VM_EXIT_INTR_ERROR_CODE',       'u32',     'exitInformation', 'ro', always,                                            'VM-exit interruption error code'),
  row(0x4408, 'IDT_VECTORING_INFO_FIELD',      'u32',     'exitInformation', 'ro', always,                                            'IDT-vectoring information field'),
  row(0x440a, 'IDT_VECTORING_ERROR_CODE',      'u32',     'exitInformation', 'ro', always,                                            'IDT-vectoring error code'),
  row(0x440c, 'VM_EXIT_INSTRUCTION_LEN',       'u32',     'exitInformation', 'ro', always,                                            'VM-exit instruction length'),
  row(0x440e, 'VMX_INSTRUCTION_INFO',          'u32',     'exitInformation', 'ro', always,                                            'VM-exit instruction information'),
  // Table B-10. Encodings for 32-Bit Guest-State Fields
  row(0x4800, 'GUEST_ES_LIMIT',                'u32',     'guest',           'rw', always,                                            'Guest ES limit'),
  row(0x4802, 'GUEST_CS_LIMIT',                'u32',     'guest',           'rw', always,                                            'Guest CS limit'),
  row(0x4804, 'GUEST_SS_LIMIT',                'u32',     'guest',           'rw', always,                                            'Guest SS limit'),
  row(0x4806, 'GUEST_DS_LIMIT',                'u32',     'guest',           'rw', always,                                            'Guest DS limit'),
  row(0x4808, 'GUEST_FS_LIMIT',                'u32',     'guest',           'rw', always,                                            'Guest FS limit'),
  row(0x480a, 'GUEST_GS_LIMIT',                'u32',     'guest',           'rw', always,                                            'Guest GS limit'),
  row(0x480c, 'GUEST_LDTR_LIMIT',              'u32',     'guest',           'rw', always,                                            'Guest LDTR limit'),
  row(0x480e, 'GUEST_TR_LIMIT',                'u32',     'guest',           'rw', always,                                            'Guest TR limit'),
  row(0x4810, 'GUEST_GDTR_LIMIT',              'u32',     'guest',           'rw', always,                                            'Guest GDTR limit'),
  row(0x4812, 'GUEST_IDTR_LIMIT',              'u32',     'guest',           'rw', always,                                            'Guest IDTR limit'),
  row(0x4814, 'GUEST_ES_AR_BYTES',             'u32',     'guest',           'rw', always,                                            'Guest ES access rights'),
  row(0x4816, 'GUEST_CS_AR_BYTES',             'u32',     'guest',           'rw', always,                                            'Guest CS access rights'),
  row(0x4818, 'GUEST_SS_AR_BYTES',             'u32',     'guest',           'rw', always,                                            'Guest SS access rights'),
  row(0x481a, 'GUEST_DS_AR_BYTES',             'u32',     'guest',           'rw', always,                                            'Guest DS access rights'),
  row(0x481c, 'GUEST_FS_AR_BYTES',             'u32',     'guest',           'rw', always,                                            'Guest FS access rights'),
  row(0x481e, 'GUEST_GS_AR_BYTES',             'u32',     'guest',           'rw', always,                                            'Guest GS access rights'),
  row(0x4820, 'GUEST_LDTR_AR_BYTES',           'u32',     'guest',           'rw', always,                                            'Guest LDTR access rights'),
  row(0x4822, 'GUEST_TR_AR_BYTES',             'u32',     'guest',           'rw', always,                                            'Guest TR access rights'),
  row(0x4824, 'GUEST_INTERRUPTIBILITY_INFO',   'u32',     'guest',           'rw', always,                                            'Guest interruptibility state'),
  row(0x4826, 'GUEST_ACTIVITY_STATE',          'u32',     'guest',           'rw', always,                                            'Guest activity state'),
  row(0x4828, 'GUEST_SMBASE',                  'u32',     'guest',           'rw', always,                                            'Guest SMBASE'),
  row(0x482a, 'GUEST_SYSENTER_CS',             'u32',     'guest',           'rw', always,                                            'Guest IA32_SYSENTER_CS'),
  row(0x482e, 'VMX_PREEMPTION_TIMER_VALUE',    'u32',     'guest',           'rw', when('pin.ACTIVATE_VMX_PREEMPTION_TIMER'),         'VMX-preemption timer value'),
  // Table B-11. Encoding for 32-Bit Host-State Field
  row(0x4c00, 'HOST_IA32_SYSENTER_CS',         'u32',     'host',            'rw', always,                                            'Host IA32_SYSENTER_CS'),
  // Table B-12. Encodings for Natural-Width Control Fields
  row(0x6000, 'CR0_GUEST_HOST_MASK',           'natural', 'control',         'rw', always,                                            'CR0 guest/host mask'),
  row(0x6002, 'CR4_GUEST_HOST_MASK',           'natural', 'control',         'rw', always,                                            'CR4 guest/host mask'),
  row(0x6004, 'CR0_READ_SHADOW',               'natural', 'control',         'rw', always,                                            'CR0 read shadow'),
  row(0x6006, 'CR4_READ_SHADOW',               'natural', 'control',         'rw', always,                                            'CR4 read shadow'),
  row(0x6008, 'CR3_TARGET_VALUE0',             'natural', 'control',         'rw', always,                                            'CR3-target value 0'),
  row(0x600a, 'CR3_TARGET_VALUE1',             'natural', 'control',         'rw', always,                                            'CR3-target value 1'),
  row(0x600c, 'CR3_TARGET_VALUE2',             'natural', 'control',         'rw', always,                                            'CR3-target value 2'),
  row(0x600e, 'CR3_TARGET_VALUE3',             'natural', 'control',         'rw', always,                                            'CR3-target value 3'),
  // Table B-13. Encodings for Natural-Width Read-Only Data Fields
  row(0x6400, 'EXIT_QUALIFICATION',            'natural', 'exitInformation', 'ro', always,                                            'Exit qualification'),
  row(0x6402, 'IO_RCX',                        'natural', 'exitInformation', 'ro', always,                                            'I/O RCX'),
  row(0x6404, 'IO_RSI',                        'natural', 'exitInformation', 'ro', always,                                            'I/O RSI'),
  row(0x6406, 'IO_RDI',                        'natural', 'exitInformation', 'ro', always,                                            'I/O RDI'),
  row(0x6408, 'IO_RIP',                        'natural', 'exitInformation', 'ro', always,                                            'I/O RIP'),
  row(0x640a, 'GUEST_LINEAR_ADDRESS',          'natural', 'exitInformation', 'ro', always,                                            'Guest-linear address'),
  // Table B-14. Encodings for Natural-Width Guest-State Fields
  row(0x6800, 'GUEST_CR0',                     'natural', 'guest',           'rw', always,                                            'Guest CR0'),
  row(0x6802, 'GUEST_CR3',                     'natural', 'guest',           'rw', always,                                            'Guest CR3'),
  row(0x6804, 'GUEST_CR4',                     'natural', 'guest',           'rw', always,                                            'Guest CR4'),
  row(0x6806, 'GUEST_ES_BASE',                 'natural', 'guest',           'rw', always,                                            'Guest ES base'),
  row(0x6808, 'GUEST_CS_BASE',                 'natural', 'guest',           'rw', always,                                            'Guest CS base'),
  row(0x680a, 'GUEST_SS_BASE',                 'natural', 'guest',           'rw', always,                                            'Guest SS base'),
  row(0x680c, 'GUEST_DS_BASE',                 'natural', 'guest',           'rw', always,                                            'Guest DS base'),
  row(0x680e, 'GUEST_FS_BASE',                 'natural', 'guest',           'rw', always,                                            'Guest FS base'),
  row(0x6810, 'GUEST_GS_BASE',                 'natural', 'guest',           'rw', always,                                            'Guest GS base'),
  row(0x6812, 'GUEST_LDTR_BASE',               'natural', 'guest',           'rw', always,                                            'Guest LDTR base'),
  row(0x6814, 'GUEST_TR_BASE',                 'natural', 'guest',           'rw', always,                                            'Guest TR base'),
  row(0x6816, 'GUEST_GDTR_BASE',               'natural', 'guest',           'rw', always,                                            'Guest GDTR base'),
  row(0x6818, 'GUEST_IDTR_BASE',               'natural', 'guest',           'rw', always,                                            'Guest IDTR base'),
  row(0x681a, 'GUEST_DR7',                     'natural', 'guest',           'rw', always,                                            'Guest DR7'),
  row(0x681c, 'GUEST_RSP',                     'natural', 'guest',           'rw', always,                                            'Guest RSP'),
  row(0x681e, 'GUEST_RIP',                     'natural', 'guest',           'rw', always,                                            'Guest RIP'),
  row(0x6820, 'GUEST_RFLAGS',                  'natural', 'guest',           'rw', always,                                            'Guest RFLAGS'),
  row(0x6822, 'GUEST_PENDING_DBG_EXCEPTIONS',  'natural', 'guest',           'rw', always,                                            'Guest pending debug exceptions'),
  row(0x6824, 'GUEST_SYSENTER_ESP',            'natural', 'guest',           'rw', always,                                            'Guest IA32_SYSENTER_ESP'),
  row(0x6826, 'GUEST_SYSENTER_EIP',            'natural', 'guest',           'rw', always,                                            'Guest IA32_SYSENTER_EIP'),
  row(0x6828, 'GUEST_S_CET',                   'natural', 'guest',           'rw', when('entry.LOAD_CET_STATE'),                      'Guest IA32_S_CET'),
  row(0x682a, 'GUEST_SSP',                     'natural', 'guest',           'rw', when('entry.LOAD_CET_STATE'),                      'Guest SSP'),
  row(0x682c, 'GUEST_INTR_SSP_TABLE',          'natural', 'guest',           'rw', when('entry.LOAD_CET_STATE'),                      'Guest IA32_INTERRUPT_SSP_TABLE_ADDR'),
  // Table B-15. Encodings for Natural-Width Host-State Fields
  row(0x6c00, 'HOST_CR0',                      'natural', 'host',            'rw', always,                                            'Host CR0'),
  row(0x6c02, 'HOST_CR3',                      'natural', 'host',            'rw', always,                                            'Host CR3'),
  row(0x6c04, 'HOST_CR4',                      'natural', 'host',            'rw', always,                                            'Host CR4'),
  row(0x6c06, 'HOST_FS_BASE',                  'natural', 'host',            'rw', always,                                            'Host FS base'),
  row(0x6c08, 'HOST_GS_BASE',                  'natural', 'host',            'rw', always,                                            'Host GS base'),
  row(0x6c0a, 'HOST_TR_BASE',                  'natural', 'host',            'rw', always,                                            'Host TR base'),
  row(0x6c0c, 'HOST_GDTR_BASE',                'natural', 'host',            'rw', always,                                            'Host GDTR base'),
  row(0x6c0e, 'HOST_IDTR_BASE',                'natural', 'host',            'rw', always,                                            'Host IDTR base'),
  row(0x6c10, 'HOST_IA32_SYSENTER_ESP',        'natural', 'host',            'rw', always,                                            'Host IA32_SYSENTER_ESP'),
  row(0x6c12, 'HOST_IA32_SYSENTER_EIP',        'natural', 'host',            'rw', always,                                            'Host IA32_SYSENTER_EIP'),
  row(0x6c14, 'HOST_RSP',                      'natural', 'host',            'rw', always,                                            'Host RSP'),
  row(0x6c16, 'HOST_RIP',                      'natural', 'host',            'rw', always,                                            'Host RIP'),
  row(0x6c18, 'HOST_S_CET',                    'natural', 'host',            'rw', when('exit.LOAD_CET_STATE'),                       'Host IA32_S_CET'),
  row(0x6c1a, 'HOST_SSP',                      'natural', 'host',            'rw', when('exit.LOAD_CET_STATE'),                       'Host SSP'),
  row(0x6c1c, 'HOST_INTR_SSP_TABLE',           'natural', 'host',            'rw', when('exit.LOAD_CET_STATE'),                       'Host IA32_INTERRUPT_SSP_TABLE_ADDR'),
] as const;

export type FieldName = (typeof FIELDS)[number]['name'];
export type VmcsField = FieldRow<FieldName>;

/**
 * Byte offset of each field in the VMCS region, by name. On a hot path take the names out once, at module level:
 * `const { GUEST_RIP, GUEST_RSP } = OFFSET;` makes them constants for the compiler.
 */
export const OFFSET = Object.fromEntries(FIELDS.map((field) => [field.name, field.offset])) as {
  readonly [Name in FieldName]: number;
};

/** Full-access encoding of each field, by name. */
export const ENCODING = Object.fromEntries(FIELDS.map((field) => [field.name, field.encoding])) as {
  readonly [Name in FieldName]: number;
};

const BY_NAME = new Map<string, VmcsField>(FIELDS.map((field) => [field.name, field]));
const BY_OFFSET = new Map<number, VmcsField>(FIELDS.map((field) => [field.offset, field]));

/** The row of a field whose name is known. */
export function fieldNamed(name: FieldName): VmcsField {
  return BY_NAME.get(name) as VmcsField;
}

/** The row of a field by its name in user input or a file; undefined if there is none. */
export function findField(name: string): VmcsField | undefined {
  return BY_NAME.get(name);
}

/** The field that starts at this byte offset of the VMCS region, if any. */
export function fieldAtOffset(offset: number): VmcsField | undefined {
  return BY_OFFSET.get(offset);
}

/** Indexed by encoding >> 1: encodings end below 8000h, and both access types share a row. */
const BY_ENCODING: (VmcsField | undefined)[] = Array.from({ length: 0x4000 }, () => undefined);
for (const field of FIELDS) BY_ENCODING[field.encoding >> 1] = field;

/**
 * The field that an encoding names, whether by access type "full" or (64-bit fields only) "high"; undefined if there
 * is none. `encoding & 1` tells the two apart. Whether the field exists on a given processor is `fieldExists`.
 */
export function fieldOfEncoding(encoding: number): VmcsField | undefined {
  if (encoding >>> 0 >= 0x8000) return undefined;
  const field = BY_ENCODING[encoding >> 1];
  if (field === undefined || (encoding & 1) === 0) return field;
  return parseEncoding(encoding).width === 'u64' ? field : undefined;
}
