/* The network. */
    .section .rodata
    .global model_file
    .balign 64
model_file:
    .incbin MODEL
