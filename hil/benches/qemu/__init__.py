"""The built image in an emulated board: U-Boot, kernel and everything above them as on the real one."""
