; SPDX-License-Identifier: Apache-2.0
;
; L1 as far as it is the same for all programs: it puts the processor into a known state, executes the program's steps one
; after the other, writes down what came of each, what each exit of L2 brought, and which exceptions there were, and tells
; the outside when it is done. The names in capitals are layout.ts.

bits 32
org MONITOR
        dd 0x1badb002, 0x10003, -(0x1badb002 + 0x10003)     ; multiboot, with addresses
        dd MONITOR, MONITOR, 0, 0, start
        dd done, write_fields, on_exit, idt, gdt            ; ENTRIES of monitor.ts

CR0_VALUE       equ 0x80010031
CR4_VALUE       equ 0x26a0              ; PAE, PGE, OSFXSR, OSXMMEXCPT, VMXE
IA32_EFER       equ 0xc0000080
X2APIC_EOI      equ 0x80b

%define SAVE    PARAMETERS + PARAMETER_save

start:  mov eax, PML4
        mov cr3, eax
        mov eax, CR4_VALUE
        mov cr4, eax
        mov ecx, IA32_EFER
        rdmsr
        or eax, 0x901
        wrmsr
        lgdt [gdtr]
        mov eax, CR0_VALUE
        mov cr0, eax
        jmp 8:in64
bits 64
        ; x2APIC, TSC deadline on vector 41h, LINT0 and LINT1 masked
in64:   mov ecx, 0x1b
        rdmsr
        or eax, 0xc00
        wrmsr
        mov ecx, 0x80f
        mov eax, 0x1ff
        xor edx, edx
        wrmsr
        mov ecx, 0x832
        mov eax, 0x40041
        wrmsr
        mov eax, 0x10000
        mov ecx, 0x835
        wrmsr
        mov ecx, 0x836
        wrmsr
        ; IDT: stubs of 16 bytes, all reachable only by events
        mov edi, idt
        mov ebx, stubs
        mov ecx, 256
.idt:   mov eax, ebx
        and eax, 0xffff
        or eax, 0x00080000
        mov [rdi], eax
        mov eax, ebx
        and eax, 0xffff0000
        or eax, 0x8e00
        mov [rdi+4], eax
        mov qword [rdi+8], 0
        add edi, 16
        add ebx, 16
        loop .idt

        ; --- a program begins: whatever the last one has left
program:
        mov eax, CR0_VALUE
        mov cr0, rax
        mov eax, CR4_VALUE
        and eax, ~0x80
        mov cr4, rax
        mov eax, PML4
        mov cr3, rax
        mov eax, CR4_VALUE
        mov cr4, rax
        lgdt [gdtr]
        lidt [idtr]
        mov byte [tss_descriptor + 5], 0x89
        mov ax, 0x18
        ltr ax
        xor eax, eax
        lldt ax
        mov fs, ax
        mov gs, ax
        mov ax, 0x10
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov esp, STACK
        ; NMIs are unblocked by IRET
        push 0x10
        push STACK
        push 2
        push 8
        push qword unblocked
        iretq
unblocked:
        ; some MSRs are not there on every processor
        mov rax, [PARAMETERS + PARAMETER_log]
        mov [SAVE+16], rax
        mov qword [PARAMETERS + PARAMETER_resume], .skip
        mov esi, msrs
.msr:   mov ecx, [rsi]
        cmp ecx, -1
        je .msrs
        mov eax, [rsi+4]
        mov edx, [rsi+8]
        wrmsr
.skip:  add esi, 12
        jmp .msr
.msrs:  xor eax, eax
        mov cr8, rax
        mov cr2, rax
        mov dr0, rax
        mov dr1, rax
        mov dr2, rax
        mov dr3, rax
        mov ax, 0x400
        mov dr7, rax
        mov eax, 0xffff0ff0
        mov dr6, rax
        fninit
        mov dword [SAVE], 0x1f80
        ldmxcsr [SAVE]
        ; an interrupt that has waited comes now, and leaves nothing
        mov qword [PARAMETERS + PARAMETER_resume], drained
        sti
        nop
        nop
