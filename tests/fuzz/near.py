"""Strategies of Hypothesis for what is nearly right: samples with a few damages, so that readers get deep into them."""

import copy
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

NUMBERS = (0, -1, 1, 255, 65_536, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400)
FLOATS = (0.0, -0.0, 0.5, 1e-320, 1e38, 1e308, -1e308, float("inf"), float("-inf"), float("nan"))
TEXTS = ("", "0", "-1", "a}b", "a\nb", "\0", "\x1b[2J", "\ud800", "é" * 300, "x" * 70_000, "none", "[", "1e999", "٣")
DEEP: Any = []
for _ in range(300):
    DEEP = [DEEP]
CONTAINERS: tuple[Any, ...] = ([], {}, [[]], [None], {"": None}, [0] * 3000, DEEP)
ODD = (None, True, False, *NUMBERS, *FLOATS, *TEXTS, *CONTAINERS)

odd_values = st.sampled_from(ODD).map(copy.deepcopy)
_pieces = st.binary(max_size=12) | st.sampled_from([b"\0" * 40, b"\xff" * 40, b"\n", b"9" * 5000, b"[" * 2000])


@st.composite
def bytes_near(draw: st.DrawFn, samples: Sequence[bytes]) -> bytes:
    """A sample with some bytes changed, taken out, put in or repeated; or cut off; now and then any bytes."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=200))
    data = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 16)))
        match draw(st.integers(0, 4)):
            case 0:
                data[start:end] = draw(_pieces)
            case 1:
                del data[start:end]
            case 2:
                data[start:start] = draw(_pieces)
            case 3:
                data[start:start] = data[start:end] * draw(st.integers(1, 50))
            case 4:
                del data[start:]
    return bytes(data)


@st.composite
def values_near(draw: st.DrawFn, samples: Sequence[Any]) -> Any:
    """A value of JSON's kinds with some of its parts, at any depth, replaced, removed, renamed or repeated."""
    value = copy.deepcopy(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 3))):
        value = _damaged(draw, value)
    return value


def _damaged(draw: st.DrawFn, value: Any) -> Any:
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 5)) == 0:
        return draw(odd_values)
    place = draw(st.sampled_from(list(value) if isinstance(value, dict) else range(len(value))))
    match draw(st.integers(0, 9)):
        case 0:
            del value[place]
        case 1 if isinstance(value, dict):
            value[draw(st.sampled_from(TEXTS))] = value[place]
        case 1:
            value[place:place] = [copy.deepcopy(value[place])] * draw(st.sampled_from([1, 3, 200]))
        case _:
            value[place] = _damaged(draw, value[place])
    return value


def json_near(samples: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """JSON whose values are wrong, and what is no JSON any more."""
    values = values_near([json.loads(sample) for sample in samples])
    return values.map(lambda value: json.dumps(value).encode()) | bytes_near(samples)


def text_near(samples: Sequence[str]) -> st.SearchStrategy[str]:
    """Text, some of which can't be UTF-8."""
    return bytes_near([sample.encode() for sample in samples]).map(lambda data: data.decode(errors="surrogateescape"))
