"""From wire values to reported values: scaling, limits, report by exception. No I/O, no clock of its own."""

from gateway.pipeline.scale import NotRepresentable, to_published, to_wire
from gateway.pipeline.stage import Stage

__all__ = ["NotRepresentable", "Stage", "to_published", "to_wire"]
