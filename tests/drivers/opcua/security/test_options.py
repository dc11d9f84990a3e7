"""What can't be is one clear sentence; what is left out is secure."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from drivers.opcua.options import LinkOptions
from drivers.opcua.security.options import SecurityOptions
from tests.support.interpreter import run

URL = {"url": "opc.tcp://plc1:4840"}
PASSWORD = {"credential": "plc1"}


def test_nothing_said_is_secure() -> None:
    options = LinkOptions.model_validate(URL)
    assert (options.security_policy, options.security_mode) == ("best", "best")
    assert not options.password_in_clear
    assert not options.require_crl
    for check in ("time", "host", "application_uri", "usage"):
        assert getattr(options, f"verify_{check}") is True


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"security_policy": "Basic128Rsa15"}, "'Basic128Rsa15' is broken and refused: write 'best'"),
        ({"security_policy": "Basic256"}, "'Basic256' is broken and refused: write 'best'"),
        ({"security_policy": "none"}, "Input should be 'best'"),
        ({"security_policy": "None", "security_mode": "Sign"}, "there is no mode 'Sign': drop security_mode"),
        ({"username": "operator"}, "of no use without 'password': add password = "),
        ({"password": PASSWORD}, "of no use without 'username': add username = "),
        ({"user_certificate": "a.der"}, "of no use without 'user_key': add user_key = "),
        ({"key": "a.pem"}, "of no use without 'certificate': add certificate = "),
        ({"certificate": "a.pem"}, "of no use without 'key': add key = "),
        ({"user_key_password": PASSWORD}, "of no use without 'user_key': add user_key = "),
        (
            {"username": "operator", "password": PASSWORD, "user_certificate": "a.der", "user_key": "a.pem"},
            "are two users: keep one",
        ),
    ],
)
def test_what_cannot_be_is_a_sentence(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        LinkOptions.model_validate({**URL, **options})


def test_every_option_is_described() -> None:
    assert all(field.description for field in SecurityOptions.model_fields.values())


@pytest.mark.parametrize(
    ("code", "strangers"),
    [
        ("from drivers.opcua import KIND", ("asyncua", "cryptography")),
        ("from drivers.opcua import KIND; KIND.certificates(KIND_SITE).list()", ("asyncua",)),
    ],
)
def test_no_more_is_loaded_than_is_needed(code: str, strangers: tuple[str, ...]) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom gateway.driver import Site\n"
        "KIND_SITE = Site('g', Path('/nonexistent'))\n"
        f"{code}\nprint(sorted({strangers!r} & sys.modules.keys()))\n"
    ).replace(repr(strangers), f"set({strangers!r})")
    assert run(script) == "[]"
