"""Mistakes in a model's file and in the settings about it that show before anything is opened.

To open an engine may take minutes; to read a file takes a moment. What only an engine can tell, opening it tells.
"""

from engines.detector import check_classes
from engines.engine import check_engine
from engines.heads.registry import check_head
from engines.model import class_names, input_spec
from engines.onnx_file import read_onnx
from streamer.errors import ModelError
from streamer.models import model_path
from streamer.settings import DetectSettings


def check_model(settings: DetectSettings) -> None:
    """Reads the file of the settings, and looks for the engine, the head and the classes that they name.

    Raises:
        ModelError: the file is missing, damaged, or no detector's; or there is no such head.
        UsageError: there is no such engine, or the file names no such class.
    """
    file = read_onnx(model_path(settings.model))
    check_engine(settings.engine)
    input_spec(file, settings.batch)
    try:
        check_head(settings.head)
    except ValueError as error:
        raise ModelError(f"{file.path}: {error}") from None
    names = class_names(file)
    if names:  # else its outputs say how many there are, and those are not known yet
        check_classes(settings, file.path, names)
