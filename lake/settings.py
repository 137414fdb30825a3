"""Every setting, read from the environment once and judged before any data is touched."""

import os
from collections.abc import Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT = Path(__file__).resolve().parent.parent


class SettingsError(ValueError):
    """A setting is wrong; the message names the variable, its value and what it may be."""


class Settings(BaseSettings):
    """Settings of one process. Every field is an environment variable (its alias)."""

    model_config = SettingsConfigDict(populate_by_name=True, frozen=True, extra="ignore")

    lake_uri: str = Field("./data", alias="LAKE_URI", description="where tables live")
    local_dir: Path | None = Field(
        None, alias="LAKE_LOCAL", description="local folder for DuckDB files, logs and the inbox"
    )
    inbox_dir: Path | None = Field(
        None, alias="TICKLAKE_INBOX", description="files to land: <feed>/<YYYY-MM-DD>/..."
    )

    kafka_bootstrap: str = Field(
        "127.0.0.1:19092", alias="TICKLAKE_KAFKA_BOOTSTRAP", description="empty: no Kafka at all"
    )
    kafka_group: str = Field("ticklake", alias="TICKLAKE_KAFKA_GROUP")
    kafka_timeout_s: float = Field(15.0, alias="TICKLAKE_KAFKA_TIMEOUT", gt=0)
    kafka_delivery_timeout_s: float = Field(
        120.0,
        alias="TICKLAKE_KAFKA_DELIVERY_TIMEOUT",
        ge=1,
        le=86_400,
        description="seconds that a sent record waits for a broker that is away",
    )
    kafka_compression: Literal["none", "lz4", "zstd", "snappy"] = Field(
        "lz4", alias="TICKLAKE_KAFKA_COMPRESSION", description="of what is sent"
    )

    batch_rows: int = Field(100_000, alias="TICKLAKE_BATCH_ROWS", ge=1, le=5_000_000)
    batch_seconds: float = Field(1.0, alias="TICKLAKE_BATCH_SECONDS", gt=0, le=600)
    max_record_bytes: int = Field(262_144, alias="TICKLAKE_MAX_RECORD_BYTES", ge=256)

    build_from: date | None = Field(None, alias="TICKLAKE_BUILD_FROM", description="first UTC day")
    build_to: date | None = Field(None, alias="TICKLAKE_BUILD_TO", description="day after the last")
    build_memory: str = Field("4GB", alias="TICKLAKE_BUILD_MEMORY", pattern=r"^\d+(\.\d+)?[KMGT]B$")
    build_threads: int = Field(2, alias="TICKLAKE_BUILD_THREADS", ge=1, le=256)

    log_format: Literal["console", "json"] = Field("console", alias="TICKLAKE_LOG_FORMAT")

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
        return _absolute(Path(self.lake_uri.removeprefix("file://")))

    @cached_property
    def local(self) -> Path:
        """Local working folder, absolute: DuckDB files, locks, logs."""
        return _absolute(self.local_dir) if self.local_dir else self.root

    @cached_property
    def inbox(self) -> Path:
        """Folder where files to land are dropped, absolute."""
        return _absolute(self.inbox_dir) if self.inbox_dir else self.local / "inbox"


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


def _absolute(path: Path) -> Path:
    """A relative path counts from the project, not from where the command happens to run:
    `dbt build` in dbt/ and `ticklake status` beside it must mean the same lake."""
    return (PROJECT / path.expanduser()).resolve()


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        where = str(problem["loc"][0]) if problem["loc"] else ""
        given = f" (given: {problem['input']!r})" if where else ""
        lines.append(f"{where}: {problem['msg']}{given}".removeprefix(": "))
    return "wrong settings:\n  " + "\n  ".join(lines)
