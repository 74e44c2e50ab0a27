# Cortex-M4 with FPU
TARGET := thumbv7em-none-eabihf
FEATURES := cortexm-dsp
CORE_FLAGS := -mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16
MEMORY := an385
MACHINE := mps2-an386
CLOCK_HZ := 25000000
