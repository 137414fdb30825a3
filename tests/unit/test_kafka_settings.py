"""Who we say we are to Kafka: judged before any data is touched, and never printed."""

from pathlib import Path

import pytest

from lake.settings import SettingsError, load_settings
from tests.certificates import Certificates

SECRET = "correct-horse"
USER = {"TICKLAKE_KAFKA_SASL_USERNAME": "desk", "TICKLAKE_KAFKA_SASL_PASSWORD": SECRET}
PROTOCOL = "TICKLAKE_KAFKA_SECURITY_PROTOCOL"


def test_without_a_word_about_security_a_client_speaks_in_the_open() -> None:
    empty = {"TICKLAKE_KAFKA_SASL_USERNAME": "", "TICKLAKE_KAFKA_SSL_CA": ""}
    for given in ({}, empty):
        assert load_settings(given).kafka_security == {"security.protocol": "PLAINTEXT"}


def test_a_user_and_a_password_reach_the_client_and_no_text() -> None:
    settings = load_settings({PROTOCOL: "SASL_PLAINTEXT", **USER})
    assert settings.kafka_security == {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "desk",
        "sasl.password": SECRET,
    }
    assert SECRET not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({PROTOCOL: "SASL_SSL"}, "SASL_SSL needs TICKLAKE_KAFKA_SASL_USERNAME"),
        (
            {PROTOCOL: "SASL_SSL", "TICKLAKE_KAFKA_SASL_USERNAME": "desk"},
            "needs TICKLAKE_KAFKA_SASL_PASSWORD",
        ),
        (USER, "TICKLAKE_KAFKA_SASL_USERNAME would not be used"),
        ({"TICKLAKE_KAFKA_SSL_CA": "README.md"}, "SSL_CA would not be used"),
        ({PROTOCOL: "SSL", "TICKLAKE_KAFKA_SSL_CA": "no.pem"}, r"SSL_CA: there is no file /.*pem"),
        ({PROTOCOL: "SSL", "TICKLAKE_KAFKA_SSL_CA": "README.md"}, r"README\.md: no certificates"),
        (
            {PROTOCOL: "SSL", "TICKLAKE_KAFKA_SSL_KEY": "README.md"},
            "SSL_CERTIFICATE and TICKLAKE_KAFKA_SSL_KEY go together",
        ),
        ({PROTOCOL: "TLS"}, "PLAINTEXT.*SASL_SSL"),
        ({PROTOCOL: "SASL_SSL", "TICKLAKE_KAFKA_SASL_MECHANISM": "GSSAPI"}, "PLAIN.*SCRAM"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused_by_its_name(given: dict[str, str], why: str) -> None:
    with pytest.raises(SettingsError, match=why) as caught:
        load_settings(given)
    assert SECRET not in str(caught.value)


def test_a_key_opens_with_its_password_only(tmp_path: Path) -> None:
    made = Certificates.made_in(tmp_path / "authority")
    made.sign("desk", SECRET)
    given = {
        PROTOCOL: "SSL",
        "TICKLAKE_KAFKA_SSL_CA": str(made.path("ca.pem")),
        "TICKLAKE_KAFKA_SSL_CERTIFICATE": str(made.path("desk.pem")),
        "TICKLAKE_KAFKA_SSL_KEY": str(made.path("desk.key")),
    }
    name = "TICKLAKE_KAFKA_SSL_KEY_PASSWORD"
    assert load_settings({**given, name: SECRET}).kafka_security == {
        "security.protocol": "SSL",
        "ssl.ca.location": str(made.path("ca.pem")),
        "ssl.certificate.location": str(made.path("desk.pem")),
        "ssl.key.location": str(made.path("desk.key")),
        "ssl.key.password": SECRET,
    }
    for password in ({}, {name: "wrong-horse"}):
        with pytest.raises(SettingsError, match="the key does not open"):
            load_settings({**given, **password})


def test_a_key_that_is_another_certificates_is_refused(tmp_path: Path) -> None:
    made = Certificates.made_in(tmp_path / "authority")
    made.sign("desk")
    made.sign("other")
    with pytest.raises(SettingsError, match="is not the certificate's"):
        load_settings(
            {
                PROTOCOL: "SSL",
                "TICKLAKE_KAFKA_SSL_CERTIFICATE": str(made.path("desk.pem")),
                "TICKLAKE_KAFKA_SSL_KEY": str(made.path("other.key")),
            }
        )
