"""Tidegate: field devices in, one Unified Namespace over MQTT out, every value accounted for."""

__version__ = "0.1.0"
