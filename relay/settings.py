"""All settings, in one frozen object; the only place that reads the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from relay.errors import SettingsError
from relay.redis_url import check_redis_url


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

    heartbeat_s: float = Field(
        10.0,
        gt=0,
        le=300,
        description="Seconds between two heartbeats; a peer that answers none is closed (4003).",
    )
    max_inbound_bytes: int = Field(
        16 * 1024, ge=256, description="Largest message that a facilitator may send."
    )
    inbound_per_s: float = Field(
        10.0, gt=0, description="Messages a second that a facilitator may send, for long."
    )
    inbound_burst: int = Field(
        20, ge=1, description="Messages that a facilitator may send at once, after a silence."
    )
    max_publication_bytes: int = Field(
        64 * 1024, ge=1024, description="Largest publication; larger ones are refused or dropped."
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
        "info", description="Least severe log line that is written."
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

    @model_validator(mode="after")
    def _check_probe_times(self) -> Self:
        if self.probe_timeout_s <= self.probe_interval_s:
            raise ValueError("RELAY_PROBE_TIMEOUT_S must be longer than RELAY_PROBE_INTERVAL_S")
        return self

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
                    [*(f"RELAY_{str(part).upper()}" for part in problem["loc"]), problem["msg"]]
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
            f"RELAY_{name.upper()}": str(value)
            for name in type(self).model_fields
            if (value := getattr(self, name)) is not None
        }
