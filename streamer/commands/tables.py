"""Tables for the screen. The one module that draws."""

import time
from collections.abc import Mapping

from rich.table import Table

from streamer.commands.lines import objects_text, printable
from streamer.commands.tally import Tallies, Tally


def summary_table(tallies: Tallies) -> Table:
    """What a finished run came to."""
    table = _table("stream", "frames", "results", "skipped", "results/s", "objects", "end")
    for name, tally in tallies.of.items():
        rate = f"{tally.mean_rate:.1f}"
        table.add_row(*_counts(name, tally), rate, objects_text(tally.objects), _end(tally))
    return table


def live_table(tallies: Tallies) -> Table:
    """What goes on now."""
    now = time.monotonic()
    table = _table("stream", "frames in", "done", "skipped", "done/s", "age", "objects", "state")
    for name, tally in tallies.of.items():
        age = "" if tally.age_ms is None or tally.ended else f"{tally.age_ms:.0f} ms"
        rate = f"{tally.present_rate(now):.1f}"
        table.add_row(*_counts(name, tally), rate, age, objects_text(tally.objects), _state(tally, now))
    return table


def live_lines(tallies: Tallies) -> list[str]:
    """The same where no table can be redrawn."""
    now = time.monotonic()
    return [
        f"{name}: {tally.frames} in, {tally.results} done, {_skipped(tally.skipped) or 'none skipped'}, "
        f"{tally.present_rate(now):.1f}/s, age {tally.age_ms or 0:.0f} ms, {objects_text(tally.objects)}, "
        f"{_state(tally, now)}"
        for name, tally in tallies.of.items()
    ]


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in _NUMBERS else "left", overflow="fold")
    return table


_NUMBERS = {"frames", "frames in", "results", "done", "results/s", "done/s", "age"}


def _counts(name: str, tally: Tally) -> tuple[str, str, str, str]:
    more = "+" if tally.unknown else ""
    return name, f"{tally.frames}{more}", str(tally.results), _skipped(tally.skipped) or "-"


def _skipped(skipped: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))


def _end(tally: Tally) -> str:
    if tally.error:
        return f"failed: {printable(tally.error)}"
    return "complete" if tally.ended else "not finished"


def _state(tally: Tally, now: float) -> str:
    if tally.ended:
        return f"failed: {printable(tally.error)}" if tally.error else "ended"
    if not tally.first_at:
        return "waiting for the first frame"
    silent = now - tally.last_at
    return f"silent for {silent:.0f} s" if silent > 3 else "running"
