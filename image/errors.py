"""What goes wrong in a build, said in one sentence: what, where, how to mend it."""

from __future__ import annotations


class BuildError(Exception):
    """The build can't go on. Its text is shown to the user as it is, without a traceback."""
