"""Every setting, read from the environment once and judged before any data is touched."""

import os
import re
from collections.abc import Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lake.kafka_settings import KafkaSettings
from lake.project import PROJECT, absolute

__all__ = [
    "PROJECT",
    "Settings",
    "SettingsError",
    "environment_of",
    "load_settings",
    "secrets_in",
]


class SettingsError(ValueError):
    """A setting is wrong; the message names the variable, its value and what it may be."""


class Settings(KafkaSettings):
    """Settings of one process. Every field is an environment variable (its alias)."""

    model_config = SettingsConfigDict(populate_by_name=True, frozen=True, extra="ignore")

    lake_uri: str = Field("./data", alias="LAKE_URI", description="where tables live")
    local_dir: Path | None = Field(
        None, alias="LAKE_LOCAL", description="local folder for DuckDB files, logs and the inbox"
    )
    inbox_dir: Path | None = Field(
        None, alias="TICKLAKE_INBOX", description="files to land: <feed>/<YYYY-MM-DD>/..."
    )

    batch_rows: int = Field(100_000, alias="TICKLAKE_BATCH_ROWS", ge=1, le=5_000_000)
    batch_seconds: float = Field(1.0, alias="TICKLAKE_BATCH_SECONDS", gt=0, le=600)
    max_record_bytes: int = Field(262_144, alias="TICKLAKE_MAX_RECORD_BYTES", ge=256)

    speed: Literal["on", "off"] = Field(
        "on", alias="TICKLAKE_SPEED", description="candles while `ingest --follow` lands"
    )
    speed_flush_s: float = Field(
        5.0,
        alias="TICKLAKE_SPEED_FLUSH_SECONDS",
        ge=0.1,
        le=3600,
        description="finished candles are stored no more often",
    )
    speed_show_s: float = Field(
        0.2,
        alias="TICKLAKE_SPEED_SHOW_SECONDS",
        ge=0.02,
        le=60,
        description="active candles are shown no more often",
    )

    dead_letters: bool = Field(
        False, alias="TICKLAKE_DEAD_LETTERS", description="send rejected Kafka records on"
    )
    dead_letter_topics: str = Field(
        "",
        alias="TICKLAKE_DEAD_LETTER_TOPICS",
        pattern=r"^(\w+=[\w.-]+(,\w+=[\w.-]+)*)?$",
        description="dataset=topic,... where it is not <topic>.dlq",
    )

    models: Literal["all", "core"] = Field(
        "all", alias="TICKLAKE_MODELS", description="which dbt models builds make"
    )
    build_from: date | None = Field(None, alias="TICKLAKE_BUILD_FROM", description="first UTC day")
    build_to: date | None = Field(None, alias="TICKLAKE_BUILD_TO", description="day after the last")
    build_memory: str = Field("4GB", alias="TICKLAKE_BUILD_MEMORY", pattern=r"^\d+(\.\d+)?[KMGT]B$")
    build_threads: int = Field(2, alias="TICKLAKE_BUILD_THREADS", ge=1, le=256)

    vendor_timeout_s: float = Field(
        30.0, alias="TICKLAKE_VENDOR_TIMEOUT", gt=0, description="seconds of one request"
    )
    vendor_patience_s: float = Field(
        300.0,
        alias="TICKLAKE_VENDOR_PATIENCE",
        ge=0,
        description="seconds to go on asking a vendor that is away or says: later",
    )
    alpaca_key: SecretStr | None = Field(None, alias="TICKLAKE_ALPACA_KEY")
    alpaca_secret: SecretStr | None = Field(None, alias="TICKLAKE_ALPACA_SECRET")
    alpaca_feed: Literal["iex", "sip"] = Field("iex", alias="TICKLAKE_ALPACA_FEED")
    alpaca_rate: int = Field(
        200, alias="TICKLAKE_ALPACA_RATE", ge=1, description="requests a minute"
    )
    alpaca_catch_up_h: float = Field(
        96.0,
        alias="TICKLAKE_ALPACA_CATCH_UP",
        ge=0,
        description="hours that a stream fetches after a break, at most",
    )
    alpaca_url: str = Field("https://data.alpaca.markets", alias="TICKLAKE_ALPACA_URL")
    alpaca_stream_url: str = Field(
        "wss://stream.data.alpaca.markets", alias="TICKLAKE_ALPACA_STREAM_URL"
    )
    reddit_client_id: SecretStr | None = Field(None, alias="TICKLAKE_REDDIT_CLIENT_ID")
    reddit_client_secret: SecretStr | None = Field(None, alias="TICKLAKE_REDDIT_CLIENT_SECRET")
    reddit_user_agent: str = Field(
        "python:ticklake:0.1 (market data)", alias="TICKLAKE_REDDIT_USER_AGENT", min_length=7
    )
    reddit_subreddits: str = Field("wallstreetbets,stocks", alias="TICKLAKE_REDDIT_SUBREDDITS")
    reddit_tickers: str = Field(
        "AAPL,GOOGL,MSFT,AMZN,TSLA,NVDA,META,NFLX",
        alias="TICKLAKE_REDDIT_TICKERS",
        description="tickers that count without a $ before them",
    )
    reddit_poll_s: float = Field(60.0, alias="TICKLAKE_REDDIT_POLL", ge=1)
    reddit_url: str = Field("https://www.reddit.com", alias="TICKLAKE_REDDIT_URL")
    reddit_oauth_url: str = Field("https://oauth.reddit.com", alias="TICKLAKE_REDDIT_OAUTH_URL")

    listen_host: str = Field("127.0.0.1", alias="TICKLAKE_LISTEN_HOST")
    listen_port: int = Field(8765, alias="TICKLAKE_LISTEN_PORT", ge=0, le=65_535)
    listen_tokens: SecretStr | None = Field(
        None, alias="TICKLAKE_LISTEN_TOKENS", description="name:token, several with commas"
    )
    listen_rate: int = Field(
        50_000, alias="TICKLAKE_LISTEN_RATE", ge=1, description="records a second of one client"
    )
    listen_connections: int = Field(100, alias="TICKLAKE_LISTEN_CONNECTIONS", ge=1)
    listen_buffer_bytes: int = Field(
        33_554_432,
        alias="TICKLAKE_LISTEN_BUFFER_BYTES",
        ge=65_536,
        description="of a dataset's records that wait for their commit",
    )

    retention_h: float = Field(
        24.0,
        alias="TICKLAKE_RETENTION_HOURS",
        ge=1,
        description="hours that files are kept for those who may still read them",
    )
    compact_rows: int = Field(
        2_000_000,
        alias="TICKLAKE_COMPACT_ROWS",
        ge=2,
        description="rows of a file from which on it is large enough",
    )

    alert_webhook: SecretStr | None = Field(
        None,
        alias="TICKLAKE_ALERT_WEBHOOK",
        description="address that notes of failed flows are posted to, as JSON; a secret",
    )
    alert_timeout_s: float = Field(
        3.0, alias="TICKLAKE_ALERT_TIMEOUT", gt=0, le=5, description="seconds of one such request"
    )
    postgres: SecretStr | None = Field(
        None, alias="TICKLAKE_POSTGRES", description="URL of the database that is published to"
    )
    postgres_tables: str = Field(
        "gold.*,audit.*,-gold.depth,-gold.depth_1s,-gold.book_depth,-gold.candles_dense,"
        "-gold.candle_windows_*,-audit.dirty,-audit.control_totals",
        alias="TICKLAKE_POSTGRES_TABLES",
        pattern=r"^ *-?[\w*?]+\.[\w*?]+( *, *-?[\w*?]+\.[\w*?]+)* *$",
        description="what is published there: schema.name with * and ?; - leaves out again",
    )

    log_format: Literal["console", "json"] = Field("console", alias="TICKLAKE_LOG_FORMAT")

    @field_validator("alert_webhook")
    @classmethod
    def _webhook_is_an_address(cls, given: SecretStr | None) -> SecretStr | None:
        address = given.get_secret_value() if given else ""
        if not address:
            return None
        if not re.fullmatch(r"https?://[^\s/]+\S*", address):
            raise ValueError("must be an address, http://... or https://...")
        return given

    @model_validator(mode="after")
    def _range_makes_sense(self) -> Self:
        if (self.build_from is None) != (self.build_to is None):
            raise ValueError("TICKLAKE_BUILD_FROM and TICKLAKE_BUILD_TO go together: set both")
        if self.build_from and self.build_to and self.build_from >= self.build_to:
            raise ValueError(
                f"TICKLAKE_BUILD_FROM {self.build_from} must lie before "
                f"TICKLAKE_BUILD_TO {self.build_to} (the day after the last)"
            )
        return self

    @model_validator(mode="after")
    def _lake_is_local(self) -> Self:
        if "://" in self.lake_uri and not self.lake_uri.startswith("file://"):
            raise ValueError(
                f"LAKE_URI {self.lake_uri!r}: object stores are not supported yet; name a folder"
            )
        return self

    @cached_property
    def root(self) -> Path:
        """The lake's folder, absolute."""
        return absolute(Path(self.lake_uri.removeprefix("file://")))

    @cached_property
    def local(self) -> Path:
        """Local working folder, absolute: DuckDB files, locks, logs."""
        return absolute(self.local_dir) if self.local_dir else self.root

    @cached_property
    def inbox(self) -> Path:
        """Folder where files to land are dropped, absolute."""
        return absolute(self.inbox_dir) if self.inbox_dir else self.local / "inbox"

    @cached_property
    def dead_letter_names(self) -> dict[str, str]:
        """Dataset -> topic of its dead letters, where one is given."""
        pairs = (pair.partition("=") for pair in self.dead_letter_topics.split(",") if pair)
        return {dataset: topic for dataset, _, topic in pairs}


