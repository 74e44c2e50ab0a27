/* The first picture of a file of records as CIFAR-10 has them: a byte for the label, then the planes. */
    .section .rodata
    .global board_picture
board_picture:
    .incbin PICTURES, 1, 3072
