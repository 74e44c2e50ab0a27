    .section .rodata
    .global tiny_model, tiny_model_end
    .balign 64
tiny_model:
    .incbin TINY_MODEL
tiny_model_end:
