require tidegate-kernel.inc
