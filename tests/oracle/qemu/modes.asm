; SPDX-License-Identifier: Apache-2.0
;
; A walk through the processor's modes, one instruction at a time: real mode, protected mode, 32-bit paging,
; long mode, ring 3; exceptions are taken in each of them. Loaded at 7C00h, entered there in real mode, ends in `jmp $`.
; Left out, because QEMU 7.2 does not fault where the manual says so: accesses through a null selector or beyond a
; limit, LTR of a null selector, reserved bits of CR4; and because its error codes are wrong: of a page fault by a
; reserved bit (it lacks P), of #GP for a gate in long mode (vector times 16).
; nasm -f bin -o modes.bin modes.asm

ORIGIN          equ 0x7c00
STACK16         equ 0x7c00
STACK32         equ 0x9f00
STACK64         equ 0xaf00
STACK_RING0     equ 0xbf00
STACK_RING3     equ 0xcf00
PAGE_DIRECTORY  equ 0x20000
PAGE_TABLE      equ 0x21000
PML4            equ 0x22000
PDPT            equ 0x23000
PD64            equ 0x24000
PT64            equ 0x25000

CODE32          equ 0x08
DATA32          equ 0x10
CODE64          equ 0x18
NOT_PRESENT     equ 0x20
USER_DATA       equ 0x28 | 3
USER_CODE       equ 0x30 | 3
TASK            equ 0x38

IA32_STAR       equ 0xc0000081
IA32_LSTAR      equ 0xc0000082
IA32_FMASK      equ 0xc0000084
IA32_EFER       equ 0xc0000080
IA32_FS_BASE    equ 0xc0000100
IA32_KERNEL_GS_BASE equ 0xc0000102

%define at(label) (label - $$ + ORIGIN)

; The instructions that follow raise an exception; the handler goes on at the label in EBP or RBP.
%macro expect32 1
        mov     ebp, %1
%endmacro
%macro expect64 1
        mov     rbp, %1
%endmacro

        org     ORIGIN
        bits    16

; ---- real mode ----
start:  cli
        cld
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, STACK16
        jmp     0:.flat
.flat:  mov     word [0 * 4], real_divide
        mov     word [0 * 4 + 2], ax
        mov     word [0x20 * 4], real_service
        mov     word [0x20 * 4 + 2], ax
        int     0x20
        mov     ax, 0x1234
        xor     dx, dx
        xor     cx, cx
        div     cx                      ; #DE: the handler skips it
        mov     cx, 7
        div     cx
        mov     bx, 0x2000              ; segment arithmetic
        mov     es, bx
        mov     di, 0xfffe
        stosw
        stosw                           ; DI wraps
        mov     ax, [es:0xfffe]
        xor     di, di
        mov     cx, 5
        rep     stosb
        lea     si, [bx + di + 3]
        push    bx
        pusha
        popa
        pop     fs
        mov     gs, ax
        pushf
        pop     ax
        call    far [.far_pointer]
        mov     ax, 0x0905
        add     al, 8
        aaa
        daa
        aam
        aad
        mov     eax, 0x89abcdef         ; 32-bit operands in 16-bit code
        imul    eax, eax, 17
        shld    eax, edx, 5
        a32 lea ecx, [eax + eax * 4 + 1]
        enter   8, 1
        leave
        sti
        cli
        jmp     to_protected
.far_pointer:
        dw      real_far, 0
real_far:
        stc
        retf
real_divide:
        push    bp
        mov     bp, sp
        add     word [bp + 2], 2
        pop     bp
        iret
real_service:
        mov     bx, sp
        mov     dx, [bx + 4]
        iret

; ---- protected mode ----
to_protected:
        lgdt    [gdt_pointer]
        lidt    [idt32_pointer]
        smsw    ax
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     CODE32:protected

        bits    32
protected:
        mov     ax, DATA32
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     fs, ax
        mov     gs, ax
        mov     esp, STACK32
        expect32 .after_divide
        xor     ecx, ecx
        div     ecx                     ; #DE
.after_divide:
        expect32 .after_undefined
        ud2                             ; #UD
.after_undefined:
        expect32 .after_selector
        mov     ax, 0x1238
        mov     es, ax                  ; #GP(1238h)
.after_selector:
        expect32 .after_absent
        mov     ax, NOT_PRESENT
        mov     fs, ax                  ; #NP
