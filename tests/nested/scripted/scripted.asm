; SPDX-License-Identifier: Apache-2.0
;
; An L1 that does what a script in memory says: rows of three quadwords, an operation and two operands, which image.ts
; writes together with all tables and L2. After an exit of L2 it goes on with the next row. It looks at nothing itself;
; who compares two runs does that from outside.


bits 32
org ORIGIN
        dd 0x1badb002, 0x10003, -(0x1badb002 + 0x10003)     ; multiboot, with addresses
        dd ORIGIN, ORIGIN, 0, 0, start

start:  mov eax, PML4
        mov cr3, eax
        mov eax, CR4_VALUE
        mov cr4, eax
        mov ecx, IA32_EFER
        rdmsr
        or eax, 0x901           ; SCE, LME, NXE
        wrmsr
        lgdt [gdtr]
        mov eax, CR0_VALUE
        mov cr0, eax
        jmp CODE64:lm64

bits 64
lm64:   mov ax, DATA
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov fs, ax
        mov gs, ax
        mov rsp, STACK1
        mov ax, TASK
        ltr ax
        lidt [rel idtr]
        mov ecx, IA32_VMX_BASIC
        rdmsr
        mov [VMXON_REGION], eax
        mov [VMCS_REGION], eax
        mov [OTHER_REGION], eax
        vmxon [rel p_vmxon]
        vmclear [rel p_vmcs]
        vmptrld [rel p_vmcs]

step:   mov rbx, [rel position]
        mov rax, [rbx]
        mov rcx, [rbx+8]
        mov rdx, [rbx+16]
        add qword [rel position], 24
        lea rsi, [rel operations]
        movsxd rax, dword [rsi + rax*4]
        add rax, rsi
        jmp rax

operations:
        dd op_finish - operations
        dd op_launch - operations
        dd op_resume - operations
        dd op_vmwrite - operations
        dd op_wrmsr - operations
        dd op_store - operations
        dd op_skip - operations
        dd op_reinject - operations
        dd op_call - operations
        dd op_vmread - operations

op_launch:
        call restore
        vmlaunch
        jmp failed
op_resume:
        call restore
        vmresume
failed: pushfq                  ; a VMfail is written down, and the script goes on
        pop rdx
        mov eax, VM_INSTRUCTION_ERROR
        xor ecx, ecx
        vmread rcx, rax
        call log_rdx
        mov rdx, rcx
        call log_rdx
        jmp step
op_vmwrite:
        vmwrite rcx, rdx
        jmp step
op_vmread:
        xor edx, edx
        vmread rdx, rcx
        call log_rdx
        jmp step
op_wrmsr:
        mov eax, edx
        shr rdx, 32
        wrmsr
        jmp step
op_store:
        mov [rcx], rdx
        jmp step
op_skip:                        ; over the instruction that made the exit
        mov eax, VM_EXIT_INSTRUCTION_LEN
        vmread rdx, rax
        mov eax, GUEST_RIP
        vmread rbx, rax
        add rbx, rdx
        vmwrite rax, rbx
        jmp step
op_reinject:                    ; the event whose delivery the exit interrupted
        mov eax, IDT_VECTORING_INFO_FIELD
        vmread rdx, rax
        and edx, ~0x1000        ; bit 12 is undefined there, reserved here
        mov eax, VM_ENTRY_INTR_INFO_FIELD
        vmwrite rax, rdx
        mov eax, IDT_VECTORING_ERROR_CODE
        vmread rdx, rax
        mov eax, VM_ENTRY_EXCEPTION_ERROR_CODE
        vmwrite rax, rdx
        mov eax, VM_EXIT_INSTRUCTION_LEN
        vmread rdx, rax
        mov eax, VM_ENTRY_INSTRUCTION_LEN
        vmwrite rax, rdx
        jmp step
op_call:
        call rcx
        jmp step
op_finish:
        vmclear [rel p_vmcs]
        vmxoff
        mov eax, 1
        mov dx, 0xf4
        out dx, eax
        hlt

on_exit:
        mov [SAVE], rax
        mov [SAVE+8], rcx
        mov [SAVE+16], rdx
        mov [SAVE+24], rbx
        mov [SAVE+40], rbp
        mov [SAVE+48], rsi
        mov [SAVE+56], rdi
        mov [SAVE+64], r8
        mov [SAVE+72], r9
        mov [SAVE+80], r10
        mov [SAVE+88], r11
        mov [SAVE+96], r12
        mov [SAVE+104], r13
        mov [SAVE+112], r14
        mov [SAVE+120], r15
        pushfq
        pop rdx
        call log_rdx
        rdtsc
        shl rdx, 32
        or rdx, rax
        call log_rdx
        jmp step
restore:
        mov rax, [SAVE]
        mov rcx, [SAVE+8]
        mov rdx, [SAVE+16]
        mov rbx, [SAVE+24]
        mov rbp, [SAVE+40]
        mov rsi, [SAVE+48]
        mov rdi, [SAVE+56]
        mov r8, [SAVE+64]
        mov r9, [SAVE+72]
        mov r10, [SAVE+80]
        mov r11, [SAVE+88]
        mov r12, [SAVE+96]
        mov r13, [SAVE+104]
        mov r14, [SAVE+112]
        mov r15, [SAVE+120]
        ret
log_rdx:
        mov rbx, [rel log]
        mov [rbx], rdx
        add qword [rel log], 8
        ret

; L1's own interrupts and NMIs: counted by vector, and forgotten. image.ts makes the gates: 16 bytes each.
align 16
vectors:
%assign v 0
%rep 256
        align 16, db 0x90
        inc dword [TAKEN + 4*v]
        iretq
  %assign v v+1
%endrep

align 8
position: dq SCRIPT
log:    dq LOG
p_vmxon: dq VMXON_REGION
p_vmcs: dq VMCS_REGION
gdtr:   dw 0xff
        dq GDT
idtr:   dw 0xfff
        dq IDT

align 8
exports: dq on_exit, vectors
