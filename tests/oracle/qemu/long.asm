; SPDX-License-Identifier: Apache-2.0
;
; Long mode: far transfers between 64-bit and compatibility code, 16-byte gates, interrupt stacks, SYSCALL and SYSENTER
; from both kinds of code, canonical addresses, string instructions with 32-bit addresses, single-stepping, a double
; fault. Ends in `jmp $`. Needs an Intel processor (SYSENTER in 64-bit code).
; Left out, because QEMU 7.2 has it not: alignment checks, code breakpoints while it is stepped from outside, #UD for
; SYSCALL in compatibility mode; and an interrupt stack without change of level, where it loads SS.

ORIGIN          equ 0x7c00
STACK           equ 0x11f00
STACK_RING0     equ 0x13f00
STACK_RING3     equ 0x6f00
STACK_IST       equ 0x15f08             ; will be aligned down
STACK_DOUBLE    equ 0x16f00
STACK_SYSENTER  equ 0x17f00
PML4            equ 0x1000
PDPT            equ 0x2000
DIRECTORY       equ 0x3000
TABLE           equ 0x4000
BUFFER          equ 0x30000

IA32_EFER       equ 0xc0000080
IA32_STAR       equ 0xc0000081
IA32_LSTAR      equ 0xc0000082
IA32_FMASK      equ 0xc0000084
IA32_SYSENTER_CS equ 0x174

CODE32          equ 0x08
DATA32          equ 0x10
CODE64          equ 0x18
KERNEL_DATA     equ 0x20
USER_CODE32     equ 0x28 | 3
USER_DATA       equ 0x30 | 3
USER_CODE64     equ 0x38 | 3
TASK            equ 0x40
GATE            equ 0x50                ; for ring 0
USER_GATE       equ 0x60 | 3
SYSENTER_BASE   equ 0x70                ; CODE64, data, user code and data of 32 bits, of 64 bits
LOCAL           equ 0xa0

%define at(label) (label - $$ + ORIGIN)
%macro expect 1
        mov     rbp, %1
%endmacro
%macro set_msr 3                        ; number, high, low
        mov     ecx, %1
        mov     edx, %2
        mov     eax, %3
        wrmsr
%endmacro

        org     ORIGIN
        bits    16
        cli
        cld
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, ORIGIN
        jmp     0:.flat
.flat:  mov     dword [PML4], PDPT | 7
        mov     dword [PDPT], DIRECTORY | 7
        mov     dword [DIRECTORY], 0x87
        mov     dword [DIRECTORY + 8], TABLE | 0x27
        mov     dword [TABLE], (BUFFER & 0xffff0000) | 3
        mov     dword [TABLE + 8], BUFFER | 7
        lgdt    [gdt_pointer]
        lidt    [idt_pointer]
        mov     eax, 0x620              ; PAE, OSFXSR, OSXMMEXCPT
        mov     cr4, eax
        mov     eax, PML4
        mov     cr3, eax
        mov     ecx, IA32_EFER
        rdmsr
        or      eax, 0x901
        wrmsr
        mov     eax, cr0
        or      eax, 0x80010001
        mov     cr0, eax
        jmp     CODE64:long_mode

        bits    64
long_mode:
        xor     eax, eax
        mov     ss, ax
        mov     ax, DATA32
        mov     ds, ax
        mov     es, ax
        mov     rsp, STACK
        mov     ax, TASK
        ltr     ax
        mov     ax, LOCAL
        lldt    ax
        sldt    rax
        str     rcx
        mov     rax, 0x8877665544332211
        mov     ecx, TASK
        lar     rax, rcx
        lsl     rax, rcx
        mov     ecx, GATE
        lar     eax, ecx
        lsl     eax, ecx
        mov     ecx, LOCAL
        lar     eax, ecx
        lsl     eax, ecx
        verr    cx
        mov     ecx, CODE64
        lar     eax, ecx
        lsl     rax, rcx
        expect  .busy
        mov     eax, TASK
        ltr     ax
