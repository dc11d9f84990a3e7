"""The configuration as a transaction: a draft, what it would do, applying it so that a mistake comes back by itself."""
