"""What `YOLO(model).predict(clip, stream=True)` costs in one process, without any broker: CPU ms per frame.

    python tests/bench/ultralytics_predict.py CLIP MODEL

Runs in any interpreter that has ultralytics, on its own: none of this project is imported. The network gets one
thread that doesn't spin, as everywhere in the benchmark; ultralytics by itself would give it all cores.
"""

import json
import sys
import time

import cv2
import onnxruntime
import torch

WARM_UP = 10


class OneThread(onnxruntime.InferenceSession):  # type: ignore[misc]
    """A session whose network runs on the calling thread, whatever options it is given."""

    def __init__(self, model: object, *_: object, **others: object) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        super().__init__(model, options, providers=others.get("providers"))


def main() -> None:
    """Prints {"cpu_ms", "frames", "boxes", "version"}."""
    clip, model = sys.argv[1:]
    onnxruntime.InferenceSession = OneThread
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    import ultralytics

    size = OneThread(model).get_inputs()[0].shape[2]
    options = {"stream": True, "imgsz": size, "conf": 0.25, "iou": 0.6, "device": "cpu", "verbose": False}
    boxes = frames = 0
    began = time.process_time()
    for frames, found in enumerate(ultralytics.YOLO(model, task="detect").predict(clip, **options), 1):
        if frames == WARM_UP:
            began, boxes = time.process_time(), 0
        boxes += len(found.boxes)
    counted = frames - WARM_UP
    cpu_ms = (time.process_time() - began) * 1000 / counted
    print(json.dumps({"cpu_ms": cpu_ms, "frames": counted, "boxes": boxes, "version": ultralytics.__version__}))


if __name__ == "__main__":
    main()
