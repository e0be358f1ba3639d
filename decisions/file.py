"""A case with its log and with what has been answered: all that a case's workflow carries through its life."""

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Final, Self

from pydantic import Field

from decisions.case import Case
from decisions.effects import Decision, Refusal
from decisions.lifecycle import evolve, opened, replay
from omhand.contract.events import Event, Rejected
from omhand.contract.names import Code
from omhand.contract.wire import Flag, Number, Wire

FULL: Final = 1_000_000
KEPT: Final = 500_000
"""Bytes of JSON. A log that reaches ``FULL`` is cut to its last ``KEPT``: a payload may have 2 MB, the log is part of
every view, and a thread lives for years (K6). Postgres has all of it."""
ANSWERS_KEPT: Final = 250_000
"""Bytes of the causes and messages of the answers that are remembered."""
MOST_ANSWERS: Final = 500
"""So many actions are remembered, the latest: a repeated one comes within minutes. Older ones stand in Postgres."""

SIGNAL: Final = "signal:"
"""How the cause of what a signal did begins; its number follows, and since 0.2.0 a digest of what came."""

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
    """Its rows, or the last of them where they are many."""
    base: Case | None = None
    """The case before the first of these rows; null where that is its opening."""
    answers: dict[str, Answered] = Field(default_factory=dict)
    has_forgotten: Flag = False
    """There were more answers than are remembered here."""
    size: Number = 0
    """Of the whole log, in bytes of JSON."""
    left_out: Number = 0
    """Bytes of those rows that are not in ``log`` any more."""

    @classmethod
    def begin(cls, decision: Decision) -> Self:
        """The file of a case that has just been opened."""
        return cls(case=decision.case, log=decision.events, size=_size(decision.events))

    def after(self, decision: Decision) -> Self:
        """The file with what a decision let happen."""
        size = self.size + _size(decision.events)
        file = self.model_copy(update={"case": decision.case, "log": self.log + decision.events, "size": size})
        return file if size - file.left_out < FULL else file.shortened()

    def shortened(self) -> Self:
        """The file with the last rows of its log, and the case as it was before them."""
        left_out, rows = self.left_out, 0
        # The last row stays whatever its size: a log is never empty.
        while self.size - left_out > KEPT and rows < len(self.log) - 1:
            left_out += _size(self.log[rows : rows + 1])
            rows += 1
        base = _replayed(self.case.case_id, self.base, self.log[:rows])
        return self.model_copy(update={"base": base, "log": self.log[rows:], "left_out": left_out})

    def answered(self, cause: str | None, refusal: Refusal | None) -> Self:
        """The file that remembers how this action was answered; the first answer stays."""
        if cause is None or cause in self.answers:
            return self
        first = Answered(seq=self.case.seq, refusal=refusal)
        answers = _latest({**self.answers, cause: first})
        forgotten = self.has_forgotten or len(answers) <= len(self.answers)
        return self.model_copy(update={"answers": answers, "has_forgotten": forgotten})

    def found(self, decision: Decision, causes: Sequence[str | None]) -> Self:
        """The file with events that were found in the log, and with how their causes were answered then."""
        answers: dict[str, Answered] = {}
        for event, cause in zip(decision.events, causes, strict=True):
            if cause is not None:
                earlier = answers.get(cause)
                refusal = earlier.refusal if earlier else refusal_in(event)
                answers[cause] = Answered(seq=event.seq, refusal=refusal)
        return self.after(decision).model_copy(update={"answers": {**answers, **self.answers}})

    @classmethod
    def rebuilt(cls, case_id: str, rows: Sequence[tuple[Event, str | None]]) -> Self:
        """The file that a case's rows give, each with what caused it: of a case that nothing carries any more.

        Raises:
            ValueError, AttributeError: the rows give no case.
        """
        (first, _), *others = rows
        file = cls.begin(Decision(opened(case_id, first), (first,)))
        answers: dict[str, Answered] = {}
        for event, cause in others:
            file = file.after(Decision(evolve(file.case, event), (event,)))
            if cause is not None:
                refusal = answers[cause].refusal if cause in answers else refusal_in(event)
                answers[cause] = Answered(seq=event.seq, refusal=refusal)
        return file.model_copy(update={"answers": _latest(answers), "has_forgotten": True})

    def as_of(self, seq: int) -> Self:
        """The file as it was when its log ended with ``seq``: a repeated action is answered from there.

        Of what lies further back than its log, as far back as that goes.
        """
        log = tuple(event for event in self.log if event.seq <= seq) or self.log[:1]
        return self.model_copy(update={"case": _replayed(self.case.case_id, self.base, log), "log": log})


def _latest(answers: dict[str, Answered]) -> dict[str, Answered]:
    """As many of the latest as are remembered; a refusal of a payload with very many faults is a long text."""
    kept = dict(list(answers.items())[-MOST_ANSWERS:])
    while len(kept) > 1 and _bytes_of(kept) > ANSWERS_KEPT:
        del kept[next(iter(kept))]
    return kept


def _bytes_of(answers: dict[str, Answered]) -> int:
    messages = [answer.refusal.message for answer in answers.values() if answer.refusal]
    return len("".join([*answers, *messages]).encode())


def _replayed(case_id: str, base: Case | None, log: Sequence[Event]) -> Case:
    """The case that these rows make of the one before them."""
    return reduce(evolve, log, base) if base else replay(case_id, log)


def _size(events: Sequence[Event]) -> int:
    return sum(len(event.model_dump_json().encode()) for event in events)


def last_signal(causes: Iterable[str | None]) -> int:
    """The highest number of a signal among these causes; 0 where none is."""
    signals = (each.removeprefix(SIGNAL) for each in causes if each and each.startswith(SIGNAL))
    return max((int(number.partition(":")[0]) for number in signals), default=0)


def refusal_in(event: Event) -> Refusal | None:
    """The refusal that a row of the log tells of; None where it tells of none."""
    told = event.told()
    return Refusal(code=Code(told.code), message=told.message) if isinstance(told, Rejected) else None
