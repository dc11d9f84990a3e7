"""What needs repair: everything that isn't as it should be, each in plain words with what mends it.

A pure function of what is known. The id of a repair is stable as long as its cause lasts: a page can tell what is
new, and a person can put one aside.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from gateway.diagnostics.backlog import Forecast, Phase
from gateway.durations import duration
from gateway.model import Quality, quality_name
from gateway.ops.slots import Trial
from gateway.sentences import with_mend
from gateway.southbound.status import DeviceStatus, GroupStatus, LinkStatus
from gateway.status import Status

_SOON_S = 30 * 86_400.0
_FULL_SOON_S = 3600.0
_MISSED_SHARE = 0.1
_MISSED_LEAST = 20
_WAITING = quality_name(Quality.BAD_WAITING_FOR_INITIAL_DATA)


class Severity(enum.StrEnum):
    NOTICE = "notice"
    """Nothing is lost, and nothing need be done at once."""
    WARNING = "warning"
    """Something doesn't work, or soon won't."""
    ERROR = "error"
    """Values are lost, or can't be had."""


@dataclass(frozen=True, slots=True)
class Repair:
    id: str
    """Stable as long as the cause lasts."""
    severity: Severity
    sentence: str
    cause: str
    """Empty if the sentence says it all."""
    mend: str
    page: str
    """Where on the page it is mended: a path below its root."""
    command: str = ""
    """What to try on the command line."""