drained:
        cli
        mov qword [PARAMETERS + PARAMETER_resume], next
        mov rax, [SAVE+16]
        mov [PARAMETERS + PARAMETER_log], rax
        xor eax, eax
        cdq
        mov ecx, 0x10                           ; a program's time begins at 0, whatever ran before it
        wrmsr
        xor ecx, ecx
        xor ebx, ebx
        mov edi, ebx
        mov esi, ebx
        mov ebp, ebx
        mov r8, rbx
        mov r9, rbx
        mov r10, rbx
        mov r11, rbx
        mov r12, rbx
        mov r13, rbx
        mov r14, rbx

        ; --- the next step
next:   mov r15, [PARAMETERS + PARAMETER_step]
        cmp r15, [PARAMETERS + PARAMETER_end]
        jae finish
        add qword [PARAMETERS + PARAMETER_step], 64
        mov rax, [r15]
        mov rcx, [r15+8]
        mov rdx, [r15+16]
        mov rbx, [r15+24]
        mov edi, L2_DATA + 0x800
        mov esi, L2_DATA
        mov ebp, L2_STACK - 0x100
        add r15, 32
        jmp r15

        ; a step has come to its end
done:   pushfq
        mov [SAVE], rdx
        mov rdx, [PARAMETERS + PARAMETER_log]
        mov dword [rdx], 1
        mov [rdx+4], r15d
        pop qword [rdx+8]
        mov [rdx+16], rax
        mov [rdx+24], rbx
        mov [rdx+32], rcx
        mov rax, [SAVE]
        mov [rdx+40], rax
        mov rbx, rdx
        rdtsc
        mov [rbx+48], eax
        mov [rbx+52], edx
        add qword [PARAMETERS + PARAMETER_log], 56
        jmp next

        ; VMWRITEs a list at RDX: encoding and value, 16 bytes a row, then an encoding of all ones. RBX counts failures.
write_fields:
        xor ebx, ebx
.row:   mov rax, [rdx]
        cmp rax, -1
        je .end
        vmwrite rax, [rdx+8]
        jnbe .good
        inc ebx
.good:  add rdx, 16
        jmp .row
.end:   ret

        ; --- an exception or interrupt of L1; RAX is on the stack, the vector in it
event:  push rax
        mov rax, [PARAMETERS + PARAMETER_log]
        mov dword [rax], 2
        mov [rax+4], r15d
        mov [rax+8], rdx
        pop qword [rax+16]
        pop qword [rax+24]          ; vector
        pop qword [rax+32]          ; error code, or 0
        pop qword [rax+40]          ; RIP
        pop qword [rax+48]          ; CS
        pop qword [rax+56]          ; RFLAGS
        mov [rax+64], rbx
        mov rbx, rax
        mov rax, cr2
        mov [rbx+72], rax
        rdtsc
        mov [rbx+80], eax
        mov [rbx+84], edx
        add qword [PARAMETERS + PARAMETER_log], 88
        cmp qword [rbx+24], 32
        jb .exception
        mov ecx, X2APIC_EOI
        xor eax, eax
        xor edx, edx
        wrmsr
.exception:
        mov esp, STACK
        mov ax, 0x10
        mov ds, ax
        mov es, ax
        mov ss, ax
        jmp [PARAMETERS + PARAMETER_resume]

        ; --- L2 has left
