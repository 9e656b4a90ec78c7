"""Models by name. Packages bring them as entry points of the group `streamer.models`: name -> path of an ONNX file."""

from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamer.settings import Settings

GROUP = "streamer.models"


def model_path(name: str) -> Path:
    """The file that is meant: a model that a package brings, by its name, else the file of that path.

    A file that has the name of a model is meant by `./name`.
    """
    for entry in entry_points(group=GROUP, name=name):
        path: Path = entry.load()
        return path
    return Path(name)


def model_names() -> list[str]:
    """Of the models that packages bring."""
    return sorted(entry.name for entry in entry_points(group=GROUP))


def check_model(settings: "Settings") -> None:
    """Asks the command that runs workers about the model of the settings, and how it is to be read; opens nothing.

    Raises:
        UsageError: a worker would refuse it.
    """
    for command in entry_points(group="streamer.commands", name="detect"):
        command.load().check(settings)
