"""Hardware in the loop: the simulated plant, the outside ledger checker and the benches that run against them."""
