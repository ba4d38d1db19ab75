; SPDX-License-Identifier: Apache-2.0
;
; Task switches: JMP, CALL, IRET, task gates (from GDT, LDT-less, and from the IDT with and without error code), TSS of
; 32 and 16 bits, the busy and nested-task bits, CR3 from the TSS, a task in virtual-8086 mode, #TS in the new task, a
; double fault that gets a task of its own. Ends in `jmp $`.

%include "protected.inc"

RING1_STACK     equ DATA32
TASK_B          equ 0x40
TASK_16         equ 0x48
TASK_GATE       equ 0x50 | 3
TASK_VIRTUAL    equ 0x58
TASK_BAD        equ 0x60
TASK_DOUBLE     equ 0x68
TASK_USER       equ 0x70
TASK_SHORT      equ 0x78
TASK_ABSENT     equ 0x80

PAGE_DIRECTORY  equ 0x20000
PAGE_DIRECTORY2 equ 0x21000

%define HANDLER_10 invalid_task
%define HANDLER_TYPE_10 0x8e
%define HANDLER_48 leave_virtual        ; 30h
%define HANDLER_TYPE_48 0xee

%macro busy 1                           ; shows the type byte of a TSS descriptor, the backlink and saved flags
        mov     al, [gdt + (%1) + 5]
%endmacro

        enter_protected
; 4 MiB pages, identical; the second directory maps the second one to the first as well
        mov     dword [PAGE_DIRECTORY], 0x87
        mov     dword [PAGE_DIRECTORY2], 0x87
        mov     dword [PAGE_DIRECTORY2 + 4], 0x87
        mov     eax, cr4
        or      al, 0x10
        mov     cr4, eax
        mov     eax, PAGE_DIRECTORY
        mov     cr3, eax
        mov     [tss + 0x1c], eax               ; a switch does not save CR3
        mov     eax, cr0
        or      eax, 0x80010000
        mov     cr0, eax
        mov     word [idt + 0x20 * 8 + 2], TASK_B
        mov     word [idt + 0x20 * 8 + 4], 0xe500
        mov     word [idt + 12 * 8 + 2], TASK_B
        mov     word [idt + 12 * 8 + 4], 0x8500
        mov     word [idt + 8 * 8 + 2], TASK_DOUBLE
        mov     word [idt + 8 * 8 + 4], 0x8500

; ---- JMP to a TSS and back ----
        busy    TASK
        mov     ebx, 0xbbbb
        jmp     TASK_B:0xdead
        mov     cx, [tss_b]             ; no backlink
        busy    TASK
        busy    TASK_B
        mov     ecx, cr0                ; TS
        clts
        mov     ecx, [tss_b + 0x20]
        mov     ecx, [tss_b + 0x24]
        mov     ecx, [tss_b + 0x28]
        mov     ecx, [tss + 0x3c]
        str     dx
; ---- CALL, nested, and IRET ----
        call    TASK_B:0
        busy    TASK
        busy    TASK_B
        mov     ecx, [tss_b + 0x24]
        pushfd
        pop     ecx
        mov     cx, [tss_b]
        call    TASK_GATE:0
        int     0x20
        mov     cx, [tss_b]
        call    TASK_16:0
        mov     cx, [tss_16]
        mov     cx, [tss_16 + 0x0e]
        mov     cx, [tss_16 + 0x10]
        mov     cx, [tss_16 + 0x12]
        mov     cx, [tss_16 + 0x28]
        call    TASK_VIRTUAL:0
        mov     ecx, [tss_virtual + 0x24]
        mov     ecx, [tss_virtual + 0x20]
; ---- through the IDT, with an error code ----
        expect  .after_stack
        mov     ax, ABSENT
        mov     ss, ax                  ; #SS: the task has the error code on its stack
.after_stack:
        mov     ecx, [tss_b + 0x38]
; ---- refused before the switch ----
        expect  .not_available
        jmp     TASK:0                  ; #GP: busy
.not_available:
        expect  .too_short
        jmp     TASK_SHORT:0            ; #TS
.too_short:
        expect  .absent
        jmp     TASK_ABSENT:0           ; #NP
.absent:
        expect  .no_backlink
        mov     word [tss], 0
        pushfd
        or      dword [esp], 0x4000
        popfd                           ; NT
        iret                            ; #TS(0)
.no_backlink:
        pushfd
        and     dword [esp], ~0x4000
        popfd
; ---- the new task is bad: #TS in it ----
        call    TASK_BAD:0
        busy    TASK_BAD
