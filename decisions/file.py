"""A case with its log and with what has been answered: all that a case's workflow carries through its life."""

from collections.abc import Sequence
from typing import Final, Self

from pydantic import Field

from decisions.case import Case
from decisions.effects import Decision, Refusal
from decisions.lifecycle import replay
from omhand.contract.events import Event, Rejected
from omhand.contract.names import Code
from omhand.contract.wire import Number, Wire

FULL: Final = 1_000_000
MOST_ANSWERS: Final = 500
"""So many actions are remembered, the latest: a repeated one comes within minutes, and there is a payload to fit in."""

LOG_FULL: Final = Refusal(
    code=Code.INVALID_ACTION,
    message="The log of this case is full: it takes no more notes. Write in the patient's record, and close the case.",
)


class Answered(Wire):
    """How an action was answered: the log's length by then, and the refusal if it was one."""

    seq: Number
    refusal: Refusal | None


class CaseFile(Wire):
    """The case, every event that made it, and the answers that may be asked for again.

    They go by what caused them: an action by its ``action_id``; one that was found in the log (``found``) also by the
    update or signal that it came with.
    """

    case: Case
    log: tuple[Event, ...]
    answers: dict[str, Answered] = Field(default_factory=dict)
    size: Number = 0
    """Of the log, in bytes of JSON. A payload may have 2 MB, and the log is part of every view."""

    @property
    def is_full(self) -> bool:
        """No more is taken that only adds to the log: notes, and rows of what was refused."""
        return self.size >= FULL

    @classmethod
    def begin(cls, decision: Decision) -> Self:
        """The file of a case that has just been opened."""
        return cls(case=decision.case, log=decision.events, size=_size(decision.events))

    def after(self, decision: Decision) -> Self:
        """The file with what a decision let happen."""
        size = self.size + _size(decision.events)
        return self.model_copy(update={"case": decision.case, "log": self.log + decision.events, "size": size})

    def answered(self, cause: str | None, refusal: Refusal | None) -> Self:
        """The file that remembers how this action was answered; the first answer stays."""
        if cause is None or cause in self.answers:
            return self
        first = Answered(seq=self.case.seq, refusal=refusal)
        latest = dict(list(self.answers.items())[-MOST_ANSWERS + 1 :])
        return self.model_copy(update={"answers": {**latest, cause: first}})

    def found(self, decision: Decision, causes: Sequence[str | None]) -> Self:
        """The file with events that were found in the log, and with how their causes were answered then."""
        answers: dict[str, Answered] = {}
        for event, cause in zip(decision.events, causes, strict=True):
            if cause is not None:
                earlier = answers.get(cause)
                refusal = earlier.refusal if earlier else _refusal_in(event)
                answers[cause] = Answered(seq=event.seq, refusal=refusal)
        return self.after(decision).model_copy(update={"answers": {**answers, **self.answers}})

    def as_of(self, seq: int) -> Self:
        """The file as it was when its log ended with ``seq``: a repeated action is answered from there."""
        log = self.log[:seq]
        return self.model_copy(update={"case": replay(self.case.case_id, log), "log": log})


def _size(events: Sequence[Event]) -> int:
    return sum(len(event.model_dump_json().encode()) for event in events)


def _refusal_in(event: Event) -> Refusal | None:
    told = event.told()
    return Refusal(code=Code(told.code), message=told.message) if isinstance(told, Rejected) else None
