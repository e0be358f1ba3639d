"""Notifications on their way: each its own activity on the gateway's queue, withdrawn when the case has been taken."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from decisions.effects import Notice
from decisions.errands import Delivery
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

    def withdraw(self, *, everything: bool) -> None:
        """The case has been taken: nobody is to be called to take it any more. Or it has ended: nobody is told at all.

        The notification's row was settled when that was recorded; this stops the attempts.
        """
        for notice, handle in list(self._sending.values()):
            if everything or notice.until_taken:
                handle.cancel()

    def on_their_way(self) -> tuple[Notice, ...]:
        """What has not been answered yet."""
        return tuple(notice for notice, _ in self._sending.values())

    async def _follow(self, notice: Notice, handle: workflow.ActivityHandle[Delivery]) -> None:
        try:
            delivery = await handle
        except ActivityError as error:
            if is_cancelled_exception(error):
                return
            self._inbox.undelivered(notice, "the notification could not be tried")
            return
        finally:
            del self._sending[notice.key]
        if not delivery.delivered and not delivery.withdrawn:
            self._inbox.undelivered(notice, delivery.error or "no reason given")
