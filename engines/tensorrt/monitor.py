"""TensorRT's own account of a build, told to whoever looks."""

from typing import Any

from engines.progress import Progress


def monitor(trt: Any, progress: Progress) -> Any:
    """The `IProgressMonitor` that tells `progress`."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Its calls must not raise, so all that they do is counting."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.phase_start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return progress.step_complete(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            progress.phase_finish(phase_name)

    return Monitor()
