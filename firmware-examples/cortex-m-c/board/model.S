/* The network. */
    .section .rodata
    .global model
    .balign 64
model:
    .incbin MODEL
