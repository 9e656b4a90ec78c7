"""As much of the Protocol Buffers wire format as it takes to look into an ONNX file.

Format: https://protobuf.dev/programming-guides/encoding/. The `onnx` package would be 60 MB more to install, and
parses the weights too.
"""

from collections.abc import Iterator

Value = int | memoryview
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class WireError(ValueError):
    """These bytes are no protobuf message, or not all of one."""


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Number and value of each field: an int, or the bytes of a string, a message or a fixed-width number.

    Raises:
        WireError: the bytes are damaged or cut off.
    """
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise WireError("a field numbered 0")
        if kind == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if kind == _BYTES:
            size, position = _varint(message, position)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise WireError(f"wire type {kind}")
        if position + size > end:
            raise WireError("it ends too early")
        yield number, message[position : position + size]
        position += size


def text(value: Value) -> str:
    """A string field.

    Raises:
        WireError: it is no string.
    """
    try:
        return bytes(message(value)).decode()
    except UnicodeDecodeError:
        raise WireError("a string is not UTF-8") from None


def message(value: Value) -> memoryview:
    """A bytes or message field.

    Raises:
        WireError: it is a number.
    """
    if isinstance(value, int):
        raise WireError("a number instead of a message")
    return value


def integer(value: Value) -> int:
    """An int64 or enum field.

    Raises:
        WireError: it is no number.
    """
    if not isinstance(value, int):
        raise WireError("a message instead of a number")
    return value - (1 << 64) if value >= 1 << 63 else value


def integers(value: Value) -> list[int]:
    """A repeated int64 field, packed (proto3) or one by one."""
    if isinstance(value, int):
        return [integer(value)]
    found, position = [], 0
    while position < len(value):
        number, position = _varint(value, position)
        found.append(integer(number))
    return found


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise WireError("it ends too early" if position >= len(message) else "a number is too long")
        byte = message[position]
        result |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return result, position
        shift += 7
