"""What is said of a read, for the access log. An extension of version 1."""

from typing import Literal

from omhand.contract.wire import Assertion, CaseId, HsaId, ProfessionName, Wire

ReadAction = Literal["view", "log", "worklist"]


class Reader(Wire):
    """Who reads, at which unit."""

    staff: HsaId
    unit: HsaId
    profession: ProfessionName | None = None


class Read(Wire):
    """Somebody is going to read a case, or the list of a unit: the argument of the workflow ``Read``."""

    action: ReadAction
    via: Literal["client", "command"]
    case_id: CaseId | None = None
    about: HsaId | None = None
    """The unit whose list it is."""
    by: Reader | None = None
    """Who reads; null where the client was not told."""
    assertion: Assertion | None = None
    """Vouches for ``by``."""
