"""What every tag is now and was of late: the latest value of each, a bounded ring of recent ones, and what changed."""

from gateway.live.directory import Directory, Entry, Selection
from gateway.live.live import Live
from gateway.live.trend import Trend, trend
from gateway.live.watch import Watch

__all__ = ["Directory", "Entry", "Live", "Selection", "Trend", "Watch", "trend"]
