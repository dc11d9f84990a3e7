from __future__ import annotations

from asyncua.ua.status_codes import code_to_name_doc

from drivers.opcua import status
from gateway.model import Quality, quality_name
from gateway.status_codes import NAMES


def test_every_code_of_the_standard_has_its_name() -> None:
    assert {code: name for code, (name, _) in code_to_name_doc.items()} == dict(NAMES)
    for quality in Quality:
        assert quality_name(quality) == "".join(word.capitalize() for word in quality.name.split("_"))


def test_a_quality_that_people_read_is_no_number() -> None:
    """``tidegate status`` said 0x80DB0000 of the tags that a server had no room for."""
    assert quality_name(0x80DB0000) == "BadTooManyMonitoredItems"
    assert quality_name(0x40920000) == "UncertainInitialValue"
    assert quality_name(0x80340000 | 0x480) == "BadNodeIdUnknown", "the info bits say something else"
    assert quality_name(0x8FFF0000) == "0x8FFF0000"


def test_a_sentence_explains_a_code() -> None:
    assert status.sentence(0x801F0000).startswith("BadUserAccessDenied (user does not have permission")
    assert status.sentence(0x8FFF0000) == "0x8FFF0000"
