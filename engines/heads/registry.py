"""Which head reads a network's outputs."""

from dataclasses import dataclass
from importlib.metadata import entry_points

from engines.heads.head import Head, Sample

GROUP = "streamer.heads"
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Choice:
    """A head, and why it is this one."""

    head: Head
    reason: str


def choose(sample: Sample, name: str = AUTO) -> Choice:
    """The head that is named, by the setting or in the file; else the only one that recognises the outputs.

    Raises:
        ValueError: there is no such head, it doesn't fit, or none or several recognise the outputs.
    """
    heads: dict[str, type[Head]] = {entry.name: entry.load() for entry in entry_points(group=GROUP)}
    named, reason = (
        (name, "the settings say so") if name != AUTO else (sample.metadata.get("head", ""), "its file says so")
    )
    if named:
        check_head(named)
        return Choice(_bind(heads[named], sample), reason)
    reasons = {found: why for found, head in heads.items() if (why := head.recognise(sample))}
    if not reasons:
        raise ValueError(f"no head knows the layout of its outputs {_shapes(sample)}; {_hint(sample)} ({_known()})")
    if len(reasons) > 1:
        raise ValueError(
            f"its outputs {_shapes(sample)} may be for {' or '.join(sorted(reasons))}; say which by --head"
        )
    [(found, why)] = reasons.items()
    return Choice(_bind(heads[found], sample), why)


def check_head(name: str) -> None:
    """Whether there is a head of that name, or it is to be found out.

    Raises:
        ValueError: there is none.
    """
    if name != AUTO and not entry_points(group=GROUP, name=name):
        raise ValueError(f"no head is called {name!r}; installed are: {_known()}")


def _known() -> str:
    return ", ".join(sorted(entry.name for entry in entry_points(group=GROUP)))


def _bind(head: type[Head], sample: Sample) -> Head:
    try:
        return head.bind(sample)
    except ValueError as error:
        raise ValueError(f"head {head.name} can't read outputs {_shapes(sample)}: {error}") from None


def _shapes(sample: Sample) -> str:
    return ", ".join("x".join(map(str, shape)) for shape in sample.shapes)


def _hint(sample: Sample) -> str:
    task = sample.metadata.get("task", "detect")
    if task == "classify" or all(len(shape) == 2 for shape in sample.shapes):
        return "it looks like a classifier, and a detector is needed"
    if task != "detect":
        return f"it is made to {task}, and a detector is needed; or say --head"
    if any(len(shape) == 5 for shape in sample.shapes):
        return "export it with its grid (YOLOv7: export.py --grid), or say --head"
    return "if one of these reads it, say --head"
