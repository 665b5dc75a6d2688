"""Changing values that are never changed in place."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, TypeVar

Value = TypeVar("Value")
Accessor = tuple[str, Callable[[Any], Any], Callable[[Any, Any], None]]


def replace(value: Value, **changes: Any) -> Value:
    """`dataclasses.replace` for dataclasses with slots, in well under half its time: six of them are made for every frame."""
    kind: Any = type(value)
    accessors, names = _fields(kind)
    if not changes.keys() <= names:
        raise TypeError(f"{kind.__name__} has no {', '.join(changes.keys() - names)}")
    made: Value = kind.__new__(kind)
    for name, read, write in accessors:
        write(made, changes[name] if name in changes else read(value))
    return made


@functools.cache
def _fields(kind: Any) -> tuple[tuple[Accessor, ...], frozenset[str]]:
    slots = [(field.name, kind.__dict__[field.name]) for field in dataclasses.fields(kind)]
    return tuple((name, slot.__get__, slot.__set__) for name, slot in slots), frozenset(name for name, _ in slots)
