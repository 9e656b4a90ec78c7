"""A report as a page for people."""

from collections.abc import Mapping
from typing import Any

_COLUMNS = ("both", "only_baseline", "only_candidate", "agreement", "mean_iou", "mean_score_change")


def markdown(report: Mapping[str, Any], names: tuple[str, str]) -> str:
    """The page. report: what report.json holds. names: of baseline and candidate."""
    baseline, candidate = names
    parts = [
        [f"# {report['stream']}: {candidate} against {baseline}"],
        [_span(report["frames"])],
        [_side("baseline", baseline, report["baseline"]), _side("candidate", candidate, report["candidate"])],
        _table(report, baseline, candidate),
        _renamed(report["renamed"]),
        _list("Not compared", report["frames"]["left_out"]),
        [f"- {note}" for note in report["notes"]],
        _pictures(report["worst"], baseline, candidate),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _span(frames: Mapping[str, Any]) -> str:
    first, last = frames["first"], frames["last"]
    sizes = ", ".join(frames["transport"])
    still = f"; {frames['unchanged']} of them looked like the one before in service" if frames["unchanged"] else ""
    return (
        f"{frames['compared']} of {frames['retained']} frames compared, {frames['differing']} differ; captured "
        f"{first['captured']} ({first['id']}) .. {last['captured']} ({last['id']}), sent as {sizes}{still}."
    )


def _side(role: str, name: str, side: Mapping[str, Any]) -> str:
    short = [(each["model"], each["sha256"][:12]) for each in side["models"]]
    of_service = ", ".join(f"{model} ({sha256})" for model, sha256 in short)
    who = f"{name}, {of_service}" if side["kind"] == "service" else f"{name} ({short[0][1]})"
    cost = ""
    if side["cpu_ms_per_frame"] is not None:
        cost = f"; CPU per frame {side['cpu_ms_per_frame']:.2f} ms"
    elif side.get("latency_ms"):
        cost = "; by the clock, per frame: " + ", ".join(f"{k} {v:.2f} ms" for k, v in side["latency_ms"].items())
    return f"- {role}: {who}{cost}"


def _table(report: Mapping[str, Any], baseline: str, candidate: str) -> list[str]:
    head = ("", "both", f"only {baseline}", f"only {candidate}", "agreement", "mean IoU", "score change")
    rows = [*report["per_class"].items(), ("all", report["objects"])]
    lines = [f"| {' | '.join(head)} |", "|---" + "|--:" * len(_COLUMNS) + "|"]
    return lines + [f"| {name} | {' | '.join(_cell(figures[key]) for key in _COLUMNS)} |" for name, figures in rows]


def _cell(value: float | None) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"


def _renamed(pairs: list[Mapping[str, Any]]) -> list[str]:
    counts = {f"{pair['baseline']} → {pair['candidate']}": pair["objects"] for pair in pairs}
    return _list("The same box under another name", counts)


def _list(title: str, counts: Mapping[str, int]) -> list[str]:
    return [f"{title}: " + ", ".join(f"{name} {count}" for name, count in counts.items()) + "."] if counts else []


def _pictures(worst: list[Mapping[str, Any]], baseline: str, candidate: str) -> list[str]:
    if not worst:
        return []
    lines = [f"The worst disagreements; blue: {baseline}, orange: {candidate}, thin: both.", ""]
    return lines + [f"![{each['id']}]({each['picture']})" for each in worst]
