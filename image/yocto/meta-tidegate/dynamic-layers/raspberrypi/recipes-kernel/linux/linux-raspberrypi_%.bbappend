require recipes-kernel/linux/tidegate-kernel.inc
