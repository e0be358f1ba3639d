"""The end of the demo: what became of the morning, whether anything was lost, and how to look at it again."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from workers.demo.board import Board, Snapshot
from workers.demo.checks import kinds_not_played, what_is_lost
from workers.demo.gateway import PhoneGateway
from workers.demo.morning import Morning
from workers.demo.screen import between_units_table, by_kind_table, by_unit_table
from workers.demo.tally import Row, between_units, by_kind, by_unit, fate_of, state_of

SECONDS_TO_SETTLE: Final = 15.0
SECONDS_BETWEEN_LOOKS: Final = 0.5
STATE_WORDS: Final = {"ticket": "not booked yet", "booked": "waits for its time", "idle": "answered"}


async def report(
    morning: Morning, board: Board, gateway: PhoneGateway, names: Mapping[str, str], console: Console
) -> list[str]:
    """Print what Postgres says; every way in which something was lost, a sentence each."""
    then = await _settled(board)
    cases, notices, worklist = then.cases, then.notices, then.worklist
    console.print()
    console.print(by_kind_table(by_kind(cases)))
    console.print()
    console.print(by_unit_table(by_unit(names, cases, notices)))
    console.print()
    console.print(between_units_table(between_units(names, cases, then.log)))
    console.print(f"\nRefused at intake ({len(morning.turned_away)}), each with the reason that its sender got:")
    for case_id, why in sorted(morning.turned_away):
        console.print(f"  {case_id}  {why}", highlight=False, markup=False, soft_wrap=True)
    refusals = ", ".join(f"{row['code']} {row['times']}" for row in await board.refusals())
    console.print(f"\nRefused to staff, and in the case's log: {refusals}", highlight=False)
    console.print(
        f"\nThe phone gateway was called {gateway.calls} times. It was too busy {gateway.busy} times,"
        " and was called again.",
        highlight=False,
    )
    audited = await board.audited()
    console.print(
        f"\nThe access log has {audited.last.entry} entries: who touched or read which case. Each rests on the one"
        " before it, so that none can be changed unseen.",
        highlight=False,
    )
    _left(cases, worklist, names, console)
    faults = [
        *morning.faults,
        *what_is_lost(morning.opened, then, gateway.delivered),
        *kinds_not_played(cases),
        *(f"the access log: {fault}" for fault in audited.faults),
        *([f"{gateway.forged} calls were not signed as they should"] if gateway.forged else []),
    ]
    _verdict(faults, then, console)
    return faults


async def _settled(board: Board) -> Snapshot:
    """An instant at which nothing is on its way; or what is so when that has been waited for in vain."""
    for _ in range(round(SECONDS_TO_SETTLE / SECONDS_BETWEEN_LOOKS)):
        then = await board.snapshot()
        if then.is_settled:
            break
        await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
    return then


def _left(cases: Sequence[Row], worklist: Sequence[Row], names: Mapping[str, str], console: Console) -> None:
    """The cases that are still open, and on whose worklists they stand."""
    console.print("\nLeft open on purpose, to be looked at:")
    for case in sorted(cases, key=lambda case: str(case["case_id"])):
        if case["closed_at"] is None:
            units = ", ".join(names[row["unit_id"]] for row in worklist if row["case_id"] == case["case_id"])
            state = STATE_WORDS.get(state_of(case), state_of(case))
            console.print(f"  {case['case_id']}  {state}, on the worklist of {units}", highlight=False)


def _verdict(faults: Sequence[str], then: Snapshot, console: Console) -> None:
    cases, notices, times = then.cases, then.notices, then.times
    states, fates = Counter(map(state_of, cases)), Counter(map(fate_of, notices))
    if faults:
        console.print(f"\nSOMETHING IS WRONG ({len(faults)}):", style="bold red")
        for fault in faults:
            console.print(f"  {fault}", highlight=False, markup=False, soft_wrap=True)
        return
    still_open, held = len(cases) - states["closed"], sum(time["held_by"] is not None for time in times)
    console.print(
        f"\nNothing was lost: of {len(cases)} cases of all six kinds {states['closed']} are closed and {still_open} are"
        f" on worklists; of {len(times)} bookable times {held} are held, each for one patient; of {len(notices)}"
        f" notifications {fates['sent']} were sent, once each, and {fates['withdrawn']} withdrawn because somebody had"
        " answered before they went out.",
        style="bold green",
        highlight=False,
    )


def how_to_look_again(state: Path, unit: str, console: Console) -> None:
    """The servers stop with the demo; what they hold is kept."""
    text = f"""
The servers have stopped. All that they hold is kept in {state}; to start this region again, open cases and all:

  make dev STATE={state}

and while that runs:

  http://127.0.0.1:8233     Temporal's Web UI: every case, its state and its history
  .venv/bin/omhand --ready {state}/ready.json worklist {unit}
                            what this unit has to do (and `show CASE`, `accept CASE`, ...)
  {f"{state}/ready.json":<25} names every address, of Postgres too: its views are in the schema omhand

`make dev` alone keeps a region of its own running, in real time."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)
