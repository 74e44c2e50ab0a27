# Cortex-M55 with FPU and Helium
TARGET := thumbv8m.main-none-eabihf
FEATURES := cortexm-mve
CORE_FLAGS := -mcpu=cortex-m55 -mfloat-abi=hard -mfpu=auto
MEMORY := an547
MACHINE := mps3-an547
CLOCK_HZ := 32000000