.after_absent:
        xor     eax, eax
        mov     gs, ax
        expect32 .after_breakpoint
        int3
.after_breakpoint:
        expect32 .after_gate
        int     0x30
.after_gate:
        expect32 .after_bound
        mov     eax, 9
        bound   eax, [bound_pair]           ; #BR
.after_bound:
        expect32 .after_overflow
        mov     al, 0x7f
        inc     al
        into                            ; #OF
.after_overflow:
        expect32 .after_step
        pushf
        or      dword [esp], 0x100
        popf                            ; TF: #DB after the next instruction
        nop
.after_step:
        lar     eax, [selector_words]
        lsl     ecx, [selector_words]
        verr    [selector_words + 2]
        str     dx
        sldt    bx

; ---- 32-bit paging ----
        mov     dword [PAGE_DIRECTORY], 0x83            ; 4 MiB, identical
        mov     dword [PAGE_DIRECTORY + 4], PAGE_TABLE | 7
        mov     dword [PAGE_TABLE], 0x30000 | 3         ; 400000h
        mov     dword [PAGE_TABLE + 4], 0x31000 | 1     ; 401000h: read-only
        mov     eax, cr4
        or      al, 0x10                                ; PSE
        mov     cr4, eax
        mov     eax, PAGE_DIRECTORY
        mov     cr3, eax
        mov     eax, cr0
        or      eax, 0x80010000                         ; PG, WP
        mov     cr0, eax
        mov     dword [0x400010], 0x11223344
        mov     eax, [0x30010]
        mov     ecx, [PAGE_TABLE]                       ; accessed and dirty
        expect32 .after_missing
        mov     eax, [0x402004]                         ; #PF(0)
.after_missing:
        expect32 .after_read_only
        mov     [0x401008], eax                         ; #PF(3)
.after_read_only:
        expect32 .after_crossing
        mov     eax, [0x401ffe]                         ; #PF in the second page
.after_crossing:
        mov     dword [PAGE_TABLE + 4], 0x31000 | 3
        invlpg  [0x401000]
        mov     [0x401008], eax
        mov     eax, cr0
        and     eax, 0x7fffffff
        mov     cr0, eax

; ---- long mode ----
        mov     dword [PML4], PDPT | 7
        mov     dword [PDPT], PD64 | 7
        mov     dword [PD64], 0x87                      ; 2 MiB, identical, for ring 3 too
        mov     dword [PD64 + 8], PT64 | 7
        mov     dword [PT64], 0x40000 | 3               ; 200000h: supervisor
        mov     dword [PT64 + 8], 0x41000 | 7           ; 201000h
        mov     dword [PT64 + 12], 0x80000000           ;          no execution
        mov     eax, cr4
        or      al, 0x20                                ; PAE
        mov     cr4, eax
        mov     eax, PML4
        mov     cr3, eax
        mov     ecx, IA32_EFER
        rdmsr
        or      eax, 0x901                              ; NXE, LME, SCE
        wrmsr
        mov     eax, cr0
        or      eax, 0x80000000
        mov     cr0, eax
        lidt    [idt64_pointer]
        jmp     CODE64:long_mode

bound_pair: dd      1, 8
selector_words:
        dw      CODE32, DATA32

handler32:
        mov     [esp], ebp
        and     dword [esp + 8], ~0x100
        iret
handler32_code:
        pop     edx
        mov     [esp], ebp
        iret
handler32_page:
        pop     edx
        mov     ebx, cr2
        mov     [esp], ebp
        iret

        bits    64
long_mode:
        xor     eax, eax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     fs, ax
        mov     gs, ax
        mov     rsp, STACK64
        mov     rax, 0x123456789abcdef0
        mov     ax, TASK
        ltr     ax
        expect64 .after_divide
        xor     ecx, ecx
        div     rcx
.after_divide:
        expect64 .after_canonical
        mov     rbx, 0x800000000000
        mov     rax, [rbx]                              ; #GP(0)
.after_canonical:
        expect64 .after_missing
        mov     rax, [0x202008]                         ; #PF(0)
.after_missing:
        expect64 .after_execute
        mov     rax, 0x201000
        jmp     rax                                     ; #PF(11h): no execution
