"""Who may send: `name:token` pairs from the environment, compared in constant time."""

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import SecretStr

VARIABLE = "TICKLAKE_LISTEN_TOKENS"
SHORTEST = 16
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")  # it becomes part of a unit's name
_BEARER = "bearer "


class NoTokens(RuntimeError):
    """The listener cannot tell its clients apart; the message never holds a token."""


@dataclass(frozen=True)
class Tokens:
    """Names and their tokens; a name may have several, so that one can be replaced."""

    pairs: Sequence[tuple[str, bytes]] = field(repr=False)

    def name_of(self, token: str) -> str | None:
        """The client whose token this is. Every token is compared, whatever the first ones say."""
        given = token.encode("utf-8", "replace")
        found = None
        for name, known in self.pairs:
            if hmac.compare_digest(given, known):
                found = name
        return found


def read_tokens(setting: SecretStr | None) -> Tokens:
    """Tokens from the setting, `name:token` with commas between. Raises NoTokens."""
    given = [part.strip() for part in (setting.get_secret_value() if setting else "").split(",")]
    pairs = [part.partition(":") for part in given if part]
    if not pairs:
        raise NoTokens(
            f"{VARIABLE} is empty: nobody could send; set it to name:token, or several with commas"
        )
    for place, (name, _, token) in enumerate(pairs, start=1):
        if not token:  # then what stands there may be a token without its name: do not show it
            raise NoTokens(f"{VARIABLE}: pair {place} is not written name:token")
        if not _NAME.fullmatch(name):
            raise NoTokens(
                f"{VARIABLE}: the name of pair {place} must be 1 to 64 letters, digits, _ . or -"
            )
        if len(token) < SHORTEST:
            raise NoTokens(
                f"{VARIABLE}: the token of {name} is shorter than {SHORTEST} characters; "
                "make one with: openssl rand -hex 24"
            )
    if len({token for _, _, token in pairs}) < len(pairs):
        raise NoTokens(f"{VARIABLE}: two pairs have the same token; give each client its own")
    return Tokens([(name, token.encode()) for name, _, token in pairs])


def bearer(header: str | None) -> str | None:
    """The token of an Authorization header; empty where the header is of another kind."""
    if header is None:
        return None
    return header[len(_BEARER) :].strip() if header.lower().startswith(_BEARER) else ""