class _Given(Settings):
    """Settings from a mapping alone: without this the environment would fill its gaps."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 (pydantic's signature)
        init_settings: Any,
        *_: Any,
        **__: Any,
    ) -> tuple[Any, ...]:
        return (init_settings,)


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment, or from the mapping given instead of it.

    Raises SettingsError with one line per wrong variable.
    """
    try:
        if environment is None:
            return Settings()
        return _Given.model_validate(dict(environment))
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None


def environment_of(settings: Settings) -> dict[str, str]:
    """This process's environment with the folders made absolute, to hand to a child."""
    return {
        **os.environ,
        "LAKE_URI": str(settings.root),
        "LAKE_LOCAL": str(settings.local),
        "TICKLAKE_INBOX": str(settings.inbox),
        "TICKLAKE_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
    }


_SECRETS = {
    str(field.alias)
    for field in Settings.model_fields.values()
    if "SecretStr" in str(field.annotation)
}


def secrets_in(environment: Mapping[str, str]) -> list[str]:
    """The values that nobody may read, of the settings that are secrets, the longest first.

    Those of less than four characters are left out: they would be found everywhere.
    """
    found = {environment.get(name, "") for name in _SECRETS}
    return sorted((value for value in found if len(value) >= 4), key=len, reverse=True)


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        where = str(problem["loc"][0]) if problem["loc"] else ""
        given = f" (given: {problem['input']!r})" if where and where not in _SECRETS else ""
        lines.append(f"{where}: {problem['msg']}{given}".removeprefix(": "))
    return "wrong settings:\n  " + "\n  ".join(lines)
