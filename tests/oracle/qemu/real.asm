; SPDX-License-Identifier: Apache-2.0
;
; Real-address mode: 16-bit addresses that wrap, segment overrides, 32-bit operands and addresses, near and far transfers
; of both sizes, interrupts, exceptions, single-stepping; "unreal" mode by way of protected mode. Ends in `jmp $`.

ORIGIN          equ 0x7c00
%define at(label) (label - $$ + ORIGIN)
; The instructions that follow raise an exception; the handler goes on at the label.
%macro expect 1
        mov     bp, %1
%endmacro
%macro vector 2
        mov     word [%1 * 4], %2
        mov     word [%1 * 4 + 2], 0
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
.flat:
        vector  0, exception
        vector  1, step
        vector  3, breakpoint
        vector  4, breakpoint
        vector  5, exception
        vector  6, exception
        vector  0x40, service

; ---- addresses ----
        mov     ax, 0x2000
        mov     ds, ax
        mov     ax, 0x2800
        mov     es, ax
        mov     ax, 0x3000
        mov     fs, ax
        mov     gs, ax
        mov     bx, 0xfff0
        mov     si, 0x0020
        mov     di, 0x8000
        mov     word [bx + si], 0x1111          ; wraps to 10h
        mov     word [bx + si + 0x7ff0], 0x2222
        mov     word [bx + di - 2], 0x3333
        mov     word [es:bx + 0x1234], 0x4444
        mov     word [fs:si - 0x40], 0x5555     ; FFE0h
        mov     bp, 0x100
        mov     cx, [bp + si]                   ; SS
        mov     dx, [ds:bp + di]
        mov     ax, [0x10]
        mov     ax, [0x8010]
        lea     ax, [bx + si]
        lea     eax, [bx + si]
        lea     ax, [ebx + esi * 2 + 0x12345]
        lea     eax, [ebx + esi * 2 + 0x12345]
        mov     ecx, 0x8000
        mov     eax, [ecx + 0x10]
        mov     byte [ds:ecx + ebx - 0xfff0], 7
        mov     dword [0x40], 0x56789abc
        mov     word [0x44], 0x2345
        lds     si, [0x40]
        mov     ax, 0x2000
        mov     ds, ax
        les     edi, [0x40]
        lfs     dx, [0x42]
        lgs     ebx, [0x40]
        mov     bx, 0x40
        mov     al, 3
        xlat
        mov     al, 1
        gs xlat

; ---- strings ----
        mov     ax, 0x2000
        mov     es, ax
        mov     di, 0xfffc
        mov     cx, 4
        mov     eax, 0xaabbccdd
        rep stosw                               ; wraps
        std
        mov     si, 2
        mov     di, 0x202
        mov     cx, 4
        rep movsw
        cld
        mov     ecx, 0x10003
        mov     edi, 0x100
        mov     esi, 0x200
        rep movsb                               ; CX counts
        mov     ecx, 3
        a32 rep movsb
        mov     si, 0x100
        mov     di, 0x100
        mov     cx, 5
        repe cmpsb
        mov     cx, 5
        inc     di
        repne cmpsw
        fs lodsb
        fs lodsd
        xor     cx, cx
        rep movsb
        jcxz    .zero
        inc     ax
.zero:  mov     cx, 3
.loop:  loop    .loop
        mov     ecx, 0x10001
        a32 loop .loop2
.loop2: mov     cx, 5
        cmp     cx, 5
        loope   .loop3
        nop
.loop3:
; ---- stack ----
        push    sp
        pop     ax
        pusha
        popa
        pushad
        popad
        push    dword 0x12345678
        push    -1
        push    dword -2
        pop     eax
        pop     dx
        pop     ebx
        pushfd
        pop     ecx
        push    ecx
        popfd
        push    gs
        pop     word [0x50]
        push    word [0x50]
        pop     gs
        o32 push fs
        o32 pop fs
        mov     bp, sp
        push    1
        push    2
        push    3
        lea     bp, [bp - 2]
        enter   4, 1
        leave
        enter   4, 4
        leave
        o32 enter 8, 3
        o32 leave
        xor     ax, ax
        mov     ss, ax
        mov     sp, ORIGIN

