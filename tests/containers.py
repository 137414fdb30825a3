"""docker-compose.yml and the Dockerfile, read as a person reads them. Needs no Docker."""

import re
import shlex
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

REPO = Path(__file__).resolve().parents[1]
TEXT = (REPO / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
AIRFLOW = {name: service for name, service in OURS.items() if name.startswith("airflow-")}
DOCKERFILE = (REPO / "infra/docker/Dockerfile").read_text(encoding="utf-8")
README = (REPO / "infra/README.md").read_text(encoding="utf-8")
FINAL = DOCKERFILE.rsplit("\nFROM ", 1)[1]
HOME = "/opt/ticklake"
"""Where the project lies in the image."""


def plain(value: str) -> str:
    """A value of the compose file with `${NAME:-default}` replaced by the default."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def published() -> dict[str, tuple[str, int, int]]:
    """Service -> address, port outside, port inside, of the one port it publishes."""
    found = {}
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            assert name not in found
            host, outside, inside = plain(port).split(":")
            found[name] = (host, int(outside), int(inside))
    return found


def image_variables() -> dict[str, str]:
    """What ENV sets in the last stage."""
    found: dict[str, str] = {}
    for block in re.findall(r"^ENV ((?:.*\\\n)*.*)$", FINAL, re.MULTILINE):
        found |= dict(word.split("=", 1) for word in shlex.split(block.replace("\\\n", " ")))
    return found


def told(service: str) -> dict[str, str]:
    """The environment of a service of ours: the image's, then the compose file's."""
    given = OURS[service]["environment"]
    return image_variables() | {n: plain(v) for n, v in given.items() if v is not None}


def handed_on(service: str) -> set[str]:
    """What a service is told only where whoever starts it has set it."""
    return {
        name for name, value in SERVICES[service].get("environment", {}).items() if value is None
    }


def copied() -> list[str]:
    """What COPY takes from the project, in any stage."""
    sources: list[str] = []
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        sources += line.split()[:-1]
    return sources


@cache
def airflow_settings() -> frozenset[str]:
    """Every variable that Airflow itself describes."""
    package = find_spec("airflow")  # not imported: that would write into the home folder
    assert package is not None
    assert package.submodule_search_locations is not None
    described = Path(package.submodule_search_locations[0]) / "config_templates" / "config.yml"
    sections = yaml.safe_load(described.read_text(encoding="utf-8"))
    return frozenset(
        f"AIRFLOW__{section}__{option}".upper()
        for section, facts in sections.items()
        for option in facts["options"]
    )
