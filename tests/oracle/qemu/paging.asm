; SPDX-License-Identifier: Apache-2.0
;
; Paging of 32 bits with 4 MiB pages (PSE-36 too) and PAE, with every combination of user, writable and WP, from rings 0
; and 3; no-execute; the accessed and dirty bits; SMEP and SMAP. Ends in `jmp $`. Needs a processor with all of these.
; Error codes of read-modify-write instructions are left out: QEMU reports the read.

%include "protected.inc"

RING1_STACK     equ DATA32
PAGE_DIRECTORY  equ 0x20000
PAGE_TABLE      equ 0x21000
PDPT            equ 0x22000
PAE_DIRECTORY   equ 0x23000
PAE_TABLE       equ 0x24000

%define HANDLER_49 from_user            ; 31h: EAX says where to go on in ring 0
%define HANDLER_TYPE_49 0xee

; All kinds of access to a page: EDI is its address.
%macro accesses 1
        expect  %%read
        mov     eax, [edi + 0x10]
%%read: expect  %%write
        mov     [edi + 0x14], ebp
%%write:
        expect  %%fetch
        lea     eax, [edi + 0x20]
        mov     edx, %%fetch
        jmp     eax                     ; there: JMP EDX
%%fetch:
        mov     ecx, %1
%endmacro

        enter_protected
; what the pages hold: `jmp edx` at 20h
        mov     edi, 0x30000
        mov     ecx, 16
.fill:  mov     dword [edi + 0x20], 0x9090e2ff
        add     edi, 0x1000
        loop    .fill
        mov     dword [0x400020], 0x9090e2ff
; eight pages from 400000h: P, W, U in all combinations
        xor     ecx, ecx
.entry: mov     eax, ecx
        shl     eax, 12
        add     eax, 0x30000
        or      eax, ecx
        mov     [PAGE_TABLE + ecx * 4], eax
        inc     ecx
        cmp     ecx, 8
        jb      .entry
        mov     dword [PAGE_TABLE + 32], 0x38000 | 1
        mov     dword [PAGE_TABLE + 36], 0x39000 | 3
        mov     dword [PAGE_DIRECTORY], 0x87
        mov     dword [PAGE_DIRECTORY + 4], PAGE_TABLE | 0x27              ; accessed already: QEMU marks it when the walk then fails too
        mov     dword [PAGE_DIRECTORY + 8], PAGE_TABLE | 0x25      ; 800000h: the same, read-only
        mov     dword [PAGE_DIRECTORY + 12], PAGE_TABLE | 0x23  ; C00000h: supervisor
        mov     dword [PAGE_DIRECTORY + 16], 0x400087           ; 1000000h: 4 MiB at 400000h
        mov     dword [PAGE_DIRECTORY + 20], 0x81               ; 1400000h: supervisor, read-only
        mov     dword [PAGE_DIRECTORY + 24], 0x2087             ; 1800000h: at 4 GiB, where nothing is
        mov     eax, PAGE_DIRECTORY
        mov     cr3, eax
        mov     eax, cr4
        or      al, 0x10
        mov     cr4, eax
        mov     eax, cr0
        or      eax, 0x80000000                                 ; PG without WP
        mov     cr0, eax

%assign round 0
%rep 2
  %assign page 0
  %rep 8
        mov     edi, 0x400000 + page * 0x1000
        accesses [PAGE_TABLE + page * 4]
        mov     edi, 0x800000 + page * 0x1000
        accesses [PAGE_DIRECTORY + 8]
    %assign page page + 1
  %endrep
        mov     edi, 0x1000000
        accesses [PAGE_DIRECTORY + 16]
        mov     edi, 0x1400000 + 0x30000
        accesses [PAGE_DIRECTORY + 20]
  %if round == 0
        mov     eax, cr0
        or      eax, 0x10000                                    ; WP
        mov     cr0, eax
  %endif
  %assign round round + 1
%endrep
        mov     eax, [0x408fff - 2]                             ; both are readable
        expect  .crossing
        mov     [0x408fff - 2], eax                             ; the first one is not writable
.crossing:
        expect  .crossing_second
        mov     dword [0x409fff - 2], 0x55667788                ; the second one is absent
