# Cortex-M7 with FPU
TARGET := thumbv7em-none-eabihf
FEATURES := cortexm-dsp
CORE_FLAGS := -mcpu=cortex-m7 -mfloat-abi=hard -mfpu=fpv5-d16
MEMORY := an385
MACHINE := mps2-an500
CLOCK_HZ := 25000000
