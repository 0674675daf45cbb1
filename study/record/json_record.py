"""Records that go through files and between processes as one line of JSON."""

from typing import Any, Self, TypeVar, cast, dataclass_transform

import pydantic.dataclasses
from pydantic import ConfigDict, TypeAdapter

KEPT_EXACTLY = ConfigDict(ser_json_inf_nan="constants")
"""NaN and infinity are kept, as in Python's own JSON."""

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def json_record(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass whose fields are checked when it is made or read."""
    made: Any = pydantic.dataclasses.dataclass(frozen=True, config=KEPT_EXACTLY)(cls)
    return cast(type[T], made)


class JsonRecord:
    """Base of classes that are decorated with `json_record`."""

    def to_json(self) -> str:
        """Write the record as one line of JSON."""
        return adapter(type(self)).dump_json(self).decode()

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read a line that `to_json` wrote.

        Raises:
            ValidationError: the line is no such record.
        """
        return cast(Self, adapter(cls).validate_json(line))


ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def adapter(cls: type) -> TypeAdapter[Any]:
    """Get the writer and reader of a class's records, made once per class."""
    if cls not in ADAPTERS:
        ADAPTERS[cls] = TypeAdapter(cls)
    return ADAPTERS[cls]
