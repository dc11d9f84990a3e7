"""What keeps a gateway running for years: time, space, updates."""
