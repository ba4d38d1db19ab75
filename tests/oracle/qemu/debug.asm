; SPDX-License-Identifier: Apache-2.0
;
; Debug exceptions in 32-bit protected mode, rings 0 and 3: data and I/O breakpoints of every length and kind, more than
; one at once, strings; single-stepping through what changes flags and levels; general detect; INT1; DR4 and DR5; the
; fixed bits. Each #DB goes to a log: DR6, DR7, EIP, EFLAGS. Ends in `jmp $`.
; For Bochs: QEMU lets bit 12 of DR6 be set, and its stub stops twice at a data breakpoint while it is stepped.

%include "protected.inc"

RING1_STACK     equ DATA32
%define HANDLER_1 debug
%define HANDLER_TYPE_1 0x8e
%define HANDLER_49 from_user            ; 31h: EAX says where to go on in ring 0
%define HANDLER_TYPE_49 0xee

; DR7: breakpoint, kind (0 execute, 1 write, 2 I/O, 3 read or write), length in bytes
%define enabled(n) (2 << ((n) * 2))
%define as(n, kind, bytes) (enabled(n) | ((kind) << (16 + (n) * 4)) | ((((bytes) - 1) & 3) << (18 + (n) * 4)))

%macro watch 2                          ; address, DR7: into DR0 and DR7
        mov     eax, %1
        mov     dr0, eax
        mov     eax, 0x400 | (%2)
        mov     dr7, eax
%endmacro
%macro unwatch 0
        mov     eax, 0x400
        mov     dr7, eax
%endmacro
%macro single_step 0
        pushfd
        or      dword [esp], 0x100
        popfd
%endmacro
%macro no_step 0
        pushfd
        and     dword [esp], ~0x100
        popfd
%endmacro

        enter_protected
; ---- registers ----
        mov     eax, dr6
        mov     ebx, dr7
        mov     eax, 0xffffffff
        mov     dr6, eax
        mov     ecx, dr6
        xor     eax, eax
        mov     dr6, eax
        mov     ecx, dr6
        mov     dr7, eax
        mov     ecx, dr7
        mov     eax, 0xffff0000         ; no breakpoint is enabled
        mov     dr7, eax
        mov     ecx, dr7
        unwatch
        mov     eax, 0x12345678
        mov     dr3, eax
        mov     edx, dr3
; ---- writes ----
        watch   data, as(0, 1, 4)
        mov     dword [data], 1
        mov     byte [data + 3], 2
        mov     word [data + 4], 3      ; not in it
        mov     dword [data - 3], 4     ; reaches into it
        mov     dword [data - 4], 5
        mov     ecx, [data]             ; a read is none
        inc     dword [data]
        xchg    ecx, [data]
        lock add [data], ecx
        add     ecx, [data]
        mov     ebx, esp
        mov     esp, data + 4
        push    ecx
        call    .called
.called:
        pushfd
        mov     esp, ebx
        mov     edi, data - 4
        mov     ecx, 3
        mov     eax, 0x77
        rep stosd
        mov     edi, data
        stosb
        watch   data + 2, as(0, 1, 2)
        mov     byte [data + 1], 1
        mov     byte [data + 2], 1
        mov     byte [data + 3], 1
        watch   data + 1, as(0, 1, 1)
        mov     byte [data], 1
        mov     byte [data + 1], 1
        mov     word [data], 1
; ---- reads and writes ----
        watch   data, as(0, 3, 4)
        mov     ecx, [data]
        mov     [data], ecx
        test    [data], ecx
        cmpxchg [data], ecx
        bt      dword [data], 3
        movzx   ecx, byte [data + 3]
        mov     esi, data
        mov     edi, data + 8
        movsd
        mov     esi, data + 8
        mov     edi, data - 4
        mov     ecx, 3
        rep movsd
        mov     esi, data - 4
        mov     ecx, 3
        rep lodsd
        mov     ebx, esp
        mov     esp, data
        pop     ecx
        mov     esp, ebx
; ---- two at once ----
        mov     eax, data + 8
        mov     dr1, eax
        watch   data, as(0, 3, 4) | as(1, 1, 4)
        mov     esi, data
        mov     edi, data + 8
        movsd
        mov     eax, data + 2
        mov     dr1, eax
        watch   data, as(0, 3, 4) | as(1, 3, 2)
        mov     ecx, [data]
        mov     cl, [data]
        watch   data, as(0, 1, 4) | (3 << 20 | 1 << 22)         ; DR1 is not enabled
        mov     [data], ecx
        unwatch
        mov     [data], ecx
; ---- single steps ----
        single_step
        nop
        mov     eax, 1
        pushfd
        pop     ecx
        jmp     .jumped
.jumped:
        call    .stepped
.stepped:
        pop     ecx
        mov     ecx, 2
        rep stosd
        int     0x30                    ; goes on at EBP, TF off
        expect  .off
.off:   no_step
        watch   data, as(0, 3, 4)
        single_step
        mov     ecx, [data]             ; both
        no_step
        unwatch
        pushfd
        or      dword [esp], 0x100
        push    CODE32
        push    .returned
        iret                            ; with TF
.returned:
        nop
        no_step
; ---- INT1, general detect, DR4 and DR5 ----
        db      0xf1
        mov     eax, 0x2400
        mov     dr7, eax
        mov     ecx, dr0                ; #DB, and GD is off in the handler
        mov     ecx, dr4
        mov     ecx, dr5
        mov     eax, cr4
        or      al, 8                   ; DE
        mov     cr4, eax
        expect  .no_dr4
        mov     ecx, dr4                ; #UD
.no_dr4:
        expect  .no_dr5
        mov     dr5, ecx
.no_dr5:
; ---- ports ----
        watch   0x80, as(0, 2, 1)
        in      al, 0x80
        out     0x80, al
        in      al, 0x81
        in      ax, 0x80
        mov     dx, 0x7f
        in      ax, dx
        unwatch
; ---- ring 3 ----
        watch   data, as(0, 1, 4)
        push    USER_DATA
        push    STACK_RING3
        push    0x102
        push    USER_CODE
        push    user
        iret
user:   nop
        mov     dword [data], 9
        expect  .no_mov
        mov     eax, dr7                ; #GP: TF off
.no_mov:
        mov     dword [data], 10
        mov     eax, .kernel
        int     0x31
.kernel:
        unwatch
        jmp     $

from_user:
        mov     dword [esp + 4], CODE32
        mov     [esp], eax
        pop     eax
        add     esp, 4
        popfd
        mov     cx, DATA32
        mov     ds, cx
        mov     es, cx
        mov     ss, cx
        mov     esp, STACK_RING0
        jmp     eax

debug:  push    eax
        push    ebx
        push    ds
        mov     ax, DATA32
        mov     ds, ax
        mov     ebx, [next]
        mov     eax, dr6
        mov     [ebx], eax
        mov     eax, dr7
        mov     [ebx + 4], eax
        mov     eax, [esp + 12]
        mov     [ebx + 8], eax
        mov     eax, [esp + 20]
        mov     [ebx + 12], eax
        add     ebx, 16
        mov     [next], ebx
        mov     eax, 0xffff0ff0
        mov     dr6, eax
        pop     ds
        pop     ebx
        pop     eax
        iret

        align   16
        dd      0, 0
data:   dd      0, 0, 0, 0
next:   dd      log
        begin_gdt
        end_gdt
        exception_handlers
        task_state
        align   16
log:    times 4 * 128 dd 0