.busy:
; ---- stack and flags ----
        mov     rax, 0x123456789abcdef0
        push    rax
        push    ax
        push    -2
        push    word 0x1234
        pop     bx
        pop     rcx
        pop     dx
        pop     rsi
        pushfq
        pop     rbx
        push    0x246ad5
        popfq
        o16 pushf
        o16 popf
        pushfq
        push    2
        popfq
        push    fs
        pop     gs
        o16 push fs
        o16 pop gs
        push    rsp
        pop     rsp
        push    qword [rsp]
        pop     qword [rsp + 8]
        mov     rbp, rsp
        enter   0x20, 3
        leave
        o16 enter 8, 1
        mov     rsp, STACK
        call    .near
        mov     eax, .near2
        call    rax
        jmp     .on
.near:  ret
.near2: ret     8
.on:    mov     rsp, STACK
; ---- canonical addresses ----
        expect  .stack_address
        mov     rax, 0x8000000000000000
        mov     rcx, [rsp + rax]                        ; #SS(0)
.stack_address:
        expect  .data_address
        mov     rcx, [rax]                              ; #GP(0)
.data_address:
        expect  .end_of_low
        mov     rax, 0x7ffffffffff8
        mov     rcx, [rax]                              ; the last: #PF. QEMU does not look at the end of those behind it
.end_of_low:
        expect  .jump
        mov     rax, 0xffff800000000000
        jmp     rax                                     ; #PF(10h)
.jump:  expect  .high_page
        mov     rcx, [rax + 8]                          ; #PF(0), CR2 negative
.high_page:
; ---- 32-bit addresses, strings ----
        mov     rax, -1
        mov     rbx, 0xffffffff00030000
        mov     [ebx], rax
        lea     rcx, [ebx + 8]
        lea     ecx, [rbx - 8]
        mov     rdi, 0x5555555500030010
        mov     rcx, 0x7777777700000005
        a32 rep stosw                                   ; upper halves vanish
        mov     rsi, 0x30000
        mov     rdi, 0x30100
        mov     ecx, 7
        rep movsb
        mov     ecx, 3
        rep movsq
        std
        mov     ecx, 4
        rep movsd
        cld
        mov     rdi, 0x30000
        mov     ecx, 64
        mov     al, 0xff
        repe scasb
        mov     ecx, 64
        repne scasb
        mov     rsi, 0x30000
        mov     rdi, 0x30100
        mov     ecx, 100
        repe cmpsb
        xor     ecx, ecx
        rep lodsq
        mov     rcx, 0x100000000
        a32 jecxz .zero
        mov     rax, 0
.zero:  jrcxz   .never
        mov     rcx, 0x100000002
.loop:  a32 loop .loop
.never: mov     rdi, 0x200ffc
        mov     rsi, 0x30000
        mov     ecx, 8
        expect  .rep_faults
        mov     qword [TABLE + 8], 0
        invlpg  [0x201000]
        rep movsb                                       ; four bytes, then #PF with RCX = 4
.rep_faults:
        mov     qword [TABLE + 8], BUFFER | 7
; ---- far transfers ----
        call    far dword [pointer32]
        call    far [pointer64]
        jmp     far dword [pointer_on]
on:     call    far dword [pointer_gate]
        expect  .data
        jmp     far dword [pointer_data]                      ; #GP(10h)
.data:  expect  .local
        jmp     far dword [pointer_local]                     ; #GP: not a segment
.local: push    CODE64
        push    .far
        o64 retf
.far:   push    KERNEL_DATA                             ; IRETQ within ring 0: SS is loaded too
        push    STACK
        push    0x402
        push    CODE64
        push    .far2
        iretq
.far2:  xor     eax, eax
        mov     ss, ax                                  ; QEMU would load it for an interrupt stack
        int     0x32                                    ; IST
        mov     rax, cr8
; ---- compatibility mode in ring 0 ----
        mov     eax, KERNEL_DATA
        mov     ss, ax
        push    CODE32
        push    compatibility
        o64 retf

        bits    32
