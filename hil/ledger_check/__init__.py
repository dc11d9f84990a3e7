"""Proof from outside that a gateway loses, repeats and reorders nothing: a plain MQTT subscriber and its bookkeeping.

It shares no code with the gateway or its drivers. `checker` is pure and fed with messages; `subscriber` gets them
from a broker; ``python -m hil.ledger_check`` is the command.
"""

from hil.ledger_check.checker import Checker, Verdict
from hil.ledger_check.subscriber import Subscriber

__all__ = ["Checker", "Subscriber", "Verdict"]
