"""Captures what leaves one network namespace, for as long as that is there.

It has two rings: one for what `telltale` lets through, and, where the kernel takes the program that knows them, one for
the hellos that are split over several segments.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from airgap_check.kernel import netns, packet, socket_filter, telltale, unfinished_hello
from airgap_check.observers.observer import UnobservableError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from airgap_check.kernel.netns import Namespace
    from airgap_check.kernel.packet import Frame

# Of which ring a packet is: of the only one, of that with the split hellos, or of the other beside it.
Source: TypeAlias = Literal["all", "hello", "rest"]
_HELLOS = 1 << 20  # bytes of the ring for split hellos


class HelloProgram:
    """The program that knows split hellos, for any number of lookouts; ``missing`` says why there is none."""

    def __init__(self) -> None:
        self.missing = ""
        self._descriptor = -1
        try:
            self._descriptor = unfinished_hello.load()
        except OSError as error:
            self.missing = (
                "needs CAP_BPF" if error.errno == errno.EPERM else f"no eBPF: {os.strerror(error.errno or 0)}"
            )

    def open(self, namespace: Namespace) -> packet.Ring | None:
        """Open a ring for split hellos; None where there can be none."""
        if self._descriptor < 0:
            return None
        try:
            return _ring(namespace, partial(socket_filter.attach_loaded, program=self._descriptor), _HELLOS)
        except OSError as error:
            self.missing = os.strerror(error.errno or 0)
            return None

    def close(self) -> None:
        """Let go of the program; rings that use it keep it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Lookout:
    """A network namespace under observation."""

    def __init__(self, namespace: Namespace, size: int, program: HelloProgram) -> None:
        """Start to capture, with a ring of so many bytes; raises UnobservableError."""
        self.namespace = namespace
        try:
            self._ring = _ring(namespace, partial(socket_filter.attach, code=telltale.program()), size)
        except OSError as error:
            raise UnobservableError(_refused(namespace, error)) from error
        self._hellos = program.open(namespace)

    def filenos(self) -> Iterator[int]:
        """Iterate over the descriptors that become readable."""
        return (ring.fileno() for ring in self._rings())

    def blocks(self) -> Iterator[tuple[Source, list[Frame]]]:
        """Take what waits, at most one turn of each ring, and say from which it comes."""
        for frames in self._ring.blocks():
            yield "rest" if self._hellos else "all", frames
        if self._hellos:
            for frames in self._hellos.blocks():
                yield "hello", frames

    def statistics(self) -> packet.Statistics:
        """Return what the kernel took and lost for us."""
        return packet.total(ring.statistics() for ring in self._rings())

    def has_gone(self) -> bool:
        """Tell whether nothing but our own sockets keeps the namespace alive."""
        try:
            netns.inside(self.namespace, lambda: None)
        except OSError as error:
            return isinstance(error, FileNotFoundError | ProcessLookupError)
        return False

    def close(self) -> None:
        """Stop capturing."""
        for ring in self._rings():
            ring.close()

    def _rings(self) -> Iterator[packet.Ring]:
        yield self._ring
        if self._hellos:
            yield self._hellos


def _ring(namespace: Namespace, attach: Callable[[socket.socket], None], size: int) -> packet.Ring:
    return netns.inside(namespace, lambda: packet.Ring(attach, size))


def _refused(namespace: Namespace, error: OSError) -> str:
    """Say in one line why packets cannot be captured, and what would change that."""
    with suppress(OSError):
        if namespace.inode != netns.own_inode():
            return f"could not capture packets in net:[{namespace.inode}]: {os.strerror(error.errno or 0)}"
    if isinstance(error, PermissionError):
        return "packets cannot be captured: that needs CAP_NET_RAW (run as root, or give that capability)"
    if error.errno == errno.EAFNOSUPPORT:
        return "packets cannot be captured: this kernel has no packet sockets (CONFIG_PACKET)"
    return f"packets cannot be captured: {os.strerror(error.errno or 0)}"
