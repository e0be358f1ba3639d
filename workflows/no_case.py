"""Workflows that are no case: they are over in a moment, and nobody acts on them."""

from collections.abc import Sequence
from typing import Any, ClassVar

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError


class NoCase:
    """How a workflow answers that has no actions and no view."""

    what: ClassVar[str]
    """It, with its article."""

    async def run(self, args: Sequence[RawValue]) -> dict[str, Any]:
        """One JSON object in, one out."""
        raise NotImplementedError

    def signalled(self, _name: str, args: Sequence[RawValue]) -> None:
        """There are no actions here; cases take them."""
        workflow.logger.warning("a signal with %d arguments came to %s, which takes none", len(args), self.what)

    async def updated(self, _name: str, _args: Sequence[RawValue]) -> dict[str, Any]:
        """There are no actions here."""
        raise ApplicationError(f"{self.what} takes no actions; a case does", type="InvalidAction", non_retryable=True)

    def view(self) -> dict[str, Any]:
        """There is no view."""
        raise ApplicationError(f"{self.what} has no view; a case has", type="NotOpened", non_retryable=True)
