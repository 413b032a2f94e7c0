"""The worker's end of the ring: a file-like object that encoders write to, and the free slots it takes.

Owns the hash of everything that went through, and the rule that a slot is used again only when it was sent and hashed. Must
never hold result bytes of its own.
"""

from __future__ import annotations

import hashlib
import queue
import socket
import threading

from datalab.flow.ring import CHUNK, CHUNK_SENT, SLOT_BYTES, SLOTS, frame


class Cancelled(Exception):
    """The gateway wants this plan ended."""


class FreeSlots:
    """The ring's free slots. A slot is free again when the gateway has sent it and its bytes are hashed."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._owed = [0] * SLOTS
        self._lock = threading.Lock()
        for slot in range(SLOTS):
            self._free.put(slot)

    def give(self, slot: int) -> None:
        with self._lock:
            self._owed[slot] -= 1
            free = self._owed[slot] == 0
        if free:
            self._free.put(slot)

    def cancel(self) -> None:
        self._free.put(-1)

    def take(self) -> int:
        """The next free slot; waits for one. Raises Cancelled."""
        slot = self._free.get()
        if slot < 0:
            raise Cancelled
        self._owed[slot] = 2
        return slot


class RingSink:
    """Bytes go into the current slot, full slots go to the gateway.

    A long stream is hashed by a second thread, slot by slot, while the next slot fills: hashing costs a third of what
    producing a stream costs. A short answer is hashed where it is. `close` is a no-op, since encoders close what they
    wrote to.
    """

    def __init__(self, memory: memoryview, control: socket.socket, slots: FreeSlots) -> None:
        self._memory = memory
        self._control = control
        self._slots = slots
        self._slot: int | None = None
        self._used = 0
        self._sha256 = hashlib.sha256()
        self._full: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.bytes_written = 0
        self.closed = False

    def write(self, data: bytes | memoryview) -> int:
        source = memoryview(data).cast("B")
        size = len(source)
        offset = 0
        while offset < size:
            if self._slot is None:
                self._slot = self._slots.take()
                self._used = 0
            start = self._slot * SLOT_BYTES + self._used
            count = min(size - offset, SLOT_BYTES - self._used)
            self._memory[start : start + count] = source[offset : offset + count]
            self._used += count
            offset += count
            if self._used == SLOT_BYTES:
                self.flush()
        self.bytes_written += size
        return size

    def flush(self) -> None:
        """Hand the current slot to the gateway, if it holds anything."""
        if self._slot is None or self._used == 0:
            return
        slot, self._slot = self._slot, None
        self._control.sendall(frame(CHUNK_SENT, CHUNK.pack(slot, self._used)))
        if self._thread is None and self._used == SLOT_BYTES:
            self._thread = threading.Thread(target=self._hash_slots, daemon=True)
            self._thread.start()
        if self._thread is None:
            self._hash(slot, self._used)
        else:
            self._full.put((slot, self._used))

    def digest(self) -> str:
        """The SHA-256 of everything that was handed on, in hexadecimal; nothing may be written afterwards."""
        self.stop()
        return self._sha256.hexdigest()

    def stop(self) -> None:
        """End the hashing thread, once it has hashed what waits."""
        if self._thread is not None:
            self._full.put(None)
            self._thread.join()

    def _hash_slots(self) -> None:
        while (item := self._full.get()) is not None:
            self._hash(*item)

    def _hash(self, slot: int, used: int) -> None:
        start = slot * SLOT_BYTES
        self._sha256.update(self._memory[start : start + used])
        self._slots.give(slot)

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        return self.bytes_written

    def close(self) -> None:
        """Encoders close their sink; the ring stays open for the next plan."""
