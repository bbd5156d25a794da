"""All settings, in one frozen object; the only place that reads the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from relay.auth.addresses import parse_network
from relay.auth.keyring import Key
from relay.auth.origins import is_loopback, parse_origin
from relay.errors import SettingsError
from relay.redis_url import check_redis_url

# In the environment and on the command line: words with commas between them.
_Words = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """What an operator can set: ``RELAY_<NAME>`` in the environment, ``--<name>`` on ``serve``.

    Defaults are right for production behind a load balancer, except where a comment says otherwise.
    Build it with ``Settings.load()``, which explains what is wrong.
    """

    model_config = SettingsConfigDict(
        env_prefix="RELAY_", frozen=True, extra="forbid", env_ignore_empty=True
    )

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 in a container.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(1, ge=1, le=256, description="Worker processes that share the port.")
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="Redis or Valkey: redis://, rediss:// (TLS) or unix://.",
    )
    page_dir: Path | None = Field(
        None, description="Folder with the built page; served at / when set."
    )

    jwt_secret: SecretStr | None = Field(
        None,
        description=(
            "Secret that tokens are signed with (HS256, HS384, HS512), at least 32 bytes; several with "
            "spaces between them while one replaces another. Better as a variable: flags can be seen."
        ),
    )
    jwt_key_file: Path | None = Field(
        None,
        description="File with the public key, in PEM, of who signs tokens (RS256, PS256, ES256, EdDSA).",
    )
    jwks_url: str | None = Field(
        None, description="Address of a JSON Web Key Set with such keys; they may change."
    )
    jwt_audience: str | None = Field(None, description="What a token's 'aud' must have.")
    jwt_issuer: str | None = Field(None, description="What a token's 'iss' must be.")
    jwt_leeway_s: float = Field(
        5.0, ge=0, le=300, description="How many seconds the clocks of issuer and relay may differ."
    )
    insecure: bool = Field(
        False, description="Serve everybody without tokens, also beyond this machine."
    )
    public_host: str | None = Field(
        None,
        description=(
            "Address at which the load balancer before this relay is reached, if only from there; "
            "without tokens it must be a loopback address."
        ),
    )
    allowed_origins: _Words = Field(
        (),
        description=(
            "Origins of pages, beside the relay's own, that may talk to it: https://a.example.com,… "
            "or * for all."
        ),
    )
    trusted_proxies: _Words = Field(
        ("127.0.0.0/8", "::1/128"),
        description="Networks of load balancers, whose X-Forwarded-For is believed.",
    )

    max_connections: int = Field(20_000, ge=1, description="Facilitators on one worker.")
    max_connections_per_session: int = Field(10_000, ge=1, description="The same in one session.")
    max_connections_per_subject: int = Field(
        50, ge=1, description="The same of one person: tokens with the same 'sub'."
    )
    max_connections_per_address: int = Field(
        1000,
        ge=1,
        description="The same from one IP address; a trusted proxy's own doesn't count.",
    )
    max_sessions_per_token: int = Field(
        100, ge=1, description="Sessions in which one person may be at once, on one worker."
    )
    handshakes_per_s: float = Field(
        2000.0, gt=0, description="New connections a second, for long, on one worker."
    )
    handshake_burst: int = Field(10_000, ge=1, description="The same at once, after a quiet time.")
    handshakes_per_address_per_s: float = Field(
        20.0, gt=0, description="Requests and new connections a second from one address, for long."
    )
    handshake_burst_per_address: int = Field(
        200, ge=1, description="The same at once, after a quiet time."
    )
    handshake_timeout_s: float = Field(
        10.0,
        gt=0,
        le=300,
        description=(
            "How long a request may take to arrive, its body likewise, and each 16 KB of the answer to go."
        ),
    )
    max_pending: int = Field(
        2000, ge=1, description="Connections on one worker whose request has not arrived yet."
    )
    max_header_bytes: int = Field(16 * 1024, ge=1024, description="Largest head of a request.")
    max_body_bytes: int = Field(1024 * 1024, ge=1024, description="Largest body of a request.")
    max_history: int = Field(
        1000, ge=1, description="Most messages that one request for history may ask for."
    )
    max_history_answers: int = Field(
        64,
        ge=1,
        description="Such answers that one person, or address, may have on the way at once.",
    )
    publications_per_s: float = Field(
        100.0, gt=0, description="Messages a second that one agent may publish over HTTP, for long."
    )
    publication_burst: int = Field(500, ge=100, description="The same at once, after a silence.")
    max_inbound_bytes: int = Field(
        16 * 1024, ge=256, description="Largest message that a facilitator may send."
    )
    inbound_per_s: float = Field(
        10.0, gt=0, description="Messages a second that a facilitator may send, for long."
    )
    inbound_burst: int = Field(
        20, ge=1, description="Messages that a facilitator may send at once, after a silence."
    )
    inbound_bytes_per_s: float = Field(
        32 * 1024,
        ge=1024,
        description="Bytes a second that a facilitator may send, on average over a heartbeat.",
    )
    max_publication_bytes: int = Field(
        64 * 1024, ge=1024, description="Largest publication; larger ones are refused or dropped."
    )

    heartbeat_s: float = Field(
        10.0,
        gt=0,
        le=300,
        description="Seconds between two heartbeats; a peer that answers none is closed (4003).",
    )
    websocket_deflate: bool = Field(
        False,
        description="Compress WebSockets: costs tens of KB for each, and much CPU time.",
    )

    ring_messages: int = Field(
        1000, ge=1, description="Newest messages of a session that a worker keeps in memory."
    )
    ring_bytes: int = Field(
        1024 * 1024, ge=1024, description="The same bound in bytes, for each session."
    )
    linger_s: float = Field(
        30.0, ge=0, description="How long a session stays warm after its last facilitator left."
    )
    broker_lost_s: float = Field(
        30.0,
        gt=0,
        description=(
            "How long Redis may be away before facilitators are sent to other relays, close code 4005."
        ),
    )
    join_timeout_s: float = Field(
        10.0, gt=0, description="How long a facilitator waits for Redis before close code 4005."
    )

    log_messages: int = Field(
        1000,
        ge=1,
        description="Messages of a session that are kept in Redis, approximately; as publishers have it.",
    )
    log_ttl_s: int = Field(
        24 * 3600,
        ge=1,
        description="Seconds that a session is kept after its newest message; as publishers have it.",
    )
    dedupe_s: int = Field(
        300, ge=1, description="Seconds in which `hint` publishes a message id only once."
    )

    redis_timeout_s: float = Field(
        3.0, gt=0, description="How long one Redis command may take, connecting included."
    )
    probe_interval_s: float = Field(
        2.0, gt=0, description="How often the subscription is proved to deliver."
    )
    probe_timeout_s: float = Field(
        5.0, gt=0, description="Without a proof for this long the subscription is made anew."
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log line: debug, info, warning or error."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console in a terminal, JSON lines elsewhere."
    )

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: str) -> str:
        try:
            return check_redis_url(value)
        except SettingsError as error:
            raise ValueError(str(error)) from None

    @field_validator("page_dir")
    @classmethod
    def _check_page_dir(cls, value: Path | None) -> Path | None:
        if value is not None and not (value / "index.html").is_file():
            raise ValueError("has no index.html; build the page first (make page)")
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _check_secrets(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            # Blanks alone are no secret either.
            for secret in value.get_secret_value().split() or [""]:
                Key.of_secret(secret.encode())
        return value

    @field_validator("jwt_key_file")
    @classmethod
    def _check_key_file(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                Key.of_pem(value.read_bytes())
            except OSError as error:
                raise ValueError(f"can't be read: {error.strerror}") from None
        return value

    @field_validator("jwks_url")
    @classmethod
    def _check_jwks_url(cls, value: str | None) -> str | None:
        if value is None:
            return value
        if not value.startswith(("https://", "http://")):
            raise ValueError("must begin with https:// (or http://, inside a network of your own)")
        # Now, and not with the first facilitator.
        try:
            parts = urlsplit(value)
            is_whole = bool(parts.hostname) and parts.username is None and parts.port != 0
        except ValueError:
            is_whole = False
        if not is_whole or not value.isascii() or " " in value:
            raise ValueError(
                "is no whole address: it looks like https://login.example.com/.well-known/jwks.json"
            )
        return value

    @field_validator("allowed_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("allowed_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(one if one == "*" else parse_origin(one) for one in value)

    @field_validator("trusted_proxies")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(parse_network, value))

    @model_validator(mode="after")
    def _check_probe_times(self) -> Self:
        if self.probe_timeout_s <= self.probe_interval_s:
            raise ValueError("RELAY_PROBE_TIMEOUT_S must be longer than RELAY_PROBE_INTERVAL_S")
        return self

    @property
    def keys(self) -> list[Key]:
        """The keys that tokens may be signed with, those of ``jwks_url`` aside."""
        secret = self.jwt_secret
        keys = (
            []
            if secret is None
            else [Key.of_secret(one.encode()) for one in secret.get_secret_value().split()]
        )
        return (
            keys
            if self.jwt_key_file is None
            else [*keys, Key.of_pem(self.jwt_key_file.read_bytes())]
        )

    @property
    def asks_for_tokens(self) -> bool:
        """Whether nobody is served without a token."""
        return (
            self.jwt_secret is not None
            or self.jwt_key_file is not None
            or self.jwks_url is not None
        )

    @property
    def is_local(self) -> bool:
        """Whether only this machine is to be served, and without tokens."""
        return not self.asks_for_tokens and not self.insecure

    def check_closed(self) -> None:
        """Do nothing if no stranger will be served.

        Raises:
            SettingsError: when anybody would be; the text says what to do.
        """
        host = self.public_host or self.host
        if self.is_local and not is_loopback(host):
            raise SettingsError(
                f"Without tokens, everybody who reaches {host} could read and steer every session. "
                "Set RELAY_JWT_SECRET (openssl rand -hex 32), RELAY_JWT_KEY_FILE or RELAY_JWKS_URL; "
                "or listen on 127.0.0.1; or, where something else keeps strangers out, give --insecure."
            )

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Read the environment; ``overrides`` (from flags, None for unset) win.

        Raises:
            SettingsError: naming each wrong setting and what is wrong with it, never its value,
                which may be a secret.
        """
        given = {name: value for name, value in overrides.items() if value is not None}
        try:
            return cls(**given)
        except ValidationError as error:
            lines = [
                ": ".join(
                    [
                        *(f"RELAY_{str(part).upper()}" for part in problem["loc"]),
                        problem["msg"].removeprefix("Value error, "),
                    ]
                )
                for problem in error.errors(include_url=False, include_input=False)
            ]
            raise SettingsError("\n".join(lines)) from None

    @classmethod
    def unknown_names(cls) -> list[str]:
        """Return the ``RELAY_*`` variables of the environment that are no settings: typing errors.

        They are no reason to refuse: Kubernetes sets some for a service that is called "relay".
        """
        return sorted(
            name
            for name in os.environ
            if name.startswith("RELAY_") and name[len("RELAY_") :].lower() not in cls.model_fields
        )

    def to_environment(self) -> dict[str, str]:
        """Return these settings as environment variables, for worker processes."""
        return {
            f"RELAY_{name.upper()}": _spelled(value)
            for name in type(self).model_fields
            if (value := getattr(self, name)) is not None
        }


def _spelled(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    # An empty variable would mean the default.
    return (",".join(value) or ",") if isinstance(value, tuple) else str(value)
