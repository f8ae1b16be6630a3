"""The recurrence on the device: one launch forward and one back, each for all steps."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from refrnn.errors import DeviceError
from refrnn.types import Array

from .arguments import BACKWARD, FORWARD, arguments
from .arrays import DeviceArray, empty
from .context import DeviceContext, device_error, driver
from .modules import load_module
from .planner import Choice

__all__ = ["DeviceSchedule", "Recurrence", "upload", "wait"]

_TAGS = 2**32
_NOBODY_CAME = 1  # kNobodyCame of kernels/exchange.cuh


def upload(context: DeviceContext, array: Array, stream: Any) -> DeviceArray:
    """A copy of a host array on the device."""
    array = np.ascontiguousarray(array)
    made = empty(context, array.shape, array.dtype)
    if array.size:
        driver().memcpy_htod_async(made.pointer, array, stream)
    return made


def wait(stream: Any) -> None:
    """Wait for the work of a stream; None is the default one."""
    if stream is None:
        driver().Context.synchronize()
    else:
        stream.synchronize()


class DeviceSchedule(NamedTuple):
    """The lanes of a batch, on the device.

    Attributes
    ----------
    offsets, order, first_of_lane, steps : DeviceArray
        As ``Schedule`` of kernels/schedule.cuh has them.
    lanes, lanes_of_team, longest : int
        ``longest``: steps of the longest lane.
    """

    offsets: DeviceArray
    order: DeviceArray
    first_of_lane: DeviceArray
    steps: DeviceArray
    lanes: int
    lanes_of_team: int
    longest: int

    @classmethod
    def of(
        cls, context: DeviceContext, choice: Choice, offsets: Array, stream: Any
    ) -> DeviceSchedule:
        """Lay a planner's choice out on the device."""
        schedule, lanes = choice.schedule, choice.schedule.num_lanes
        real = np.flatnonzero(schedule.lengths)
        order = real[np.lexsort((schedule.start[real], schedule.lane[real]))]
        counts = np.bincount(schedule.lane[real], minlength=lanes)
        loads = np.zeros(choice.teams * choice.lanes_of_team, np.int32)
        loads[:lanes] = schedule.loads
        steps = loads.reshape(choice.teams, choice.lanes_of_team).max(axis=1)
        arrays = (
            offsets.astype(np.int64),
            order.astype(np.int32),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
            steps.astype(np.int32),
        )
        offsets_, order_, first_of_lane, steps_ = (upload(context, one, stream) for one in arrays)
        return cls(
            offsets_, order_, first_of_lane, steps_, lanes, choice.lanes_of_team,
            schedule.num_steps,
        )  # fmt: skip

    def fields(self, direction: int) -> dict[str, int]:
        """What the kernels' argument has."""
        return {
            "offsets": self.offsets.pointer,
            "order": self.order.pointer,
            "first_of_lane": self.first_of_lane.pointer,
            "steps": self.steps.pointer,
            "lanes": self.lanes,
            "lanes_of_team": self.lanes_of_team,
            "direction": direction,
        }


