"""A TCP proxy whose wire can be cut: what goes through it stands still, or ends, while both ends live."""

import select
import socket
import threading
from contextlib import suppress
from typing import Self

_CHUNK = 1 << 16


class Proxy:
    """Passes connections from a port of this machine on to another. `cut` and `mend` from any thread."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.socket()
        self._whole = threading.Event()
        self._whole.set()
        self._closing = False
        self._sockets: list[socket.socket] = []

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._whole.set()
        for one in (self._listener, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def cut(self) -> None:
        """Nothing goes through any more, in either direction; no connection ends, as with an unplugged cable."""
        self._whole.clear()

    def mend(self) -> None:
        """All goes on where it stood."""
        self._whole.set()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                threading.Thread(target=self._pass_on, args=(client, server), name="wire", daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        other = {client: server, server: client}
        with suppress(OSError), client, server:
            while not self._closing:
                for source in select.select([client, server], [], [], 0.1)[0]:
                    self._whole.wait()
                    data = source.recv(_CHUNK)
                    if not data:
                        return
                    other[source].sendall(data)
