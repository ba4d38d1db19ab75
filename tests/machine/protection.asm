; SPDX-License-Identifier: Apache-2.0
;
; What QEMU does not check: segment limits, null selectors, types of segments on access, alignment; and code breakpoints,
; which it does not take while it is stepped. Every exception goes to a log: vector in bits 23:16, error code below.
; Bits 31:24 have the number of the item. The test has the list of what must be there. Ends in HLT, interrupts off.

%include "../oracle/qemu/protected.inc"

RING1_STACK     equ DATA32
SMALL           equ 0x40                ; 1000h..1FFFh
SMALL_USER      equ 0x48 | 3
DOWN_32         equ 0x50                ; expand-down, above FFFh, 32 bits
DOWN_16         equ 0x58                ; ... to FFFFh
READ_ONLY       equ 0x60
CODE_SMALL      equ 0x68
PAGES_DOWN      equ 0x70                ; expand-down above FFFFFh

%assign number 0
%rep 18
  %define HANDLER_%[number] on_%[number]
  %define HANDLER_TYPE_%[number] 0x8e
  %assign number number + 1
%endrep
%define HANDLER_48 leave_ring3          ; 30h
%define HANDLER_TYPE_48 0xee

; One instruction that is refused. They are numbered from 1; what is logged has the number of the last one.
%assign items 0
%macro refused 1+
  %assign items items + 1
        mov     dword [item], items
        mov     ebp, %%next
        %1
%%next:
%endmacro

        enter_protected
        fninit
        mov     ax, SMALL
        mov     es, ax
        mov     ax, DOWN_32
        mov     fs, ax
        xor     eax, eax
        mov     gs, ax
; ---- upwards ----
        mov     eax, [es:0xffc]
        mov     al, [es:0xfff]
        refused mov eax, [es:0xffd]
        refused mov ax, [es:0xfff]
        refused mov [es:0xfff], ax
        refused mov al, [es:0x1000]
        refused inc dword [es:0xffe]
        refused mov eax, [es:0xfffffffe]
        refused fld qword [es:0xff9]
        refused cmpxchg8b [es:0xffc]
        refused les eax, [es:0xffb]
        mov     ecx, 0x8000
        refused bt [es:0xff0], ecx
        mov     dword [es:0], 0
        mov     edi, 0xffa
        mov     ecx, 10
        refused rep stosb                   ; six are done
        mov     [counts], ecx
        mov     [counts + 4], edi
; ---- null, read-only, code ----
        refused mov al, [gs:0]
        refused mov [gs:eax], al
        mov     ax, READ_ONLY
        mov     gs, ax
        mov     al, [gs:0]
        refused mov [gs:0], al
        refused or byte [gs:0], 1
        refused mov [cs:counts + 8], al
; ---- downwards ----
        mov     eax, [fs:0x1000]
        mov     al, [fs:0xffffffff]
        refused mov al, [fs:0xfff]
        refused mov eax, [fs:0xffe]
        refused mov ax, [fs:0xffffffff]
        mov     ax, DOWN_16
        mov     fs, ax
        mov     al, [fs:0xffff]
        refused mov ax, [fs:0xffff]
        refused mov al, [fs:0x10000]
        refused mov al, [fs:0xfff]
        mov     ax, PAGES_DOWN
        mov     fs, ax
        mov     al, [fs:0x100000]
        refused mov al, [fs:0xfffff]
; ---- code ----
        refused jmp CODE_SMALL:small_end
        jmp     CODE_SMALL:.small
.small: mov     ebp, .beyond
        jmp     near_end                    ; its last byte is beyond the limit
.beyond:
        refused jmp small_end + 16
        refused call small_end + 16
        mov     eax, small_end
        refused jmp eax
        jmp     CODE32:.wide
.wide:
; ---- code breakpoints ----
        mov     eax, .hit
        mov     dr0, eax
        mov     eax, .hit2
        mov     dr1, eax
        mov     eax, 0x402 | 8              ; G0, G1
        mov     dr7, eax
        xor     ecx, ecx
.hit:   inc     ecx
        nop
