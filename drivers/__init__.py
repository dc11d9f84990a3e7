"""Southbound drivers, one folder each. A driver imports the contract and `drivers.common`, never a sibling."""
