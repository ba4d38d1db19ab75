; SPDX-License-Identifier: Apache-2.0
;
; Bochs' firmware, in place of a BIOS: copies an image into memory and jumps to it, so that nothing else has run before.
; KERNEL: a multiboot image, loaded at 1 MByte and entered in protected mode. Otherwise one that is entered in real mode
; at 7C00h. IMAGE: the file; ENTRY: where a multiboot image begins. 256 KBytes below 4 GBytes; the last 128 at E0000h too.

ROM             equ 0xfffc0000
LOW_ROM         equ 0xe0000
SEGMENT_BASE    equ 0xf0000
REAL_ENTRY      equ 0x7c00

section .text start=0 vstart=0
%ifndef ENTRY
        times 0x20000 db 0xff           ; real mode reaches the last 128 KBytes
%endif
image:  incbin  IMAGE
image_size      equ $ - image
        times 0x3f000 - ($ - $$) db 0xff

section .stub start=0x3f000 vstart=0xf000
bits 16
start:  cli
        cld
%ifdef ENTRY
        lgdt    [cs:gdtr]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     dword 8:SEGMENT_BASE + protected
bits 32
protected:
        mov     ax, 16
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     fs, ax
        mov     gs, ax
        mov     esi, ROM
        mov     edi, 0x100000
        mov     ecx, image_size
        rep movsb
        mov     ecx, 0x3a               ; IA32_FEATURE_CONTROL: VMX outside SMX, locked
        mov     eax, 5
        xor     edx, edx
        wrmsr
        mov     eax, 0x2badb002
        xor     ebx, ebx
        mov     edx, ENTRY
        jmp     edx
align 8
gdt:    dq      0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr:   dw      $ - gdt - 1
        dd      SEGMENT_BASE + gdt
%else
        mov     ax, LOW_ROM >> 4
        mov     ds, ax
        xor     ax, ax
        mov     es, ax
        xor     si, si
        mov     di, REAL_ENTRY
        mov     cx, image_size
        rep movsb
        mov     ds, cx
        xor     ebx, ebx
        xor     edx, edx
        xor     esi, esi
        xor     edi, edi
        xor     ebp, ebp
        xor     esp, esp
        jmp     0:REAL_ENTRY
%endif
        times 0xff0 - ($ - $$) db 0xff
bits 16
        jmp     0xf000:start
        times 0x1000 - ($ - $$) db 0xff