; ---- a task of ring 3, and back from it ----
        call    TASK_USER:0
        busy    TASK_USER
; ---- a double fault ----
        mov     word [idt + 11 * 8 + 4], 0
        mov     ax, ABSENT
        mov     fs, ax                  ; #NP, whose gate is absent too: #DF

; Goes on behind the instruction it was called by; is entered again behind its own last one.
task_b: mov     ecx, 1
.again: str     ax
        mov     edx, cr3
        mov     esi, cr0
        pushfd
        pop     edi
        mov     ax, [tss_b]
        test    ax, ax
        jnz     .nested
        mov     edx, [0x400000 + gdt]   ; only this task's directory has it
        jmp     TASK:0
        jmp     .again
.nested:
        cmp     esp, STACK_B
        je      .no_code
        pop     edx
        mov     ebx, [tss + 0x3c]       ; EBP of the one that called
        mov     [tss + 0x20], ebx
.no_code:
        clts
        iret
        jmp     .again

        bits    16
task_16:
        mov     ax, sp
        push    bx
        pop     bx
        smsw    cx
        str     dx
        iret
        jmp     task_16

virtual_task:
        mov     ax, cs
        mov     bx, ds
        pushf
        pop     cx
        mov     dx, fs
        int     0x30                    ; leads to ring 0 of this task
        bits    32
leave_virtual:
        str     ax
        clts
        pushfd
        or      dword [esp], 0x4000
        popfd
        iret                            ; NT: back to the caller

invalid_task:
        pop     edx
        str     ax
        mov     ecx, ds                 ; what the switch had loaded of it
        mov     ebx, ss
        pushfd
        pop     esi
        cmp     ax, TASK_BAD
        je      .in_bad
        mov     [esp], ebp
        iret
.in_bad:
        pushfd
        or      dword [esp], 0x4000
        popfd
        clts
        mov     ax, DATA32
        mov     ds, ax
        iret

task_user:
        mov     ax, cs
        mov     bx, ss
        mov     ecx, [esp]
        iret                            ; NT is set: the way out is open to ring 3 too
task_double:
        pop     edx
        mov     ax, [tss_double]
        mov     eax, [tss + 0x34]       ; EBP
        mov     eax, [tss + 0x20]
        clts
        mov     dword [tss + 0x20], main_end
        iret
main_end:
        busy    TASK_DOUBLE
        busy    TASK
        jmp     $

        align   16
STACK_B equ     0x30f00
%macro tss32 7                          ; CR3, EIP, EFLAGS, ESP, CS, SS, others
        dd      0
        dd      STACK_INNER, DATA32, 0, 0, 0, 0
        dd      %1, %2, %3
        dd      0xa, 0xc, 0xd, 0xb, %4, 0xbb, 0x51, 0xd1
        dd      %7, %5, %6, %7, %7, %7
        dd      0, 0
%endmacro
tss_b:  tss32   PAGE_DIRECTORY2, task_b, 2, STACK_B, CODE32, DATA32, DATA32
tss_virtual:
        tss32   PAGE_DIRECTORY, virtual_task, 0x23002, 0xff0, 0, 0x3000, 0x1234
tss_bad:
        tss32   PAGE_DIRECTORY, task_b, 2, STACK_B, CODE32, DATA32, TASK
tss_double:
        tss32   PAGE_DIRECTORY, task_double, 2, STACK_B, CODE32, DATA32, DATA32
tss_user:
        tss32   PAGE_DIRECTORY, task_user, 0x3202, STACK_RING3, USER_CODE, USER_DATA, USER_DATA
tss_16: dw      0, 0xf000, DATA32, 0, 0, 0, 0
        dw      at(task_16), 2
        dw      1, 2, 3, 4, 0x6f00, 5, 6, 7
        dw      DATA32, CODE16, DATA16, DATA32
        dw      0

%macro task 3                           ; label, limit, rights
        dw      %2, at(%1)
        db      0, %3, 0, 0
%endmacro
        begin_gdt
        task    tss_b, 0x67, 0x89
        task    tss_16, 0x2b, 0x81
        dw      0, TASK_B
        db      0, 0xe5, 0, 0
        task    tss_virtual, 0x67, 0x89
        task    tss_bad, 0x67, 0x89
        task    tss_double, 0x67, 0x89
        task    tss_user, 0x67, 0x89
        task    tss_b, 0x66, 0x89
        task    tss_b, 0x67, 0x09
ABSENT  equ     $ - gdt
        dq      0x00cf13000000ffff
        end_gdt
        exception_handlers
        task_state
