"""How Kafka is reached: addresses, patience, memory, and who we say we are.

What can be judged without a broker is judged here, before any data is touched: a certificate that
is not there, a key that its password does not open, a user without a password.
"""

import ssl
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from lake.project import absolute

PREFIX = "TICKLAKE_KAFKA_"


class KafkaSettings(BaseSettings):
    """The Kafka part of the settings of one process."""

    kafka_bootstrap: str = Field(
        "127.0.0.1:19092", alias="TICKLAKE_KAFKA_BOOTSTRAP", description="empty: no Kafka at all"
    )
    kafka_group: str = Field("ticklake", alias="TICKLAKE_KAFKA_GROUP")
    kafka_timeout_s: float = Field(15.0, alias="TICKLAKE_KAFKA_TIMEOUT", gt=0)
    kafka_session_timeout_s: float = Field(
        6.0,
        alias="TICKLAKE_KAFKA_SESSION_TIMEOUT",
        ge=6,
        le=300,
        description="seconds of silence after which the group gives a resident's partitions away",
    )
    kafka_buffer_mb: int = Field(
        64,
        alias="TICKLAKE_KAFKA_BUFFER_MB",
        ge=1,
        le=65_536,
        description="of records fetched ahead by one process, all datasets together",
    )
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

    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", alias="TICKLAKE_KAFKA_SECURITY_PROTOCOL"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", alias="TICKLAKE_KAFKA_SASL_MECHANISM"
    )
    kafka_sasl_username: str | None = Field(None, alias="TICKLAKE_KAFKA_SASL_USERNAME")
    kafka_sasl_password: SecretStr | None = Field(None, alias="TICKLAKE_KAFKA_SASL_PASSWORD")
    kafka_ssl_ca: Path | None = Field(
        None, alias="TICKLAKE_KAFKA_SSL_CA", description="PEM; without it, the system's authorities"
    )
    kafka_ssl_certificate: Path | None = Field(
        None, alias="TICKLAKE_KAFKA_SSL_CERTIFICATE", description="PEM: ours, where brokers ask"
    )
    kafka_ssl_key: Path | None = Field(None, alias="TICKLAKE_KAFKA_SSL_KEY", description="PEM")
    kafka_ssl_key_password: SecretStr | None = Field(None, alias="TICKLAKE_KAFKA_SSL_KEY_PASSWORD")

    @field_validator(
        "kafka_sasl_username", "kafka_sasl_password", "kafka_ssl_ca", "kafka_ssl_certificate",
        "kafka_ssl_key", "kafka_ssl_key_password", mode="before",
    )  # fmt: skip
    @classmethod
    def _empty_is_not_given(cls, given: Any) -> Any:
        return None if given == "" else given

    @model_validator(mode="after")
    def _user_fits_protocol(self) -> Self:
        protocol = self.kafka_security_protocol
        given = {"USERNAME": self.kafka_sasl_username, "PASSWORD": self.kafka_sasl_password}
        for name, value in given.items():
            if protocol.startswith("SASL") and not value:
                raise ValueError(f"{PREFIX}SECURITY_PROTOCOL {protocol} needs {PREFIX}SASL_{name}")
            if not protocol.startswith("SASL") and value:
                raise ValueError(
                    f"{PREFIX}SASL_{name} would not be used: {PREFIX}SECURITY_PROTOCOL is "
                    f"{protocol}; set it to SASL_SSL or SASL_PLAINTEXT"
                )
        return self

    @model_validator(mode="after")
    def _files_fit_protocol(self) -> Self:
        files = {
            "CA": self.kafka_ssl_ca,
            "CERTIFICATE": self.kafka_ssl_certificate,
            "KEY": self.kafka_ssl_key,
        }
        for name, path in files.items():
            if path is None:
                continue
            if not self.kafka_security_protocol.endswith("SSL"):
                raise ValueError(
                    f"{PREFIX}SSL_{name} would not be used: {PREFIX}SECURITY_PROTOCOL is "
                    f"{self.kafka_security_protocol}; set it to SSL or SASL_SSL"
                )
            if not absolute(path).is_file():
                raise ValueError(f"{PREFIX}SSL_{name}: there is no file {absolute(path)}")
        if (self.kafka_ssl_certificate is None) != (self.kafka_ssl_key is None):
            raise ValueError(f"{PREFIX}SSL_CERTIFICATE and {PREFIX}SSL_KEY go together: set both")
        if self.kafka_security_protocol.endswith("SSL"):
            _try_files(self._ssl_files)
        return self

    @cached_property
    def kafka_security(self) -> dict[str, str]:
        """What librdkafka is told of who we are. Holds secrets: never print it."""
        told: dict[str, str] = {"security.protocol": self.kafka_security_protocol}
        if self.kafka_security_protocol.startswith("SASL"):
            told["sasl.mechanism"] = self.kafka_sasl_mechanism
            told["sasl.username"] = self.kafka_sasl_username or ""
            told["sasl.password"] = _plain(self.kafka_sasl_password)
        if self.kafka_security_protocol.endswith("SSL"):
            told |= self._ssl_files
        return told

    @property
    def _ssl_files(self) -> dict[str, str]:
        files = {
            "ssl.ca.location": self.kafka_ssl_ca,
            "ssl.certificate.location": self.kafka_ssl_certificate,
            "ssl.key.location": self.kafka_ssl_key,
        }
        found = {name: str(absolute(path)) for name, path in files.items() if path}
        if self.kafka_ssl_key_password:
            found["ssl.key.password"] = _plain(self.kafka_ssl_key_password)
        return found


def _plain(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""


def _try_files(files: dict[str, str]) -> None:
    """Read the certificates and the key as a client will. Raises ValueError naming the variable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority, certificate = files.get("ssl.ca.location"), files.get("ssl.certificate.location")
    if authority:
        try:
            context.load_verify_locations(authority)
        except (ssl.SSLError, OSError) as error:
            raise ValueError(f"{PREFIX}SSL_CA {authority}: no certificates: {error}") from None
    if certificate:
        key, password = files["ssl.key.location"], files.get("ssl.key.password", "")
        try:
            # A password that is missing must not become a question on the terminal.
            context.load_cert_chain(certificate, key, lambda: password)
        except (ssl.SSLError, OSError) as error:
            raise ValueError(
                f"{PREFIX}SSL_CERTIFICATE {certificate} with {PREFIX}SSL_KEY {key}: the key does "
                f"not open, or is not the certificate's: {error}"
            ) from None
