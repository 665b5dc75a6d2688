"""Changing values that are never changed in place."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, TypeVar

Value = TypeVar("Value")


def replace(value: Value, **changes: Any) -> Value:
    """`dataclasses.replace` for dataclasses with slots, in an eighth of its time: six of them are made for every frame.

    Raises TypeError for a name that is none.
    """
    kind: Any = type(value)
    made: Value = _maker(kind)(value, **changes)
    return made


@functools.cache
def _maker(kind: Any) -> Callable[..., Any]:
    # one function for each class, a line for each field, written as `dataclasses` writes its own
    names = [field.name for field in dataclasses.fields(kind)]
    scope: dict[str, Any] = {"_new": kind.__new__, "_kind": kind, "_same": object()}
    scope |= {f"_write_{name}": kind.__dict__[name].__set__ for name in names}
    parameters = ", ".join(f"{name}=_same" for name in names)
    lines = [f"def {kind.__name__}(_value, /, *, {parameters}):", " _made = _new(_kind)"]
    lines += [f" _write_{name}(_made, _value.{name} if {name} is _same else {name})" for name in names]
    exec("\n".join([*lines, " return _made"]), scope)  # noqa: S102 - of field names
    maker: Callable[..., Any] = scope[kind.__name__]
    return maker