@dataclass(frozen=True, slots=True)
class ExpiringCertificate:
    """One whose end somebody should know of."""

    id: str
    """Stable: where it is used."""
    what: str
    """As a user would call it: ``the certificate of sink plant``."""
    not_after_s: float
    """Seconds since 1970 UTC."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """One problem of the configuration file as it stands on disk."""

    where: str
    message: str
    mend: str | None


@dataclass(frozen=True, slots=True)
class Known:
    """What the repairs are worked out from."""

    status: Status
    now_s: float
    """Seconds since 1970 UTC."""
    forecasts: Mapping[str, Forecast] = field(default_factory=dict)
    """By sink."""
    paces: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    """(reads made, reads left out) of late, by (device, group): :class:`gateway.diagnostics.pace.Pace`."""
    flaws: Sequence[Flaw] = ()
    certificates: Sequence[ExpiringCertificate] = ()
    quarantined: Sequence[tuple[str, str]] = ()
    """(driver, subject) of certificates that far ends showed and nobody has accepted."""
    unconfirmed_s: float | None = None
    """Time until a change that was applied is taken back unless somebody confirms it."""
    differs: bool = False
    """The configuration file is another than the one that runs."""
    update: Trial | None = None
    """The release that was installed last, until it has proved itself."""


_ORDER = [Severity.ERROR, Severity.WARNING, Severity.NOTICE]


def repairs(known: Known) -> list[Repair]:
    """The worst first."""
    found = [
        *_changes(known),
        *_clock(known),
        *_journal(known),
        *_links(known),
        *_sinks(known),
        *_certificates(known),
    ]
    return sorted(found, key=lambda repair: _ORDER.index(repair.severity))


def _changes(known: Known) -> Iterator[Repair]:
    if known.flaws:
        first = known.flaws[0]
        more = f", and {len(known.flaws) - 1} more" if len(known.flaws) > 1 else ""
        yield Repair(
            "config:invalid",
            Severity.WARNING,
            "the configuration file has problems, so the gateway couldn't start with it again",
            f"{first.where}: {first.message}{more}",
            first.mend or "mend the file",
            "/changes",
            "tidegate check",
        )
    elif known.differs:
        yield Repair(
            "config:differs",
            Severity.NOTICE,
            "the configuration file was changed, and the gateway still runs with the one before",
            "",
            "look at the difference, and apply it or put it back",
            "/changes",
            "tidegate config diff",
        )
    if known.unconfirmed_s is not None:
        yield Repair(
            "config:unconfirmed",
            Severity.WARNING,
            f"a change is taken back in {duration(known.unconfirmed_s)} unless somebody confirms it",
            "",
            "confirm it if all is well",
            "/changes",
            "tidegate config confirm",
        )
    if known.update is not None:
        fallen = known.update.state == "fallen"
        yield Repair(
            f"update:{known.update.state}",
            Severity.WARNING if fallen else Severity.NOTICE,
            known.update.sentence,
            "",
            known.update.mend
            or {
                "waiting": "restart when it suits",
                "running": "wait until it has proved itself, or keep it",
                "fallen": "keep what runs, or install another release",
            }[known.update.state],
            "/system/updates",
            "tidegate update status",
        )


def _clock(known: Known) -> Iterator[Repair]:
    if not known.status["gateway"]["clock_trusted"]:
        yield Repair(
            "clock:untrusted",
            Severity.WARNING,
            "the clock isn't known to be right, so values are marked as such",
            "the kernel says that it isn't synchronised",
            "set up a time server that this gateway can reach",
            "/system",
            "timedatectl",
        )


def _journal(known: Known) -> Iterator[Repair]:
    journal = known.status["journal"]
    for name, sentence in journal["alarms"].items():
        sink = known.status["sinks"].get(name.removeprefix("refused:")) if name.startswith("refused:") else None
        if sink is not None and sink["refusing"]:
            continue  # the sink says whose values, and why
        what, mend = with_mend(sentence)
        yield Repair(
            f"journal:{name}",
            Severity.ERROR,
            what,
            "",
            mend or "look at the disk and the log",
            "/delivery",
            "tidegate journal stats",
        )
    for destination, ledger in known.status["ledger"].items():
        lost = {
            source: count
            for source, entry in ledger["sources"].items()
            if (count := sum(_dropped(account["dropped"]) for account in entry["boots"].values()))
        }
        if lost:
            reason = _reasons(entry["boots"].values() for entry in ledger["sources"].values())
            yield Repair(
                f"lost:{destination}",
                Severity.ERROR,
                f"{sum(lost.values())} values of {_listed(lost)} never reached {destination}",
                reason,
                "give the journal more room (max_mb, max_age_h), or see to the broker",
                "/delivery",
                "tidegate status",
            )


def _dropped(ranges: Iterable[Any]) -> int:
    return sum(each["last"] - each["first"] + 1 for each in ranges)


def _reasons(accounts: Iterable[Iterable[Any]]) -> str:
    reasons = dict.fromkeys(each["reason"] for boots in accounts for account in boots for each in account["dropped"])
    return ", ".join(reasons)


def _listed(names: Iterable[str]) -> str:
    first, *rest = names
    return f"{first} and {len(rest)} more" if rest else first


# -- the field


def _links(known: Known) -> Iterator[Repair]:
    links: Mapping[str, LinkStatus] = known.status["southbound"]["links"]
    for name, link in links.items():
        if link["state"] in ("down", "crashed"):
            sentence, mend = with_mend(link["detail"] or f"the link {name} is {link['state']}")
            devices = link["devices"]
            yield Repair(
                f"link:{name}",
                Severity.ERROR,
                f"nothing comes from {_listed(devices)}: the link {name} is {link['state']}" if devices else sentence,
                sentence,
                mend or "check power, wiring and address",
                _page(next(iter(devices))) if devices else "/devices",
                f"tidegate test {next(iter(devices), name)}",
            )
            continue
        for device_name, device in link["devices"].items():
            yield from _device(known, device_name, device)


def _device(known: Known, name: str, device: DeviceStatus) -> Iterator[Repair]:
    page = _page(name)
    if device["state"] == "failure":
        sentence, mend = with_mend(device["detail"] or f"{name} is in failure")
        yield Repair(
            f"device:{name}",
            Severity.ERROR,
            f"nothing comes from {name}",
            sentence,
            mend or "check that it is on, its address on the line, and its cabling",
            page,
            f"tidegate test {name}",
        )
        return
    groups = device["groups"]
    if errors := [error for group in groups.values() for error in group["errors"]]:
        sentence, mend = with_mend(errors[0]["message"])
        yield Repair(
            f"plan:{name}",
            Severity.WARNING,
            f"{_tags(len(errors))} of {name} can't be read at all",
            f"{errors[0]['path']}: {sentence}",
            mend or "mend the tag's address or type",
            page,
            f"tidegate why {name}/{errors[0]['path']}",
        )
    wrong = {error["path"] for error in errors}
    bad = {
        path: quality
        for group in groups.values()
        for path, quality in group["bad_tags"].items()
        if path not in wrong and quality != _WAITING
    }
    if bad:
        first, quality = next(iter(bad.items()))
        yield Repair(
            f"bad:{name}",
            Severity.WARNING,
            f"{_tags(len(bad))} of {name} {'has' if len(bad) == 1 else 'have'} no good value, though it answers",
            f"{first}: {quality}",
            "look at the tag's address and type: the decode matrix shows what stands there",
            page,
            f"tidegate why {name}/{first}",
        )
    for group_name, group in groups.items():
        yield from _group(name, group_name, group, known.paces.get((name, group_name), (0, 0)))


def _page(device: str) -> str:
    return f"/devices/named/{quote(device, safe='')}"


def _tags(count: int) -> str:
    return "1 tag" if count == 1 else f"{count} tags"


def _group(device: str, name: str, group: GroupStatus, pace: tuple[int, int]) -> Iterator[Repair]:
    polls, missed = pace
    if missed >= _MISSED_LEAST and missed > _MISSED_SHARE * (polls + missed):
        share = 100 * missed / (polls + missed)
        yield Repair(
            f"slow:{device}/{name}",
            Severity.WARNING,
            f"{device} can't be read as often as group {name} asks: {share:.0f} % of the reads were left out",
            f"a read takes {group['read_ms']['p99']:.0f} ms, and one is wanted every {group['interval_ms']:.0f} ms",
            "raise interval_ms, read less, or give the device a link of its own",
            _page(device),
            "tidegate status",
        )
    told = group["subscription"]
    if told is not None and told["lost"]:
        yield Repair(
            f"overflow:{device}/{name}",
            Severity.WARNING,
            f"{told['lost']} values of {device} were lost on the way here",
            told["lost_reason"],
            "raise queue_size or interval_ms of the group's tags",
            _page(device),
        )


# -- the brokers


def _sinks(known: Known) -> Iterator[Repair]:
    for name, sink in known.status["sinks"].items():
        forecast = known.forecasts.get(name)
        if not sink["connected"]:
            sentence, mend = with_mend(sink["last_error"] or "it hasn't been reached yet")
            full = forecast is not None and (
                forecast.phase is Phase.FULL or (forecast.full_in_s is not None and forecast.full_in_s < _FULL_SOON_S)
            )
            yield Repair(
                f"sink:{name}",
                Severity.ERROR if full else Severity.NOTICE,
                forecast.sentence if forecast is not None else "Buffering: nothing is delivered now",
                f"the broker {sink['broker']} isn't connected: {sentence}",
                mend or "see to the broker and the way to it",
                f"/delivery?sink={name}",
                f"tidegate mqtt test {name}",
            )
        elif forecast is not None and forecast.phase in (Phase.BUFFERING, Phase.FULL):
            yield Repair(
                f"sink:{name}",
                Severity.ERROR if forecast.phase is Phase.FULL else Severity.WARNING,
                forecast.sentence,
                f"{sink['broker']} is connected and takes less than comes up",
                "report less (deadband), send whole assets (granularity), or see to the broker",
                f"/delivery?sink={name}",
                "tidegate status",
            )
        for device, refusing in sink["refusing"].items():
            yield Repair(
                f"refused:{name}/{device}",
                Severity.ERROR,
                f"{sink['broker']} refuses values of {device} on {refusing['topics']} topics",
                refusing["reason"],
                "give the gateway's user the right to write there; what was refused is kept and tried again",
                f"/delivery?sink={name}",
                f"tidegate mqtt test {name}",
            )
        if sink["refused_documents"]:
            topic, reason = next(iter(sink["refused_documents"].items()))
            yield Repair(
                f"documents:{name}",
                Severity.WARNING,
                f"{sink['broker']} refuses what the gateway says about itself",
                f"{topic}: {reason}",
                "give the gateway's user the right to write there",
                f"/delivery?sink={name}",
                f"tidegate mqtt test {name}",
            )


# -- certificates


def _certificates(known: Known) -> Iterator[Repair]:
    for certificate in known.certificates:
        left_s = certificate.not_after_s - known.now_s
        if left_s >= _SOON_S:
            continue
        over = left_s < 0
        yield Repair(
            f"certificate:{certificate.id}",
            Severity.ERROR if over else Severity.WARNING,
            f"{certificate.what} {f'expired {duration(-left_s)} ago' if over else f'expires in {duration(left_s)}'}",
            "",
            "renew it, and have the far ends trust the new one",
            "/system/certificates",
            "tidegate cert list",
        )
    for driver, subject in known.quarantined:
        yield Repair(
            f"quarantined:{driver}/{subject}",
            Severity.WARNING,
            f"the certificate {subject!r} of a server isn't trusted yet",
            "it was shown to this gateway and put into quarantine",
            "compare its fingerprint with the server's, then accept or reject it",
            "/system/certificates",
            f"tidegate cert list {driver}",
        )
