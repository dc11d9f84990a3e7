"""The pipeline of one poll group: what the driver read → what is worth reporting."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.model import Batch, Value
from gateway.pipeline.convert import Conversion
from gateway.pipeline.report import LastReport, ReportFilter
from gateway.settings import GroupSettings


class Stage:
    """Call :meth:`process` for every batch of the group, and :meth:`accept` once the journal took what it gave.

    A batch whose result is never accepted leaves no trace: the same change is offered again with the next one.
    """

    def __init__(self, group: GroupSettings) -> None:
        """Raises ValueError for rules that contradict themselves."""
        self._conversion = Conversion(group.rules)
        self._filter = ReportFilter(group.rules, 0.0 if group.poll.subscribed else group.poll.interval_s)
        self._all = range(len(group.rules))
        self._transparent = not self._conversion.changes and not self._filter.filters
        self.values: Sequence[Value] = ()
        self.qualities: Sequence[int] | None = None
        """What the last processed batch says, as it would be published: of the batch's columns, all of them."""
        self.wire: Batch | None = None
        """The last processed batch as the driver read it."""
        self._pending: tuple[Sequence[Value], Sequence[int] | None, Sequence[int] | None, int] | None = None

    def process(self, batch: Batch) -> Batch | None:
        """What of the batch to report; None: nothing. The batch itself is left as it is, and returned if all of it is.

        A batch of the past, of events, or older than the newest accepted one is reported whole and doesn't touch the
        report state.
        """
        self.wire = batch
        values, qualities, columns, mono_ns = batch.values, batch.qualities, batch.columns, batch.mono_ns
        apart = batch.history or batch.event or mono_ns < self._filter.mono_ns
        if self._transparent and qualities is None and columns is None:
            self.values, self.qualities = values, None
            self._pending = None if apart else (values, None, None, mono_ns)
            return batch
        values, qualities = self._convert(values, qualities if qualities and any(qualities) else None, columns)
        self.values, self.qualities = values, qualities
        if apart:
            self._pending = None
            return _derive(batch, values, qualities, columns, batch.source_ns)
        keep = self._filter.choose(values, qualities, columns, mono_ns)
        source_ns = batch.source_ns
        if keep is None:
            if values is batch.values:
                self._pending = (values, qualities, columns, mono_ns)
                return batch
        else:
            if not keep:
                self._pending = None
                return None
            values = [values[at] for at in keep]
            if qualities is not None:
                kept = [qualities[at] for at in keep]
                qualities = kept if any(kept) else None
            if source_ns is not None:
                source_ns = [source_ns[at] for at in keep]
            columns = keep if columns is None else [columns[at] for at in keep]
        self._pending = (values, qualities, columns, mono_ns)
        return _derive(batch, values, qualities, columns, source_ns)

    def _convert(
        self, values: Sequence[Value], qualities: Sequence[int] | None, columns: Sequence[int] | None
    ) -> tuple[Sequence[Value], Sequence[int] | None]:
        conversion = self._conversion
        if columns is None:
            converted = conversion.row(values) if qualities is None else conversion.mixed(values, qualities)
            if converted is not None:
                return converted
        values, codes = conversion.each(values, qualities, self._all if columns is None else columns)
        return values, codes if any(codes) else None

    def last_report(self, column: int) -> LastReport | None:
        """See :meth:`ReportFilter.last`."""
        return self._filter.last(column)

    def forget(self) -> None:
        """Report every tag once more, whatever was reported before."""
        self._filter.forget()

    def accept(self) -> None:
        """The last process() is safe with the journal: what it reported is what later values are compared with."""
        if self._pending is not None:
            self._filter.accept(*self._pending)
            self._pending = None


def _derive(
    batch: Batch,
    values: Sequence[Value],
    qualities: Sequence[int] | None,
    columns: Sequence[int] | None,
    source_ns: Sequence[int | None] | None,
) -> Batch:
    head = batch.layout, batch.read_ns, batch.mono_ns
    return Batch(*head, values, qualities, columns, source_ns, batch.trusted, batch.history, batch.event)
