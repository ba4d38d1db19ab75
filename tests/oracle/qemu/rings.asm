; SPDX-License-Identifier: Apache-2.0
;
; Privilege levels in 32-bit protected mode: gates of 16 and 32 bits, far returns and IRET outwards, conforming code,
; the instructions that look at descriptors, an LDT, virtual-8086 mode, SYSENTER. Ends in `jmp $`.

%include "protected.inc"

RING1_CODE      equ 0x40 | 1
RING1_STACK     equ 0x48 | 1
CALL_32         equ 0x50
CALL_16         equ 0x58
CALL_RING1      equ 0x60
CONFORMING      equ 0x68
LOCAL           equ 0x70
EXPAND_DOWN     equ 0x78
ABSENT          equ 0x80
EXECUTE_ONLY    equ 0x88
READ_ONLY       equ 0x90
CALL_PRIVATE    equ 0x98
CALL_SAME       equ 0xa0
CALL_ABSENT     equ 0xa8
STACK_16        equ 0xb0

LOCAL_DATA      equ 0x04 | 3
LOCAL_CODE      equ 0x0c | 3

%define HANDLER_3 handler_plain
%define HANDLER_TYPE_3 0xef
%define HANDLER_49 from_user            ; 31h
%define HANDLER_TYPE_49 0xee
%define HANDLER_50 from_virtual         ; 32h
%define HANDLER_TYPE_50 0xee
%define HANDLER_13 protection
%define HANDLER_TYPE_13 0x8e

        enter_protected

; ---- looking at descriptors, ring 0 ----
        mov     ax, LOCAL
        lldt    ax
        sldt    cx
        str     edx
%assign selector 0
%rep 24
        mov     bx, selector
        lar     eax, bx
        lsl     ecx, ebx
        verr    bx
        verw    bx
  %assign selector selector + 8
%endrep
        mov     ax, LOCAL_DATA
        lsl     ecx, ax
        verw    ax
        mov     ax, 0x1237              ; beyond the LDT
        lar     ecx, ax
        mov     ax, 0x10
        mov     bx, 3
        arpl    ax, bx
        arpl    ax, bx
        expect  .not_task
        mov     ax, CODE32
        ltr     ax                      ; #GP(8)
.not_task:
        expect  .busy_task
        mov     ax, TASK
        ltr     ax                      ; #GP(38h): busy
.busy_task:
        expect  .not_local
        mov     ax, DATA32
        lldt    ax                      ; #GP(10h)
.not_local:
        expect  .execute_only
        mov     ax, EXECUTE_ONLY
        mov     ds, ax                  ; #GP(88h)
.execute_only:
        expect  .read_only
        mov     ax, READ_ONLY
        mov     ss, ax                  ; #GP(90h)
.read_only:
        expect  .absent_stack
        mov     ax, ABSENT
        mov     ss, ax                  ; #SS(80h)
.absent_stack:
        expect  .absent_data
        mov     fs, ax                  ; #NP(80h)
.absent_data:
        expect  .null_stack
        xor     eax, eax
        mov     ss, ax                  ; #GP(0)
.null_stack:
        expect  .wrong_level
        mov     ax, USER_DATA
        mov     ss, ax                  ; #GP(30h)
.wrong_level:
        mov     ax, READ_ONLY
        mov     fs, ax
        mov     ax, CONFORMING
        mov     gs, ax
        lds     esi, [pointer_local]
        mov     ax, DATA32
        mov     ds, ax
        les     edi, [pointer_data]
        lss     esp, [pointer_stack]

; ---- far transfers at ring 0 ----
        call    CODE32:.far
        call    far [pointer_far]
        call    CALL_SAME:0
        jmp     CALL_SAME:0x1234
.far:   pushfd
        popfd
        cmp     dword [esp + 4], CODE32
        jne     .came_by_jump
        inc     dword [far_count]
        cmp     dword [far_count], 3
        ja      .came_by_jump
        retf
