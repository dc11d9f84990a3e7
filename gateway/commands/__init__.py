"""Writing to devices: one policy, one desk, at most once by id."""

from gateway.commands.desk import Preview, WriteDesk
from gateway.commands.policy import Policy, Target
from gateway.commands.request import Outcome, WriteRecord, WriteRefused, WriteRequest

__all__ = ["Outcome", "Policy", "Preview", "Target", "WriteDesk", "WriteRecord", "WriteRefused", "WriteRequest"]
