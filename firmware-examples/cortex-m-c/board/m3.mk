# Cortex-M3
TARGET := thumbv7m-none-eabi
FEATURES := cortexm-v7
CORE_FLAGS := -mcpu=cortex-m3
MEMORY := an385
MACHINE := mps2-an385
CLOCK_HZ := 25000000
