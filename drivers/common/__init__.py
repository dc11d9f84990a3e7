"""What drivers of register-oriented protocols share: the register codec and the merging of addresses into reads."""
