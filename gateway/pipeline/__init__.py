"""From wire values to reported values: scaling, limits, report by exception. No I/O, no clock of its own."""

from gateway.pipeline.stage import Stage
from gateway.pipeline.writes import NotRepresentable, to_published, to_wire

__all__ = ["NotRepresentable", "Stage", "to_published", "to_wire"]
