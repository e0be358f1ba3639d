"""Stored histories of typical lives replay: what has been changed does not break a case that runs.

A history is what the server keeps of a case that waits in it, for days perhaps. When something happens to the case, the
worker of that day plays the history again, and has to ask for the same things in the same order.
"""

import json
import sys
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from omhand.codec import encryption
from workflows.entrance import Entrance

sys.path.insert(0, str(Path(__file__).parent))
from corpus import FINGERPRINT, commands, stored

HISTORIES = stored()

WHAT_TO_DO = """
Workflow code has changed in a way that breaks cases which are running: history {name!r} does not replay.

Where new cases are to behave otherwise, keep the old way for those that run, behind a patch:

    if workflow.patched("what-has-changed"):
        ...  # the new way, for cases that come here for the first time
    else:
        ...  # the old way, as the stored histories tell it

Then keep these histories, and add how cases live now, under a label of the change:

    python tests/replay/make_corpus.py --as what-has-changed

Only while no case runs anywhere (before the first release) may the corpus be made anew instead:

    python tests/replay/make_corpus.py --all

What the replay said: {fault}
"""
WHAT_CHANGED = """
The stored history {name!r} is not the one whose commands were committed (fingerprint.json beside this file).
Histories are never edited, and made anew only while no case runs anywhere. If workflow code has changed for cases that
run, this needs workflow.patched(): see WHAT_TO_DO in this file. If the change is meant:

    python tests/replay/make_corpus.py            # adds what is new, and writes the fingerprint

and look at the difference of fingerprint.json before you commit it: each line is what running cases rely on.
"""


def replayer() -> Replayer:
    """Replays as the worker runs them."""
    return Replayer(workflows=[Entrance], workflow_runner=UnsandboxedWorkflowRunner(), plugins=[encryption(None)])


def test_the_corpus_holds_every_typical_life() -> None:
    lives = {name.partition(".")[0] for name in HISTORIES}
    assert lives >= {
        "waiting", "escalated", "taken-by-another", "covered", "accepted", "released", "closed-by-signal",
        "closed-by-update", "cancelled", "busy", "undelivered", "intake", "intake-refused", "malformed",
        "no-such-kind", "linked-first", "linked-second", "database-away", "answer-lost", "long-first-run",
        "long-last-run", "handed-over", "handover-pending", "handover-refused", "handover-withdrawn", "handover-taken",
        "1177", "asking", "consultation-answered", "consultation-refused", "consultation-withdrawn",
        "consultation-not-needed", "consultation-of-its-own", "left-at-closing", "taken-at-closing",
        "long-asking-first-run", "long-asking-last-run", "asked-too-early", "check-well", "ticket", "ticket-expired",
        "booked-moved", "booking-cancelled", "booked-by-a-unit", "visit", "time-gone", "time-gone-at-opening",
        "thread", "thread-of-a-unit", "thread-unanswered", "administrative",
        "check-differs", "asserted", "read", "revived", "canary", "canary-case", "audit",
    }  # fmt: skip
    asked = {command for history in HISTORIES.values() for command in commands(history)}
    assert asked >= {
        "activity look_up", "activity send_notice", "local activity record", "local activity look_up",
        "local activity look_up_opening", "child DropInVisit", "child Consultation", "signal links_changed",
        "signal consultations_changed", "signal asking_changed", "local activity look_up_ended",
        "local activity look_up_asking", "marker core_patch", "activity compare",
        "local activity record_alarms", "local activity log_read", "timer started",
        "timer canceled", "completed", "failed", "continued as new", "update accepted", "update completed",
    }  # fmt: skip


@pytest.mark.parametrize("name", HISTORIES)
async def test_a_stored_life_replays(name: str) -> None:
    result = await replayer().replay_workflow(HISTORIES[name], raise_on_replay_failure=False)
    if result.replay_failure:
        pytest.fail(WHAT_TO_DO.format(name=name, fault=result.replay_failure), pytrace=False)


@pytest.mark.parametrize("name", HISTORIES)
def test_fingerprint(name: str) -> None:
    committed = json.loads(FINGERPRINT.read_text())
    if commands(HISTORIES[name]) != committed.get(name):
        pytest.fail(WHAT_CHANGED.format(name=name), pytrace=False)


def test_no_history_has_been_taken_away() -> None:
    missing = set(json.loads(FINGERPRINT.read_text())) - set(HISTORIES)
    assert missing == set(), "running cases of that age are not proved any more"


async def test_a_change_that_breaks_a_running_case_is_noticed() -> None:
    told = HISTORIES["closed-by-update"].to_json().replace("send_notice", "send_letter")
    changed = WorkflowHistory.from_json("case-closed-by-update", told)
    result = await replayer().replay_workflow(changed, raise_on_replay_failure=False)
    assert result.replay_failure is not None