on_exit:
        mov [SAVE], rdi
        mov [SAVE+8], rsi
        mov rdi, [PARAMETERS + PARAMETER_log]
        mov dword [rdi], 3
        mov [rdi+8], rax
        mov [rdi+16], rbx
        mov [rdi+24], rcx
        mov [rdi+32], rdx
        mov [rdi+40], rbp
        mov rax, [SAVE]
        mov [rdi+48], rax
        mov rax, [SAVE+8]
        mov [rdi+56], rax
        mov [rdi+64], r8
        mov [rdi+72], r9
        mov [rdi+80], r10
        mov [rdi+88], r11
        mov [rdi+96], r12
        mov [rdi+104], r13
        mov [rdi+112], r14
        mov [rdi+120], r15
        mov rax, cr0
        mov [rdi+128], rax
        mov rax, cr4
        mov [rdi+136], rax
        mov rax, cr2
        mov [rdi+144], rax
        mov rax, cr8
        mov [rdi+152], rax
        pushfq
        pop qword [rdi+160]
        rdtsc
        mov [rdi+168], eax
        mov [rdi+172], edx
        mov rax, dr7
        mov [rdi+176], rax
        mov eax, cs
        mov [rdi+184], eax
        mov eax, ss
        mov [rdi+188], eax
        add rdi, 192
        mov esi, [PARAMETERS + PARAMETER_logged]
        mov edx, -1
.field: mov ecx, [rsi]
        cmp ecx, edx
        je .end
        vmread [rdi], rcx
        add esi, 4
        add rdi, 8
        jmp .field
.end:   mov rax, rdi
        sub rax, [PARAMETERS + PARAMETER_log]
        mov rsi, [PARAMETERS + PARAMETER_log]
        mov [rsi+4], eax
        mov [PARAMETERS + PARAMETER_log], rdi
        jmp next

        ; --- the program is done. The outside puts the next one in place before it lets this go on.
        ; Nothing is left in a VMCS that could be written to memory later.
finish: mov rax, [PARAMETERS + PARAMETER_log]
        mov [SAVE+16], rax
        mov qword [PARAMETERS + PARAMETER_resume], .off
        vmxoff
.off:   mov rax, [SAVE+16]
        mov [PARAMETERS + PARAMETER_log], rax
        xor eax, eax
        out 0xf4, al
        jmp program

align 8
idtr:   dw 0xfff
        dq idt
gdtr:   dw gdt_end - gdt - 1
        dq gdt
align 8
gdt:    dq 0, 0x00af9b000000ffff, 0x00cf93000000ffff
tss_descriptor:
        dw 0x67, TSS & 0xffff
        db (TSS >> 16) & 0xff, 0x89, 0, (TSS >> 24) & 0xff
        dq 0
        dq 0x00cf9b000000ffff                   ; 28h: 32-bit code
        dq 0x00affb000000ffff, 0x00cff3000000ffff   ; 30h: user code, 38h: user data
gdt_end:

        ; MSRs that a program, or an entry or exit in it, can change
align 4
msrs:
%macro msr 3
        dd %1, %2, %3
%endmacro
        msr IA32_EFER, 0xd01, 0
        msr 0x277, 0x00070106, 0x00070406       ; IA32_PAT
        msr 0x174, 0, 0
        msr 0x175, 0, 0
        msr 0x176, 0, 0
        msr 0x1d9, 0, 0
        msr 0xc0000081, 0, 0
        msr 0xc0000082, 0, 0
        msr 0xc0000083, 0, 0
        msr 0xc0000084, 0, 0
        msr 0xc0000100, 0, 0
        msr 0xc0000101, 0, 0
        msr 0xc0000102, 0, 0
        msr 0xc0000103, 0, 0
        msr 0x6e0, 0, 0                         ; no TSC deadline
        msr X2APIC_EOI, 0, 0
        msr X2APIC_EOI, 0, 0
        dd -1

        ; A stub for each vector, 16 bytes; those of exceptions without an error code push 0.
align 16
stubs:
%assign vector 0
%rep 256
  %if vector = 8 || (vector >= 10 && vector <= 14) || vector = 17 || vector = 21
  %else
        push 0
  %endif
        push dword vector
        jmp near event
        align 16
  %assign vector vector + 1
%endrep
align 16
idt:    times 512 dq 0