.came_by_jump:
        mov     esp, STACK_RING0
        expect  .jump_data
        jmp     DATA32:0                ; #GP(10h)
.jump_data:
        expect  .jump_null
        jmp     0:0                     ; #GP(0)
.jump_null:
        expect  .jump_beyond
        jmp     0x1000:0                ; #GP(1000h)
.jump_beyond:
        expect  .jump_user
        jmp     USER_CODE:0             ; #GP(28h)
.jump_user:
        expect  .gate_absent
        call    CALL_ABSENT:0           ; #NP
.gate_absent:
        jmp     CONFORMING:.conforming
.conforming:
        jmp     CODE32:.code16
.code16:
        jmp     CODE16:.narrow
        bits    16
.narrow:
        mov     ax, STACK_16            ; SS.B = 0: SP alone counts
        mov     ss, ax
        mov     sp, 4
        push    dword 0x12345678
        pop     ebx
        pushad
        popad
        pusha
        popa
        enter   6, 3
        leave
        mov     sp, 0x800
        call    .near
        pushf
        popf
        push    cs
        push    word .far16
        retf
.near:  ret     2
.far16: call    dword CODE16:.far32
        jmp     CODE32:.wide
.far32: o32 retf
        bits    32
.wide:  mov     ax, DATA32
        mov     ss, ax
        mov     esp, STACK_RING0
        mov     ebp, esp
        push    dword 0x111
        push    dword 0x222
        push    dword 0x333
        lea     ebp, [esp + 12]
        enter   16, 4                   ; copies three frame pointers
        enter   0, 31
        leave
        leave
        o16 enter 8, 2
        o16 leave
        mov     esp, STACK_RING0

; ---- to ring 3 and back ----
        mov     ax, USER_DATA
        mov     gs, ax
        mov     ax, DATA32
        mov     fs, ax                  ; becomes null on the way out
        push    USER_DATA
        push    STACK_RING3
        push    0x3202                  ; IOPL 3
        push    USER_CODE
        push    ring3
        iret

ring3:  mov     ax, gs
        mov     cx, fs
        mov     dx, ds
        mov     ax, USER_DATA
        mov     ds, ax
        mov     es, ax
        lar     ecx, ax
        mov     ax, DATA32
        lar     ecx, ax                 ; not visible
        verr    ax
        mov     ax, CONFORMING
        lar     ecx, ax                 ; conforming code always is
        verr    ax
        mov     ax, CALL_PRIVATE
        lar     ecx, ax
        pushfd
        or      dword [esp], 0x200
        popfd
        cli                             ; IOPL 3 allows it
        sti
        push    0x11111111
        push    0x22222222
        push    0x33333333
        call    CALL_32:0               ; copies two doublewords
        push    0x44444444
        push    word 0x5555
        push    word 0x6666
        call    CALL_16:0               ; copies two words
        push    0x77777777
        call    CALL_RING1:0
        call    CONFORMING:.conforming
        jmp     CONFORMING:.stays
.conforming:
        mov     ax, cs                  ; CPL stays 3
        retf
.stays: jmp     USER_CODE:.again
.again: int     0x31
        expect  .after_breakpoint
        int3                            ; its gate is for everybody
.after_breakpoint:
        mov     eax, 9
        expect  .after_bound
        bound   eax, [bounds]
.after_bound:
        mov     eax, 0x7fff
        bound   ax, [bounds16]
        expect  .after_overflow
        mov     al, 0x7f
        add     al, 1
        into                            ; #GP(22h): its gate is not
.after_overflow:
        expect  .after_private
        call    CALL_PRIVATE:0          ; #GP(98h): DPL 0
.after_private:
        expect  .after_forbidden
        int     0x20                    ; #GP(102h)
.after_forbidden:
        expect  .after_clts
        clts                            ; #GP(0)
.after_clts:
        expect  .after_inner
        jmp     CODE32:0                ; #GP(8)
