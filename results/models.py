"""What the JSON files of a sweep directory must hold, as far as readers rely on it."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator


class _Strict(BaseModel):
    """Nothing is converted; keys of which readers know nothing are kept."""

    model_config = ConfigDict(strict=True, extra="allow")


class _Spec(_Strict):
    budget: dict[str, Any] | None = None
    resources: dict[str, Any] | None = None
    checkpoint: dict[str, Any] | None = None
    scheduler: dict[str, Any] | None = None


class Manifest(_Strict):
    """SWEEP.json."""

    id: str
    metrics: dict[str, Literal["min", "max"]] = Field(min_length=1)
    columns: dict[str, Literal["float64", "int64", "bool", "string", "json"]] = {}
    spec: _Spec = _Spec()
    name: str | None = None
    folder: str | None = None
    created: float | None = None


class _Metric(_Strict):
    name: str
    column: str
    type: Literal["float64", "string"]
    first_lsn: int


class Schema(_Strict):
    """schema.json."""

    metrics: list[_Metric]

    @model_validator(mode="after")
    def _each_once(self) -> Schema:
        for given in ([m.name for m in self.metrics], [m.column for m in self.metrics]):
            if len(set(given)) != len(given):
                raise ValueError("a metric or a column stands there twice")
        return self


def check(model: type[BaseModel], body: dict[str, Any]) -> None:
    """Make sure that `body` is what `model` says.

    Raises:
        ValueError: it is not; says where.
    """
    try:
        model.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where or 'it'}: {first['msg']}") from None


def hash_of(spec: Any) -> str:
    """The SHA-256 of a spec as SWEEP.json keeps it, by which `spec_hash` is compared."""
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
