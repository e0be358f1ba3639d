"""Notifications on their way: each its own activity on the gateway's queue, withdrawn when the case has been taken."""

import asyncio
from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from decisions.case import Case
from decisions.decide import undelivered
from decisions.effects import Decision, Notice
from decisions.errands import UNDELIVERED, Delivery
from workflows.errands import start_sending
from workflows.inbox import Inbox


class Post:
    """What a case is sending at the moment. What fails for good comes back through the inbox."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._sending: dict[str, tuple[Notice, workflow.ActivityHandle[Delivery]]] = {}

    def send(self, notice: Notice) -> None:
        """Send it, until the gateway has answered or it is withdrawn."""
        handle = start_sending(notice)
        self._sending[notice.key] = (notice, handle)
        asyncio.create_task(self._follow(notice, handle))  # noqa: RUF006 - the workflow's loop keeps its tasks

    def withdraw(self, case: Case, *, taken: bool, settled: bool) -> None:
        """The case has been taken: nobody is to be called to take it any more. Or it has ended: nobody is told at all.

        Likewise where a handover has been ``settled``, of whoever was to answer it. What is of use whatever happens
        goes on. The notification's row was settled when that was recorded; this stops the attempts.
        """
        for notice, handle in list(self._sending.values()):
            of_use = notice.scope == "always" or (case.is_open and not (taken and notice.until_taken))
            if not of_use or (settled and notice.scope == "handover"):
                handle.cancel()

    @property
    def has_parting_words(self) -> bool:
        """Whether something is on its way that is of use though the case has ended."""
        return any(notice.scope == "always" for notice, _ in self._sending.values())

    def on_their_way(self) -> tuple[Notice, ...]:
        """What has not been answered yet."""
        return tuple(notice for notice, _ in self._sending.values())

    async def _follow(self, notice: Notice, handle: workflow.ActivityHandle[Delivery]) -> None:
        try:
            delivery = await handle
        except ActivityError as error:
            if is_cancelled_exception(error):
                return
            self._tell_undelivered(notice, "the notification could not be tried")
            return
        finally:
            del self._sending[notice.key]
        if not delivery.delivered and not delivery.withdrawn:
            self._tell_undelivered(notice, delivery.error or "no reason given")

    def _tell_undelivered(self, notice: Notice, error: str) -> None:
        def rule(case: Case, at: datetime) -> Decision:
            return undelivered(case, notice, error, at)

        self._inbox.news(f"{UNDELIVERED}{notice.key}", rule)
