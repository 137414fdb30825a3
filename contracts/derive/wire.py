"""Contract -> strict JSON decoder (msgspec)."""

from functools import cache
from typing import Annotated, Any

import msgspec

from contracts.base import Contract

INT64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

# Numbers stay raw bytes here: turning them into decimals is done for a whole column at once,
# which costs a third of building a Decimal object per value and never passes through a float.
_PYTHON_TYPE: dict[str, Any] = {
    "text": str | None,
    "texts": list[str] | None,
    "decimal": msgspec.Raw,
    "integer": INT64 | None,
    "boolean": bool | None,
    "time": str | INT64 | None,
}

NULL = msgspec.Raw(b"null")


@cache
def decoder(dataset: str) -> msgspec.json.Decoder[Any]:
    """Decoder of one record into a struct whose attributes carry the canonical names.

    Unknown fields are refused: a field nobody declared would otherwise be dropped unseen.
    """
    from contracts import registry

    contract = registry.get(dataset)
    return msgspec.json.Decoder(struct(contract))


def struct(contract: Contract) -> type[msgspec.Struct]:
    """The msgspec struct of a contract: required fields first, as msgspec wants them."""
    required = [c for c in contract.columns if c.required]
    optional = [c for c in contract.columns if not c.required]
    fields: list[Any] = [(c.name, _PYTHON_TYPE[c.kind]) for c in required]
    fields += [
        (c.name, _PYTHON_TYPE[c.kind], NULL if c.kind == "decimal" else None) for c in optional
    ]
    return msgspec.defstruct(
        contract.model.__name__,
        fields,
        rename={column.name: column.wire for column in contract.columns},
        forbid_unknown_fields=True,
        gc=False,
    )