class Recurrence:
    """The kernels of one choice, ready to be launched.

    Parameters
    ----------
    context : DeviceContext
        The current one.
    choice : Choice
    patience : float
        Seconds that a block of a team waits for a value of another.
    """

    def __init__(self, context: DeviceContext, choice: Choice, patience: float) -> None:
        self._context, self._choice = context, choice
        self._patience = int(patience * 1e6)
        self._module = load_module(context, choice.cut.source, choice.cut.defines())

    @property
    def origin(self) -> str:
        """Where the kernels' code comes from."""
        return self._module.origin

    def forward(
        self, schedule: DeviceSchedule, direction: int, hidden_size: int,
        pointers: Mapping[str, int], stream: Any,
    ) -> None:  # fmt: skip
        """Launch ``forward`` of the kernels; `pointers` by the names of its arguments."""
        size = self._choice.cut.forward_bytes(self._choice.lanes_of_team)
        self._launch(
            "forward", FORWARD, size, schedule, direction, hidden_size, pointers, stream
        )  # fmt: skip

    def backward(
        self, schedule: DeviceSchedule, direction: int, hidden_size: int,
        pointers: Mapping[str, int], stream: Any,
    ) -> None:  # fmt: skip
        """Launch ``backward``, whose lanes walk against the direction of forward's."""
        size = self._choice.cut.backward_bytes(self._choice.lanes_of_team)
        self._launch(
            "backward", BACKWARD, size, schedule, -direction, hidden_size, pointers, stream
        )  # fmt: skip

    def _launch(
        self, kernel: str, layout: Any, size: int, schedule: DeviceSchedule, direction: int,
        hidden_size: int, pointers: Mapping[str, int], stream: Any,
    ) -> None:  # fmt: skip
        cuda, choice = driver(), self._choice
        words = f"{kernel} of {choice.variant} {choice.cut.cell.name}, {choice.teams} teams"
        words += f" of {choice.blocks} blocks, {choice.cut.threads} threads"
        function = self._module.function(kernel)

        def launch(meeting: dict[str, int]) -> None:
            packed = arguments(
                layout, schedule=schedule.fields(direction), meeting=meeting,
                hidden_size=hidden_size, **pointers,
            )  # fmt: skip
            function.prepare([f"{len(packed)}s"])
            function.prepared_async_call(
                (choice.teams * choice.blocks, 1), (choice.cut.threads, 1, 1), stream, packed,
                shared_size=size,
            )  # fmt: skip

        try:
            function.set_attribute(cuda.function_attribute.MAX_DYNAMIC_SHARED_SIZE_BYTES, size)
            if choice.cut.exchange != "Tagged":
                launch({})
                wait(stream)  # so that a fault is told as one of this launch
                return
            slots = choice.cut.slot_bytes(choice.teams, schedule.lanes_of_team)
            with _ONE_MEETING:
                meeting: _Meeting = self._context.cached("meeting", _Meeting)
                fields = meeting.begin(self._context, slots, schedule.longest, stream)
                launch({**fields, "patience": self._patience, "blocks": choice.blocks})
                word = meeting.end(stream)
        except cuda.Error as error:
            raise device_error(error, words) from error
        if word == _NOBODY_CAME:
            raise DeviceError(
                f"{words}: a block has waited {self._patience / 1e6:g} s for a value of another "
                "one of its team, which blocks of another program may keep from starting; give "
                "it more time by patience="
            )


#: Two launches of teams at once could each have half of a team resident, and wait for ever.
_ONE_MEETING = threading.Lock()


class _Meeting:
    """Where the blocks of teams exchange: one place a context."""

    def __init__(self) -> None:
        self._slots: DeviceArray | None = None
        self._words: DeviceArray | None = None  # tickets, error
        self._epoch = 0

    def begin(self, context: DeviceContext, size: int, steps: int, stream: Any) -> dict[str, int]:
        """See to it that there are so many bytes of slots, none with a tag of this launch."""
        cuda = driver()
        if self._words is None:
            self._words = empty(context, (2,), np.uint32)
        if self._slots is None or self._slots.nbytes < size:
            self._slots = empty(context, (size,), np.uint8)
            self._epoch = 0
        if self._epoch + steps + 1 >= _TAGS:
            self._epoch = 0
        if self._epoch == 0:
            cuda.memset_d8_async(self._slots.pointer, 0, self._slots.nbytes, stream)
        cuda.memset_d32_async(self._words.pointer, 0, 2, stream)
        epoch = self._epoch
        self._epoch += steps + 1
        return {
            "slots": self._slots.pointer,
            "tickets": self._words.pointer,
            "error": self._words.pointer + 4,
            "epoch": epoch,
        }

    def end(self, stream: Any) -> int:
        """Wait for the launch, and get its error word."""
        assert self._words is not None
        words = np.empty(2, np.uint32)
        driver().memcpy_dtoh_async(words, self._words.pointer, stream)
        wait(stream)
        return int(words[1])
