"""How frames travel: the transaction law, framings, and the ways in which a bus gets its connection."""