compatibility:
        mov     eax, 0x11223344
        mov     ecx, ss
        push    eax
        pushad
        popad
        pushfd
        popfd
        mov     ebx, esp
        inc     eax
        int     0x33                                    ; 64-bit handler, back to here
        call    CODE32:.far
        call    GATE:0                                  ; to 64-bit code, RETFQ
        mov     ax, DATA32
        mov     ss, ax
        mov     dword [BUFFER], 0x01020304
        mov     eax, [es:BUFFER]
        jmp     CODE64:wide
.far:   retf

        bits    64
wide:   mov     rax, rsp
        mov     rsp, STACK

; ---- SYSCALL ----
        set_msr IA32_STAR, ((USER_CODE32 & ~3) << 16) | CODE64, 0
        set_msr IA32_LSTAR, 0, system_call
        set_msr IA32_FMASK, 0, 0x4700
        mov     ecx, ring3
        mov     r11d, 0x3202
        mov     r15, STACK_RING3
        mov     rsp, r15
        o64 sysret
ring3:  mov     r12, USER_DATA
        mov     eax, 1
        syscall
        int     0x30
        call    far dword [pointer_user_gate]
        expect  .private
        call    far dword [pointer_gate]                      ; #GP: DPL 0
.private:
        expect  .halt
        hlt
.halt:  expect  .supervisor
        mov     rax, [0x200000]
.supervisor:
        expect  .swapgs
        swapgs
.swapgs:
        expect  .sysret
        o64 sysret
.sysret:
        push    USER_DATA
        push    STACK_RING3
        push    0x3602                                  ; IOPL and IF may stay
        push    USER_CODE64
        push    .iret
        iretq
.iret:  cld
        mov     eax, 2                                  ; come back in compatibility mode
        syscall

        bits    32
ring3_32:
        mov     eax, esp
        mov     ecx, cs
        mov     ecx, ss
        pushad
        popad
        int     0x30
        push    dword 0x12345678
        pop     eax
        call    USER_GATE:0
        mov     eax, USER_DATA
        mov     ds, ax
        mov     ebp, .page
        mov     eax, [0x200004]
.page:  jmp     USER_CODE64:ring3_again

        bits    64
ring3_again:
        mov     eax, 3
        syscall
system_call:
        mov     r13, rsp
        mov     r14, r11
        cmp     eax, 2
        je      .narrow
        ja      .out
        o64 sysret
.narrow:
        mov     ecx, ring3_32
        sysret
.out:   mov     rsp, STACK

; ---- SYSENTER ----
        set_msr IA32_SYSENTER_CS, 0, SYSENTER_BASE
        set_msr IA32_SYSENTER_CS + 1, 0, STACK_SYSENTER
        set_msr IA32_SYSENTER_CS + 2, 0, entered
        xor     ebx, ebx
        mov     edx, fast32
        mov     ecx, STACK_RING3
        sysexit
        bits    32
fast32: mov     eax, cs
        mov     ecx, ss
        inc     ebx
        sysenter
        bits    64
entered:
        mov     rax, rsp
        mov     ecx, ss
        mov     rdx, fast64
        mov     rcx, STACK_RING3
        cmp     ebx, 2
        je      done
        o64 sysexit
fast64: mov     eax, cs
        inc     ebx
        sysenter

; ---- single-stepping ----
done:   mov     rsp, STACK
        xor     r10d, r10d                              ; counts the steps
        mov     rax, cr0
        mov     byte [stepping], 1
        pushfq
        or      qword [rsp], 0x100
        popfq
        nop
        mov     ax, KERNEL_DATA
        mov     ss, ax                                  ; no trap after this one
        mov     eax, 1
        xor     ecx, ecx
        mov     ecx, 2
        mov     rdi, BUFFER
        rep stosb                                       ; a trap for each
        call    .stepped
        pushfq
        and     qword [rsp], ~0x100
        popfq
        nop
        mov     rax, dr6
        mov     rax, dr7
        mov     eax, 0xffff0ff0
        mov     dr6, rax
        mov     rax, dr6
        mov     rcx, 0x7fff00001234
        mov     dr0, rcx
        mov     rdx, dr0
        jmp     .double
