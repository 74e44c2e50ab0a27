# Cortex-M33 with FPU and DSP instructions
TARGET := thumbv8m.main-none-eabihf
FEATURES := cortexm-dsp
CORE_FLAGS := -mcpu=cortex-m33 -mfloat-abi=hard -mfpu=fpv5-sp-d16
MEMORY := an505
MACHINE := mps2-an505
CLOCK_HZ := 20000000
