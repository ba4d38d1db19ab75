// SPDX-License-Identifier: Apache-2.0

/**
 * For assembler.ts: the first processor wakes the second by INIT and start-up IPIs, and both go to the label `work`, the
 * first with RBX = 0, the second with RBX = 1 and a stack of its own.
 */
export const SECOND_PROCESSOR = {
  wake: `
      85 db                                 ; test ebx, ebx
      0f 85 >work                           ; jnz work
      c7 04 25 f0 00 60 00 ff 01 00 00      ; mov dword [6000f0h], 1ffh
      c7 04 25 10 03 60 00 00 00 00 01      ; mov dword [600310h], 01000000h
      c7 04 25 00 03 60 00 00 45 00 00      ; mov dword [600300h], 4500h
      b9 c8 00 00 00                        ; mov ecx, 200
      e2 fe                                 ; loop here
      c7 04 25 10 03 60 00 00 00 00 01      ; mov dword [600310h], 01000000h
      c7 04 25 00 03 60 00 08 46 00 00      ; mov dword [600300h], 4608h
      e9 >work                              ; jmp work`,
  trampoline: `
    @ 8000
      fa                                    ; cli
      31 c0                                 ; xor ax, ax
      8e d8                                 ; mov ds, ax
      66 0f 01 16 57 80                     ; o32 lgdt [8057h]
      66 b8 20 00 00 00                     ; mov eax, 20h
      0f 22 e0                              ; mov cr4, eax
      66 b8 00 10 00 00                     ; mov eax, 1000h
      0f 22 d8                              ; mov cr3, eax
      66 b9 80 00 00 c0                     ; mov ecx, 0c0000080h
      0f 32                                 ; rdmsr
      66 0d 00 01 00 00                     ; or eax, 100h
      0f 30                                 ; wrmsr
      66 b8 11 00 00 80                     ; mov eax, 80000011h
      0f 22 c0                              ; mov cr0, eax
      66 ea 3e 80 00 00 08 00               ; jmp dword 8:wide
      bc 00 90 03 00                        ; wide: mov esp, 39000h
      0f 01 1c 25 5d 80 00 00               ; lidt [805dh]
      bb 01 00 00 00                        ; mov ebx, 1
      b8 =work                              ; mov eax, work
      ff e0                                 ; jmp rax
    @ 8057
      17 00                                 ; GDTR: limit
      00 60 00 00                           ; base
      ff 0f                                 ; IDTR: limit
      00 70 00 00 00 00 00 00               ; base`,
} as const;
