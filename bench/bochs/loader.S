// SPDX-License-Identifier: Apache-2.0
// A boot sector for one kernel: Bochs has no -kernel. Reads pieces of the disk to where disk.ts wants them, says so on
// the first serial port, and starts the kernel's 16-bit entry (Linux, Documentation/arch/x86/boot.rst).
        .code16
        .globl  start
        .set    BUFFER_SEGMENT, 0x1000
        .set    MOST, 64                // sectors of one read: the buffer is 32 KiB
        .set    PIECES, 0x7e00          // the sector after this one: LBA, sectors, address; 32 bits each, until 0 sectors
        .set    SETUP_SEGMENT, 0x9000

start:  cli
        xor     %ax, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     $0x7c00, %sp
        sti
        mov     %dl, drive
        movw    $1, sectors
        movl    $1, lba
        movw    $PIECES >> 4, segment
        call    read
        movw    $BUFFER_SEGMENT, segment
        mov     $PIECES, %bx

piece:  mov     (%bx), %eax
        mov     %eax, lba
        mov     4(%bx), %ebp            // sectors left
        mov     8(%bx), %edi            // address of the next
        test    %ebp, %ebp
        jz      loaded
part:   mov     %ebp, %eax
        cmp     $MOST, %eax
        jbe     1f
        mov     $MOST, %eax
1:      mov     %ax, sectors
        call    read
        call    copy
        movzwl  sectors, %eax
        add     %eax, lba
        sub     %eax, %ebp
        shl     $9, %eax
        add     %eax, %edi
        test    %ebp, %ebp
        jnz     part
        add     $12, %bx
        jmp     piece

// INT 13h, AH = 42h: extended read.
read:   mov     $packet, %si
        mov     drive, %dl
        mov     $0x42, %ah
        int     $0x13
        jc      stop
        ret

// INT 15h, AH = 87h: copies %cx words by the two descriptors in the table.
copy:   mov     %edi, %eax
        mov     %ax, to + 2
        shr     $16, %eax
        mov     %al, to + 4
        mov     %ah, to + 7
        mov     sectors, %cx
        shl     $8, %cx
        mov     $table, %si
        mov     $0x87, %ah
        int     $0x15
        jc      stop
        ret

stop:   hlt
        jmp     stop

loaded: mov     $0x3fb, %dx             // line control: the divisor's latch, 115200 baud, then 8 bits
        mov     $0x83, %al
        out     %al, %dx
        mov     $0x3f8, %dx
        mov     $1, %ax
        out     %ax, %dx
        mov     $0x3fb, %dx
        mov     $3, %al
        out     %al, %dx
        mov     $said, %si
2:      mov     $0x3fd, %dx             // line status: wait for an empty transmitter
3:      in      %dx, %al
        test    $0x20, %al
        jz      3b
        lodsb
        mov     $0x3f8, %dx
        test    %al, %al
        jz      4f
        out     %al, %dx
        jmp     2b
4:      cli
        mov     $SETUP_SEGMENT, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %fs
        mov     %ax, %gs
        mov     %ax, %ss
        mov     $0xe000, %sp
        ljmp    $SETUP_SEGMENT + 0x20, $0

said:   .asciz  "bench@ loaded\n"
drive:  .byte   0
        .balign 4
packet: .byte   16, 0
sectors: .word  0
        .word   0
segment: .word  0
lba:    .long   0, 0
// Two descriptors left to the BIOS, from where, to where, two more for the BIOS.
table:  .quad   0, 0
        .word   0xffff, 0
        .byte   BUFFER_SEGMENT >> 12, 0x93, 0, 0
to:     .word   0xffff, 0
        .byte   0, 0x93, 0, 0
        .quad   0, 0
        .org    start + 510
        .word   0xaa55
