"""A simulated bottling plant on real Modbus TCP servers.

The physics (`tank`, `pump`, `filler`, `conveyor`, `meter`, put together in `process`) is pure: ``step(dt)``,
no clock, no input or output, the same history for the same seed. `maps` is the devices' register tables as data.
`server` speaks Modbus TCP; `simulator` runs the whole on a clock. Nothing here shares code with the gateway or its
drivers, so that the plant is an independent check of both.
"""
