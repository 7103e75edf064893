"""SIGTERM and Ctrl-C: a search ends with the best that it has, other work at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from jaxcampaign.progress import ask_to_stop

EXIT_STOPPED = 75
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(BaseException):
    """The work was stopped by a signal; the text says what there is of it."""


class Interruption:
    """A `with` block in which signals stop the work in good order.

    At first `Stopped` is raised at once. Once a search is waited for, it is asked to end as if its
    time were up; a second signal then ends the process. What is being finished goes on.

    Attributes:
      by: name of the signal that came; None without one.
    """

    def __init__(self) -> None:
        self.by: str | None = None
        self._waits = self._finishes = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():  # others are sent no signals
            self._before = {number: signal.signal(number, self._caught) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        ask_to_stop(False)

    def wait(self) -> None:
        """From now on a search runs, which ends once it is asked to and is then worth having."""
        self._waits = True

    def finish(self) -> None:
        """From now on the answer is written, which takes a moment."""
        self._finishes = True

    def _caught(self, number: int, frame: FrameType | None) -> None:
        if self._finishes:
            return
        again, self.by = self.by is not None, signal.Signals(number).name
        if not self._waits:
            raise Stopped(f"stopped by {self.by}: nothing is written")
        if again:  # an exception could not pass through the solvers' own code
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        ask_to_stop()
