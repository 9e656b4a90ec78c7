"""Around a network: arrays of this machine go in and come out."""

from typing import Any

from engines.tensorrt.slots import Slot


class HostArrays:
    """Pinned memory for the largest batch. See slots.Around.

    input: (most, 3, height, width). outputs: (most, ...) each, in the order of the network's.
    """

    def __init__(self, slot: "Slot[HostArrays]") -> None:
        network, pinned = slot.network, slot.device.pinned
        self._slot = slot
        self.input = pinned(network.input.whole(network.most), network.input.dtype)
        self.outputs = [pinned(tensor.whole(network.most), tensor.dtype) for tensor in network.outputs]

    def before(self, pictures: int, stream: Any) -> None:
        """See Around."""
        self._slot.device.copy_in(self._slot.input, self.input[:pictures], stream)

    def behind(self, pictures: int, stream: Any) -> None:
        """See Around."""
        for array, address in zip(self.outputs, self._slot.outputs, strict=True):
            self._slot.device.copy_out(array[:pictures], address, stream)

    def close(self) -> None:
        """See Around. The arrays stay as long as somebody holds them."""
        del self.input, self.outputs
