"""Tags as tables for people: written so that nothing is lost, read so that nothing is guessed.

A row is a tag. `device` (or `template`) and `group` say where it belongs; the other columns are the keys of a tag,
those of its driver and those of `report`. An empty cell means that the key isn't given.
"""