.stepped:
        ret
; ---- double fault: #GP whose gate is absent ----
.double:
        xor     eax, eax
        mov     ss, ax
        and     byte [idt + 13 * 16 + 5], 0x7f
        expect  .end
        mov     rax, 0x8000000000000000
        mov     rax, [rax]
.end:   mov     rbx, rsp
        jmp     $

far_return:
        retf
far_return64:
        o64 retf
from_gate:
        mov     eax, cs
        mov     ecx, ss
        mov     rdx, [rsp]
        mov     rbx, [rsp + 8]
        o64 retf
handler_step:
        inc     r10d
        iretq
handler:
        mov     [rsp], rbp
        iretq
handler_code:
        pop     rdx
        mov     [rsp], rbp
        iretq
handler_page:
        pop     rdx
        mov     rbx, cr2
        mov     [rsp], rbp
        iretq
handler_back:
        mov     rcx, rsp
        mov     rdx, [rsp + 24]
        iretq
handler_double:
        pop     rdx
        mov     rcx, rsp
        mov     rax, [rsp + 8]
        mov     [rsp], rbp
        iretq

        align   8
pointer32:      dd far_return
                dw CODE64
                align 8
pointer64:      dq far_return64
                dw CODE64
                align 8
pointer_on:     dd on
                dw CODE64
pointer_gate:   dd 0
                dw GATE
pointer_user_gate:
                dd 0
                dw USER_GATE
pointer_data:   dd 0
                dw DATA32
pointer_local:  dd 0
                dw LOCAL
stepping:       db 0

        align   16
gdt:    dq      0
        dq      0x00cf9b000000ffff      ; CODE32
        dq      0x00cf93000000ffff      ; DATA32
        dq      0x00af9b000000ffff      ; CODE64
        dq      0x00cf93000000ffff      ; KERNEL_DATA
        dq      0x00cffb000000ffff      ; USER_CODE32
        dq      0x00cff3000000ffff      ; USER_DATA
        dq      0x00affb000000ffff      ; USER_CODE64
        dw      tss_end - tss - 1, at(tss)
        db      0, 0x89, 0, 0           ; TASK
        dq      0
        dw      at(from_gate), CODE64
        db      0, 0x8c, 0, 0           ; GATE
        dq      0
        dw      at(from_gate), CODE64
        db      0, 0xec, 0, 0           ; USER_GATE
        dq      0
        dq      0x00af9b000000ffff      ; SYSENTER_BASE
        dq      0x00cf93000000ffff
        dq      0x00cffb000000ffff
        dq      0x00cff3000000ffff
        dq      0x00affb000000ffff
        dq      0x00cff3000000ffff
        dw      0xf, at(gdt)
        db      0, 0x82, 0, 0           ; LOCAL
        dq      0
gdt_end:
gdt_pointer:
        dw      gdt_end - gdt - 1
        dd      gdt

%macro gate 3                           ; handler, type, interrupt stack
        dw      at(%1), CODE64
        db      %3, %2
        dw      0
        dq      0
%endmacro
        align   16
idt:
%assign vector 0
%rep 0x34
  %if vector == 1
        gate    handler_step, 0x8e, 0
  %elif vector == 8
        gate    handler_double, 0x8e, 2
  %elif vector == 14
        gate    handler_page, 0x8e, 0
  %elif vector >= 10 && vector <= 13
        gate    handler_code, 0x8e, 0
  %elif vector == 0x32
        gate    handler_back, 0xef, 1
  %elif vector == 0x30 || vector == 0x33
        gate    handler_back, 0xef, 0
  %else
        gate    handler, 0x8f, 0
  %endif
  %assign vector vector + 1
%endrep
idt_end:
idt_pointer:
        dw      idt_end - idt - 1
        dd      idt

        align   16
tss:    dd      0
        dq      STACK_RING0, 0, 0, 0
        dq      STACK_IST, STACK_DOUBLE, 0, 0, 0, 0, 0
        times   104 - 92 db 0
tss_end:
