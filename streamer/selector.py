"""What Kafka's clients wait with: the platform's selector, cheaper where it is asked for what it doesn't have."""

import selectors
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike


class QuietSelector(selectors.DefaultSelector):
    """kafka-python asks for a socket's key before every wait, which most often isn't there.

    The standard library then writes the socket into the error's text, twice, which takes four system calls: an eighth
    of what a client's thread takes at all.
    """

    def get_key(self, fileobj: "FileDescriptorLike") -> selectors.SelectorKey:
        """Of a registered file object.

        Raises:
            KeyError: it isn't registered.
        """
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        return super().get_key(number if number >= 0 else fileobj)  # one that is closed is known by itself
