"""A case with its log and with what has been answered: all that a case's workflow carries through its life."""

from typing import Self

from pydantic import Field

from decisions.case import Case
from decisions.effects import Decision, Refusal
from decisions.lifecycle import replay
from omhand.contract.events import Event
from omhand.contract.wire import Number, Wire


class Answered(Wire):
    """How an action was answered: the log's length by then, and the refusal if it was one."""

    seq: Number
    refusal: Refusal | None


class CaseFile(Wire):
    """The case, every event that made it, and the answers by ``action_id``."""

    case: Case
    log: tuple[Event, ...]
    answers: dict[str, Answered] = Field(default_factory=dict)

    @classmethod
    def begin(cls, decision: Decision) -> Self:
        """The file of a case that has just been opened."""
        return cls(case=decision.case, log=decision.events)

    def after(self, decision: Decision) -> Self:
        """The file with what a decision let happen."""
        return self.model_copy(update={"case": decision.case, "log": self.log + decision.events})

    def answered(self, action_id: str | None, refusal: Refusal | None) -> Self:
        """The file that remembers how this action was answered; the first answer stays."""
        if action_id is None or action_id in self.answers:
            return self
        first = Answered(seq=self.case.seq, refusal=refusal)
        return self.model_copy(update={"answers": {**self.answers, action_id: first}})

    def as_of(self, seq: int) -> Self:
        """The file as it was when its log ended with ``seq``: a repeated action is answered from there."""
        log = self.log[:seq]
        return self.model_copy(update={"case": replay(self.case.case_id, log), "log": log})
