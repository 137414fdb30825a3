"""Who we say we are, against Apache Kafka: passwords, certificates, and what is said when wrong."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts import registry
from ingestion.land import land_topics
from ingestion.produce import Sender
from lake.kafka_client import BrokerRefused, BrokerUnreachable
from lake.layout import layout
from lake.settings import Settings, load_settings
from tests import bronze_rows
from tests.apache_kafka import ApacheKafka, require_kafka
from tests.certificates import Certificates

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
TRADES = registry.get("trades").topic
SECRET, KEY_SECRET = "correct-horse-battery", "staple-of-the-key"
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required"

Make = Callable[..., Settings]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    made = Certificates.made_in(tmp_path_factory.mktemp("tls") / "authority")
    made.sign("broker")
    made.sign("desk", KEY_SECRET)
    return made


@pytest.fixture(scope="module")
def kafka(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[ApacheKafka]:
    """Three ways in: a password in the open, one over TLS, and certificates on both sides."""
    require_kafka()
    more = {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.key_and_certificate("broker")),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.path("ca.pem")),
        "listener.name.mutual.ssl.client.auth": "required",
    }
    for listener in ("password", "secure"):
        place = f"listener.name.{listener}"
        more[f"{place}.plain.sasl.jaas.config"] = f'{PLAIN} user_desk="{SECRET}";'
        more[f"{place}.scram-sha-512.sasl.jaas.config"] = f"{SCRAM};"
    listeners = {"PASSWORD": "SASL_PLAINTEXT", "SECURE": "SASL_SSL", "MUTUAL": "SSL"}
    user = ["--add-scram", f"SCRAM-SHA-512=[name=desk,password={SECRET}]"]
    folder = tmp_path_factory.mktemp("kafka")
    with ApacheKafka(folder, more, listeners, user) as started:
        yield started


@pytest.fixture
def make(tmp_path: Path, kafka: ApacheKafka) -> Make:
    """Settings of a lake that lands through a listener."""

    def of(listener: str, **security: object) -> Settings:
        given = {f"TICKLAKE_KAFKA_{name}": str(value) for name, value in security.items()}
        return load_settings(
            {
                "LAKE_URI": str(tmp_path / "lake"),
                "TICKLAKE_KAFKA_BOOTSTRAP": kafka.address(listener),
                **given,
            }
        )

    return of


def ways(certificates: Certificates) -> dict[str, tuple[str, dict[str, object]]]:
    user = {"SASL_USERNAME": "desk", "SASL_PASSWORD": SECRET}
    authority = {"SSL_CA": certificates.path("ca.pem")}
    ours = {
        "SSL_CERTIFICATE": certificates.path("desk.pem"),
        "SSL_KEY": certificates.path("desk.key"),
        "SSL_KEY_PASSWORD": KEY_SECRET,
    }
    open_, secure = {"SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, {"SECURITY_PROTOCOL": "SASL_SSL"}
    plain, scram = {"SASL_MECHANISM": "PLAIN"}, {"SASL_MECHANISM": "SCRAM-SHA-512"}
    return {
        "plain": ("PASSWORD", {**open_, **plain, **user}),
        "scram": ("PASSWORD", {**open_, **scram, **user}),
        "plain over tls": ("SECURE", {**secure, **plain, **user, **authority}),
        "scram over tls": ("SECURE", {**secure, **scram, **user, **authority}),
        "certificates": ("MUTUAL", {"SECURITY_PROTOCOL": "SSL", **authority, **ours}),
    }


@pytest.mark.parametrize(
    "way", ["plain", "scram", "plain over tls", "scram over tls", "certificates"]
)
def test_what_is_sent_through_a_guarded_door_lands_through_it(
    way: str, make: Make, certificates: Certificates
) -> None:
    listener, security = ways(certificates)[way]
    settings = make(listener, **security)
    value = (
        f'{{"tradeId":"{way}","instrumentId":"I","price":1,"quantity":1,'
        '"timestamp":"2025-10-02T12:00:00Z","buySellIndicator":"B"}'
    ).encode()
    with Sender(settings) as sender:
        sender.send(TRADES, [b"k"], [value], [1_759_406_400_000])
    (landing,) = land_topics(settings, ("trades",))
    rows = bronze_rows.rows(layout(settings).bronze("trades"))
    assert landing.ok == len(rows)
    assert [row["trade_id"] for row in rows if row["trade_id"] == way] == [way]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_is_told_within_seconds_and_never_printed(
    mechanism: str, make: Make, kafka: ApacheKafka, tmp_path: Path
) -> None:
    wrong = {
        "SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "SASL_MECHANISM": mechanism,
        "SASL_USERNAME": "desk",
        "SASL_PASSWORD": "not-the-password",
    }
    settings = make("PASSWORD", **wrong)
    began = time.monotonic()
    with pytest.raises(BrokerRefused, match=r"does not let us in: .*uthentication") as caught:
        land_topics(settings, ("trades",))
    assert time.monotonic() - began < 10
    assert "not-the-password" not in str(caught.value) + repr(settings)
    with pytest.raises(BrokerRefused, match="does not let us in"), Sender(settings):
        pass
    for follow in ([], ["--follow"]):
        said = subprocess.run(
            [str(Path(sys.executable).with_name("ticklake")), "ingest", "-d", "trades", *follow],
            env={
                **os.environ,
                "LAKE_URI": str(tmp_path / "lake"),
                "TICKLAKE_KAFKA_BOOTSTRAP": kafka.address("PASSWORD"),
                **{f"TICKLAKE_KAFKA_{name}": value for name, value in wrong.items()},
            },
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert said.returncode == 1
        assert "does not let us in" in said.stderr
        assert "Traceback" not in said.stderr
        assert "not-the-password" not in said.stdout + said.stderr


def test_a_broker_that_our_authority_has_not_signed_is_refused(
    make: Make, tmp_path: Path, certificates: Certificates
) -> None:
    stranger = Certificates.made_in(tmp_path / "stranger")
    listener, security = ways(certificates)["certificates"]
    settings = make(listener, **{**security, "SSL_CA": stranger.path("ca.pem")})
    with pytest.raises(BrokerRefused, match="certificate verify failed"):
        land_topics(settings, ("trades",))


def test_a_door_that_wants_a_password_and_gets_none_names_the_protocol(make: Make) -> None:
    settings = make("PASSWORD", TIMEOUT=3)
    with pytest.raises(BrokerUnreachable, match="wants another TICKLAKE_KAFKA_SECURITY_PROTOCOL"):
        land_topics(settings, ("trades",))