.after_execute:
        bts     qword [PT64], 51                        ; reserved, but the translation is cached
        btr     qword [PT64], 51
        invlpg  [0x200000]
        mov     rax, [0x200000]
        expect64 .after_control
        mov     eax, DATA32
        ltr     ax                                      ; #GP(10h): not a TSS
.after_control:
        mov     rax, 5
        mov     cr8, rax
        mov     rbx, cr8
        xor     eax, eax
        mov     cr8, rax
        mov     ecx, IA32_FS_BASE
        mov     eax, 0x201000
        xor     edx, edx
        wrmsr
        mov     rax, [fs:8]
        mov     ecx, IA32_KERNEL_GS_BASE
        mov     eax, 0x1000
        wrmsr
        swapgs
        swapgs
        mov     ecx, IA32_STAR
        xor     eax, eax
        mov     edx, ((USER_DATA - 8) << 16) | CODE64
        wrmsr
        mov     ecx, IA32_LSTAR
        mov     eax, system_call
        xor     edx, edx
        wrmsr
        mov     ecx, IA32_FMASK
        mov     eax, 0x600
        wrmsr

; ---- ring 3 ----
        mov     ecx, ring3
        mov     r11d, 0x2
        mov     esp, STACK_RING3
        o64 sysret
ring3:  mov     eax, 1
        syscall
        mov     eax, 2
        expect64 .after_halt
        hlt                                             ; #GP(0), on the stack of the TSS
.after_halt:
        expect64 .after_supervisor
        mov     rax, [0x200000]                         ; #PF(5)
.after_supervisor:
        expect64 .after_service
        int     0x30
.after_service:
        mov     eax, 3
        syscall

system_call:
        cmp     eax, 3
        je      .return
        o64 sysret
.return:
        mov     rsp, STACK64
        mov     ax, USER_DATA & ~3
        push    USER_DATA
        push    STACK_RING3
        push    0x202
        push    USER_CODE
        push    .again
        iretq
.again: mov     rdx, rsp
        jmp     $

handler64:
        mov     [rsp], rbp
        iretq
handler64_code:
        pop     rdx
        mov     [rsp], rbp
        iretq
handler64_page:
        pop     rdx
        mov     rbx, cr2
        mov     [rsp], rbp
        iretq

; ---- tables ----
        align   16
gdt:    dq      0
        dq      0x00cf9b000000ffff      ; CODE32 (accessed: QEMU does not mark code segments)
        dq      0x00cf92000000ffff      ; DATA32
        dq      0x00af9b000000ffff      ; CODE64
        dq      0x00cf12000000ffff      ; NOT_PRESENT
        dq      0x00cff2000000ffff      ; USER_DATA
        dq      0x00affb000000ffff      ; USER_CODE
        dw      tss_end - tss - 1, at(tss)
        db      0, 0x89, 0, 0
        dq      0
gdt_end:
gdt_pointer:
        dw      gdt_end - gdt - 1
        dd      gdt

%macro gate32 2                         ; handler, type
        dw      at(%1), CODE32
        db      0, %2
        dw      0
%endmacro
%macro gate64 2
        dw      at(%1), CODE64
        db      0, %2
        dw      0
        dq      0
%endmacro

        align   16
idt32:
%assign vector 0
%rep 0x31
  %if vector == 14
        gate32  handler32_page, 0x8e
  %elif vector == 8 || (vector >= 10 && vector <= 13) || vector == 17
        gate32  handler32_code, 0x8e
  %else
        gate32  handler32, 0x8f
  %endif
  %assign vector vector + 1
%endrep
idt32_end:
idt32_pointer:
        dw      idt32_end - idt32 - 1
        dd      idt32

        align   16
idt64:
%assign vector 0
%rep 0x32
  %if vector == 14
        gate64  handler64_page, 0x8e
  %elif vector == 8 || (vector >= 10 && vector <= 13) || vector == 17
        gate64  handler64_code, 0x8e
  %elif vector == 0x30
        gate64  handler64, 0xef
  %else
        gate64  handler64, 0x8f
  %endif
  %assign vector vector + 1
%endrep
idt64_end:
idt64_pointer:
        dw      idt64_end - idt64 - 1
        dd      idt64

        align   16
tss:    dd      0
        dq      STACK_RING0
        times   92 db 0
tss_end:
