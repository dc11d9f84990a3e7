"""What can be set about the security of a link: a part of the link's options."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from gateway.fields import FilePath, Options, SecretReference

Policy = Literal["best", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss", "None"]
Mode = Literal["best", "Sign", "SignAndEncrypt"]

_BROKEN = ("Basic128Rsa15", "Basic256")
"""Both rest on SHA-1, and the OPC Foundation withdrew them."""

_ADD = {
    "username": "add username = 'NAME'",
    "password": "add password = {file = 'PATH'}, or {env = 'NAME'}, or {credential = 'NAME'}",
    "user_certificate": "add user_certificate = 'PATH'",
    "user_key": "add user_key = 'PATH'",
    "certificate": "add certificate = 'PATH'",
    "key": "add key = 'PATH'",
}


class SecurityOptions(Options):
    """How a connection is secured, and who logs in."""

    security_policy: Policy = Field(
        default="best",
        description="Security policy. `best`: the strongest that the server offers, never `None`. `None`: no security, "
        "everything can be read and forged on the way.",
    )
    security_mode: Mode = Field(
        default="best",
        description="`SignAndEncrypt`, or `Sign`, which leaves every value readable on the way. `best`: encrypted, if "
        "the server offers that.",
    )
    username: str | None = Field(default=None, min_length=1, description="User name. Needs `password`.")
    password: SecretReference | None = Field(default=None, description="The user's password, by reference.")
    password_in_clear: bool = Field(
        default=False,
        description="Send the password although nothing encrypts it, which lets anyone on the way read it.",
    )
    user_certificate: FilePath | None = Field(
        default=None, description="X.509 certificate to log in with (PEM or DER). Needs `user_key`."
    )
    user_key: FilePath | None = Field(default=None, description="Private key of `user_certificate` (PEM or DER).")
    user_key_password: SecretReference | None = Field(
        default=None, description="Password of `user_key`, if it has one, by reference."
    )
    certificate: FilePath | None = Field(
        default=None,
        description="Application certificate of this gateway (PEM or DER), if an authority of yours issues it. Needs "
        "`key`. Default: one that the gateway makes.",
    )
    key: FilePath | None = Field(default=None, description="Private key of `certificate` (PEM or DER, no password).")
    verify_time: bool = Field(default=True, description="Refuse a server certificate that isn't valid today.")
    verify_host: bool = Field(
        default=True, description="Refuse a server certificate that doesn't name the host the link connects to."
    )
    verify_application_uri: bool = Field(
        default=True, description="Refuse a server certificate that names another application than the server does."
    )
    verify_usage: bool = Field(default=True, description="Refuse a server certificate that wasn't issued for this use.")
    require_crl: bool = Field(
        default=False,
        description="Refuse a certificate whose authority has no current revocation list here. A list that is here is "
        "heeded either way.",
    )

    @field_validator("security_policy", mode="before")
    @classmethod
    def _is_not_broken(cls, value: Any) -> Any:
        if value in _BROKEN:
            raise ValueError(
                f"security_policy '{value}' is broken and refused: write 'best', or 'Basic256Sha256' or better"
            )
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> SecurityOptions:
        pairs = (
            ("username", "password"),
            ("user_certificate", "user_key"),
            ("certificate", "key"),
        )
        for one, other in pairs:
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                given, missing = (one, other) if getattr(self, other) is None else (other, one)
                raise ValueError(f"'{given}' is of no use without '{missing}': {_ADD[missing]}")
        if self.username is not None and self.user_certificate is not None:
            raise ValueError("'username' and 'user_certificate' are two users: keep one of them")
        if self.user_key_password is not None and self.user_key is None:
            raise ValueError(f"'user_key_password' is of no use without 'user_key': {_ADD['user_key']}")
        if self.security_policy == "None" and self.security_mode != "best":
            raise ValueError(
                f"security_policy 'None' secures nothing, so there is no mode '{self.security_mode}': "
                "drop security_mode, or write security_policy = 'best'"
            )
        return self
