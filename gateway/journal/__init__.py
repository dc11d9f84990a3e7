"""The store-and-forward journal: every value is acknowledged by every sink or durable on disk within a deadline T.

    journal = Journal(settings, clock, ["plant"])
    await journal.start()
    record = journal.append(batch)          # at once; ready for every sink
    feed = journal.feed("plant")            # take, settle, refuse, restore: see gateway.sink.Feed
    await journal.close()                   # everything unsettled is on the disk

The only package that knows SQLite.
"""

from gateway.journal.alarms import Alarm
from gateway.journal.fate import Fate, Where
from gateway.journal.journal import Journal
from gateway.journal.store import JournalError

__all__ = ["Alarm", "Fate", "Journal", "JournalError", "Where"]