.hit2:  inc     ecx
        mov     eax, dr6
        mov     [debug], eax
        mov     [debug + 4], ecx
        xor     eax, eax
        mov     dr7, eax

; ---- ring 3: stacks with limits, alignment ----
        mov     eax, cr0
        or      eax, 0x40000                ; AM
        mov     cr0, eax
        push    SMALL_USER
        push    0x10
        push    0x2
        push    USER_CODE
        push    ring3
        iret
ring3:  mov     ax, USER_DATA
        mov     ds, ax
        mov     es, ax
        push    eax
        pop     eax
        refused pushad
        mov     [counts + 12], esp
        refused enter 16, 0
        mov     [counts + 16], esp
        mov     esp, 4
        push    eax
        refused push eax
        refused call .never
        refused pushfd
        mov     esp, 0xffe
        refused pop eax
        refused ret
        refused popad
        mov     esp, 0x1004
        mov     ebp, .never
        mov     eax, [esp]              ; #SS, not #GP
.never: mov     ax, USER_DATA
        mov     ss, ax
        mov     esp, STACK_RING3
        pushfd
        or      dword [esp], 0x40000        ; AC
        popfd
        mov     eax, [scratch]
        mov     al, [scratch + 1]
        refused mov eax, [scratch + 1]
        refused mov eax, [scratch + 2]
        refused mov [scratch + 1], ax
        mov     ax, [scratch + 2]
        refused fld qword [scratch + 4]
        fld     qword [scratch]
        fstp    qword [scratch]
        refused inc dword [scratch + 3]
        mov     esp, STACK_RING3 + 2
        refused push eax
        refused pop eax
        mov     esp, STACK_RING3
        push    word 1
        mov     esp, STACK_RING3
        pushfd
        and     dword [esp], ~0x40000
        popfd
        mov     eax, [scratch + 1]
        int     0x30

leave_ring3:
        mov     eax, [scratch + 1]          ; ring 0 is never checked
        cli
        hlt
        jmp     $

%macro stub 2                           ; vector, whether an error code is there
on_%1:
  %if %2 == 0
        push    dword 0xffff
  %endif
        push    %1
        jmp     log
%endmacro
; Stack: vector, error code, EIP, CS, EFLAGS.
log:    push    eax
        push    ebx
        push    ds
        mov     ax, DATA32
        mov     ds, ax
        mov     ebx, [next]
        mov     eax, [esp + 12]
        shl     eax, 16
        mov     ax, [esp + 16]
        push    dword [item]
        shl     dword [esp], 24
        or      eax, [esp]
        add     esp, 4
        mov     [entries + ebx * 4], eax
        inc     dword [next]
        cmp     dword [esp + 12], 1
        je      .breakpoint
        mov     [esp + 20], ebp
        jmp     .out
.breakpoint:
        or      dword [esp + 28], 0x10000   ; RF: the instruction is executed now
.out:   pop     ds
        pop     ebx
        pop     eax
        add     esp, 8
        iret
%assign number 0
%rep 18
  %if number == 8 || (number >= 10 && number <= 14) || number == 17
        stub    number, 1
  %else
        stub    number, 0
  %endif
  %assign number number + 1
%endrep

        align   8
scratch:        dq 0, 0
near_end:       mov eax, 0x12345678
small_end       equ $ - 1
        align   16
        begin_gdt
        dq      0x0040930010000fff      ; SMALL
        dq      0x0040f30010000fff      ; SMALL_USER
        dq      0x0040970000000fff      ; DOWN_32
        dq      0x0000970000000fff      ; DOWN_16
        dq      0x00cf91000000ffff      ; READ_ONLY
        dw      at(small_end) - 1, 0
        db      0, 0x9b, 0x40, 0        ; CODE_SMALL
        dq      0x00c09700000000ff      ; PAGES_DOWN
        end_gdt
        exception_handlers
        task_state
        align   16
; The test finds these at the end of the image.
item:           dd 0
next:           dd 0
debug:          dd 0, 0
counts:         dd 0, 0, 0, 0, 0
entries:        times 64 dd 0