.crossing_second:
        mov     eax, [0x409ffc]                                 ; nothing was written
        mov     dword [PAGE_TABLE + 40], 0x38000 | 3
        invlpg  [0x40a000]
        mov     dword [0x409fff - 2], 0x55667788
        mov     eax, [0x409ffc]
        mov     ebx, [0x40a000]

; ---- ring 3 ----
        push    USER_DATA
        push    STACK_RING3
        push    0x3002
        push    USER_CODE
        push    ring3
        iret
ring3:  mov     ax, ss
        mov     ds, ax
        mov     es, ax
  %assign page 0
  %rep 8
        mov     edi, 0x400000 + page * 0x1000
        accesses 0
        mov     edi, 0x800000 + page * 0x1000
        accesses 0
        mov     edi, 0xc00000 + page * 0x1000
        accesses 0
    %assign page page + 1
  %endrep
        mov     edi, 0x1400000
        accesses 0                      ; refused all
        mov     eax, pae
        int     0x31

from_user:
        mov     esp, STACK_RING0
        mov     cx, DATA32
        mov     ds, cx
        mov     es, cx
        jmp     eax

; ---- PAE ----
pae:    mov     eax, cr0
        and     eax, 0x7fffffff
        mov     cr0, eax
        mov     dword [PDPT], PAE_DIRECTORY | 1
        mov     dword [PDPT + 8], 0
        mov     dword [PDPT + 24], PAE_DIRECTORY | 1            ; C0000000h: the same once more
        mov     dword [PAE_DIRECTORY], 0x87
        mov     dword [PAE_DIRECTORY + 8], PAE_TABLE | 0x27      ; 200000h
        mov     dword [PAE_DIRECTORY + 16], 0x000087            ; 400000h: no execution
        mov     dword [PAE_DIRECTORY + 20], 0x80000000
        xor     ecx, ecx
.entry: mov     eax, ecx
        shl     eax, 12
        add     eax, 0x30000
        or      eax, ecx
        mov     [PAE_TABLE + ecx * 8], eax
        mov     dword [PAE_TABLE + ecx * 8 + 4], 0
        or      eax, 1
        mov     [PAE_TABLE + ecx * 8 + 64], eax                 ; 208000h: never executable
        mov     dword [PAE_TABLE + ecx * 8 + 68], 0x80000000
        inc     ecx
        cmp     ecx, 8
        jb      .entry
        mov     ecx, 0xc0000080
        rdmsr
        or      eax, 0x800                                      ; NXE
        wrmsr
        mov     eax, cr4
        or      al, 0x20                                        ; PAE
        mov     cr4, eax
        mov     eax, PDPT
        mov     cr3, eax
        mov     eax, cr0
        or      eax, 0x80000000
        mov     cr0, eax
  %assign page 0
  %rep 16
        mov     edi, 0x200000 + page * 0x1000
        accesses [PAE_TABLE + page * 8]
    %assign page page + 1
  %endrep
        mov     edi, 0xc0200000 + 0x3000
        accesses [PAE_DIRECTORY + 8]
        mov     edi, 0x400000
        accesses [PAE_DIRECTORY + 16]
        mov     edi, 0x40200000
        accesses 0
        mov     dword [PDPT + 8], PAE_DIRECTORY | 1             ; QEMU would see it at once
        mov     eax, PDPT
        mov     cr3, eax
        mov     eax, [0x40203010]

; ---- SMEP and SMAP: everything below 200000h becomes supervisor's, so that ring 0 can go on ----
        mov     dword [PAE_DIRECTORY], 0x83
        mov     eax, PDPT
        mov     cr3, eax
        mov     eax, cr4
        or      eax, 0x300000
        mov     cr4, eax
        push    dword 2
        popfd
  %assign page 1
  %rep 15
        mov     edi, 0x200000 + page * 0x1000
        accesses 0
    %assign page page + 1
  %endrep
        stac
  %assign page 1
  %rep 15
        mov     edi, 0x200000 + page * 0x1000
        accesses 0
    %assign page page + 1
  %endrep
        clac
        pushfd
        pop     eax
        expect  .end
        mov     eax, [0x207000]
.end:   jmp     $

        begin_gdt
        end_gdt
        exception_handlers
        task_state
