# The ROM of the emulated machine, in place of a BIOS: it enters a Linux kernel that already lies in memory, by the
# 32-bit boot protocol. run.sh assembles it to 64 KiB that end at the reset vector, and defines MEMORY and BLOCK.

        .code16
        .globl _start
_start: cli
        cld
        lgdtl   %cs:gdt_pointer
        movl    %cr0, %eax
        orl     $1, %eax
        movl    %eax, %cr0
        ljmpl   $0x10, $(0xf0000 + protected)

        .code32
protected:
        movw    $0x18, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movl    $0x8000, %esp

# Bochs hands out its memory block by block in the order of first use, and has read the image as if the blocks lay in
# ascending order: touching them so makes it true.
        xorl    %edi, %edi
1:      movl    (%edi), %eax
        addl    $BLOCK, %edi
        cmpl    $MEMORY, %edi
        jb      1b

        movl    $0x10000, %esi          # the boot parameters
        xorl    %ebx, %ebx
        xorl    %ebp, %ebp
        xorl    %edi, %edi
        movl    $0x100000, %eax
        jmp     *%eax

        .balign 8
gdt:    .quad   0, 0
        .quad   0x00cf9b000000ffff      # 0x10: flat code
        .quad   0x00cf93000000ffff      # 0x18: flat data
gdt_pointer:
        .word   gdt_pointer - gdt - 1
        .long   0xf0000 + gdt

        .org    0xfff0
        .code16
        ljmp    $0xf000, $_start
        .org    0x10000