; ---- transfers ----
        call    .near
        call    dword .near32
        mov     bx, .near
        call    bx
        push    cs
        call    .far
        call    0:.far
        call    dword 0:.far32
        mov     word [0x60], .far
        mov     word [0x62], 0
        call    far [0x60]
        mov     dword [0x64], .far32
        mov     word [0x68], 0
        call    far dword [0x64]
        push    7
        push    cs
        push    .ret
        retf    2
.near:  ret
.near32:
        o32 ret
.far:   retf
.far32: o32 retf
.ret:   pushf
        push    cs
        push    .iret
        iret
.iret:  pushfd
        push    dword 0
        push    dword .iretd
        iretd
.iretd: jmp     0x7c0:.segment - ORIGIN
.segment:
        mov     ax, cs
        jmp     0:.back
.back:
; ---- exceptions ----
        int     0x40
        int3
        mov     al, 0x80
        add     al, 0x80
        into
        clc
        into
        expect  .divide
        mov     ax, 0x8000
        mov     dx, 0x7fff
        mov     cl, 1
        idiv    cl
.divide:
        expect  .overflow
        xor     edx, edx
        mov     eax, 0x80000000
        mov     ecx, -1
        cdq
        xor     edx, edx
        dec     edx
        idiv    ecx
.overflow:
        expect  .aam
        db      0xd4, 0                         ; AAM 0
.aam:   expect  .bound
        mov     dword [0x70], 0x00050003
        mov     ax, 6
        bound   ax, [0x70]
.bound: mov     ax, 5
        bound   ax, [0x70]
        expect  .undefined
        ud2
.undefined:
        expect  .arpl
        db      0x63, 0xc0                      ; ARPL, LAR, LTR: not in this mode
.arpl:  expect  .lar
        lar     ax, bx
.lar:   expect  .ltr
        ltr     ax
.ltr:   expect  .mov_cs
        db      0x8e, 0xc8                      ; MOV CS, AX
.mov_cs:
        smsw    ax
        smsw    [0x70]
        sidt    [0x72]
        mov     ax, [0x72]
        cli
        sti
        cli
        pushf
        or      word [esp], 0x100
        popf                                    ; single-step
        nop
        mov     ax, 0
        mov     ss, ax
        mov     dx, 1
        mov     cx, 2
        mov     di, 0x80
        rep stosb
        int     0x40                            ; TF is off within
        pushf
        and     word [esp], ~0x100
        popf
        nop

; ---- protected mode and back, with a big data segment ----
        xor     ax, ax
        mov     ds, ax
        lgdt    [gdt_pointer]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     $ + 2
        mov     bx, 8
        mov     ds, bx
        mov     es, bx
        and     al, 0xfe
        mov     cr0, eax
        jmp     0:.unreal
.unreal:
        mov     ebx, 0x123450
        mov     dword [ebx], 0xcafebabe
        mov     eax, [ebx + 2]
        mov     ecx, 4
        mov     esi, ebx
        lea     edi, [ebx + 0x10]
        a32 rep movsb
        mov     ax, 0x1000                      ; the limit stays
        mov     ds, ax
        mov     eax, [ebx - 0x10000]
        lmsw    bx
        jmp     $

exception:
        add     sp, 2
        push    bp
        iret
breakpoint:
        iret
step:   inc     dword [cs:steps]
        iret
service:
        mov     bx, sp
        mov     ax, [ss:bx + 4]
        pushf
        pop     dx
        iret

        align   8
gdt:    dq      0
        dq      0x008f92000000ffff
gdt_pointer:
        dw      15
        dd      gdt
steps:  dd      0