.after_inner:
        expect  .after_data
        mov     ax, DATA32
        mov     es, ax                  ; #GP(10h)
.after_data:
        expect  .after_stack
        mov     ax, 0x30                ; RPL 0
        mov     ss, ax                  ; #GP(30h)
.after_stack:
        mov     ax, LOCAL_DATA
        mov     es, ax
        mov     eax, [es:4]
        mov     ecx, .local
        push    LOCAL_CODE
        push    ecx
        retf
.local: mov     ax, cs
        jmp     USER_CODE:.flags
.flags: expect  .step
        pushfd
        or      dword [esp], 0x100
        popfd                           ; TF
        nop
.step:  pushfd
        and     dword [esp], ~0x3000
        popfd                           ; IOPL stays
        pushfd
        pop     eax
        mov     eax, 2
        int     0x31                    ; to ring 0 for good
        jmp     $

; The ways in. From ring 3 by INT 31h; EAX = 2: not back.
from_user:
        cmp     eax, 2
        je      virtual
        mov     ax, ss
        mov     bx, ds
        push    ds
        mov     ax, DATA32
        mov     ds, ax
        pop     ds
        iret
protection:
        test    dword [esp + 12], 0x20000
        jnz     virtual_protection
        pop     edx
        mov     [esp], ebp
        iret
called32:
        mov     eax, [esp + 8]
        mov     ebx, [esp + 12]
        mov     ecx, [esp + 16]
        mov     edx, [esp + 20]
        retf    8
called16:
        mov     eax, [esp]
        mov     ebx, [esp + 4]
        mov     ecx, [esp + 8]
        o16 retf 4
called_ring1:
        mov     ax, cs
        mov     bx, ss
        mov     ecx, [esp + 8]
        int     0x31                    ; further in
        mov     dx, RING1_STACK
        mov     es, dx                  ; null again on the way out
        retf    4
called_same:
        retf

; ---- virtual-8086 mode ----
virtual:
        mov     esp, STACK_RING0
        mov     ax, DATA32
        mov     ds, ax
        mov     es, ax
        mov     word [0x50 * 4], 0
        push    0x4000                  ; GS
        push    0x3000
        push    0x2000
        push    0x1000                  ; ES
        push    0x1800                  ; SS
        push    0xff0
        push    0x23202                 ; VM, IOPL 3, IF
        push    0
        push    virtual_code
        iret

        bits    16
virtual_code:
        mov     ax, cs
        mov     bx, ss
        mov     [es:2], ax
        mov     ax, 0x1234
        mov     ds, ax
        mov     [0x10], bx
        lds     si, [0x10]
        push    cs
        pop     es
        les     di, [bp + 2]
        cli
        sti
        pushf
        popf
        pushfd
        popfd
        call    0:.far
        lea     ax, [bx + si + 7]
        mov     cx, 3
        mov     di, 0x100
        mov     ax, 0x2000
        mov     es, ax
        rep stosw
        push    cs
        call    .near                   ; a far call of sorts
        pushf
        push    cs
        push    word .returned
        iret
.near:  retf
.far:   mov     dx, sp
        retf
.returned:
        int     0x32
        mov     ax, fs
        mov     ebp, .after_breakpoint
        int3
.after_breakpoint:
        mov     bx, gs
        xor     cx, cx
        mov     ebp, .no_descriptors     ; for the handler
        lar     ax, cx                  ; #UD
.no_descriptors:
        mov     ebp, .no_system
        o32 clts                        ; #GP(0)
.no_system:
        mov     eax, 3
        int     0x32                    ; IOPL becomes 0
        mov     ebp, .no_cli
        cli                             ; #GP(0)
.no_cli:
        mov     ebp, .no_pushf
        pushf                           ; #GP(0)
.no_pushf:
        mov     ebp, .no_int
        int     0x33                    ; #GP(0), the gate notwithstanding
.no_int:
        mov     ebp, .no_iret
        iret                            ; #GP(0)
.no_iret:
        mov     ebp, .no_hlt
        hlt
.no_hlt:
        mov     eax, 4
        mov     ebp, .not_reached
        mov     ebp, .after_second
        int3                            ; one-byte forms do not look at IOPL
.after_second:
        mov     cx, 0x4321
        mov     eax, 5
        mov     ebp, leave_virtual
        hlt
.not_reached:
        jmp     $

        bits    32
; All selectors are null here; the old ones lie on the stack.
from_virtual:
        mov     cx, ds
        mov     dx, ss
        mov     ebx, [esp + 20]         ; ES
        mov     esi, [esp + 32]         ; GS
        cmp     eax, 3
        jne     .back
        and     dword [esp + 8], ~0x3000
.back:  iret
virtual_protection:
        pop     edx
        cmp     eax, 5
        je      leave_virtual
        movzx   ebp, bp
        mov     [esp], ebp
        iret

; ---- SYSENTER and SYSEXIT ----
leave_virtual:
        mov     esp, STACK_RING0
        mov     ax, DATA32
        mov     ds, ax
        mov     es, ax
        mov     fs, ax
        mov     gs, ax
        xor     edx, edx
        mov     ecx, 0x174
        xor     eax, eax
        wrmsr
        expect  .no_sysexit
        sysexit                         ; #GP(0): IA32_SYSENTER_CS is null
.no_sysexit:
        mov     ecx, 0x174
        xor     edx, edx
        mov     eax, SYSENTER_BASE
        wrmsr
        inc     ecx
        mov     eax, STACK_INNER
        wrmsr
        inc     ecx
        mov     eax, entered
        wrmsr
        mov     edx, fast
        mov     ecx, STACK_RING3
        sysexit
fast:   mov     ax, cs
        mov     bx, ss
        pushfd
        sysenter
entered:
        mov     ax, cs
        mov     bx, ss
        pushfd
        pop     ecx
        mov     ax, DATA32
        mov     ss, ax
        jmp     CODE32:.end
.end:   jmp     $

        align   4
pointer_local:  dd 0x1000
                dw LOCAL_DATA
pointer_data:   dd 0x2000
                dw DATA32
pointer_stack:  dd STACK_RING0
                dw DATA32
pointer_far:    dd at(protected_far)
                dw CODE32
far_count:      dd 0
bounds:         dd 1, 8
bounds16:       dw -1, 0x7fff
protected_far:  retf

%define BELOW_4G 0x00cf00000000ffff
        align   8
ldt:    dq      0x0040f3001000ffff      ; LOCAL_DATA: base 1000h
        dq      0x00cffb000000ffff      ; LOCAL_CODE
ldt_end:

        begin_gdt
        dq      0x00cfbb000000ffff      ; RING1_CODE
        dq      0x00cfb3000000ffff      ; RING1_STACK
        gate    CODE32, called32, 0xec, 2
        gate    CODE32, called16, 0xe4, 2
        gate    RING1_CODE, called_ring1, 0xec, 1
        dq      0x00cf9f000000ffff      ; CONFORMING
        dw      ldt_end - ldt - 1, at(ldt)
        db      0, 0x82, 0, 0           ; LOCAL
        dq      0x00cf970000000fff      ; EXPAND_DOWN
        dq      0x00cf13000000ffff      ; ABSENT
        dq      0x00cf99000000ffff      ; EXECUTE_ONLY
        dq      0x00cf91000000ffff      ; READ_ONLY
        gate    CODE32, called_same, 0x8c, 0
        gate    CODE32, called_same, 0x8c, 0
        gate    CODE32, called_same, 0x0c, 0
        dq      0x000093010000ffff      ; STACK_16: base 10000h
SYSENTER_BASE   equ $ - gdt
        dq      0x00cf9b000000ffff
        dq      0x00cf93000000ffff
        dq      0x00cffb000000ffff
        dq      0x00cff3000000ffff
        end_gdt
        exception_handlers
        task_state
