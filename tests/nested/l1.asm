; SPDX-License-Identifier: Apache-2.0
;
; A small hypervisor, L1, and its guest, L2. At every exit of L2, L1 writes down the time, L2's registers, its own control
; registers and every field of the VMCS that it can read. transparency.test.ts runs it on the machine itself and under L0.
; runs.ts appends the parameters and the list of fields, so that one image serves all variants.

bits 32
org 0x100000
        dd 0x1badb002, 0x10003, -(0x1badb002 + 0x10003)     ; multiboot, with addresses
        dd 0x100000, 0x100000, 0, 0, start

%include "layout.inc"
%include "start.inc"
%include "exits.inc"
%include "functions.inc"
%include "tables.inc"
%include "l2-instructions.inc"
%include "l2-events.inc"
%include "l2-handlers.inc"

align 16
parameters:
.secondary      equ parameters          ; secondary controls that are wanted
.primary        equ parameters + 4      ; primary controls, besides those of the table
.ept            equ parameters + 8      ; bits 11:0 of the EPT pointer
dump            equ parameters + 12     ; encodings to write down, then -1; all 32 bits
