"""What is seen of the demo while it plays, and the tables at its end.

On a terminal a picture that is drawn anew; elsewhere a few plain lines.
"""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from omhand.contract.names import EventName, Status
from workers.demo.news import News
from workers.demo.tally import BETWEEN_COLUMNS, COLUMNS, KIND_COLUMNS, BetweenTally, KindTally, Tally, UnitTally, total

STATES: Final = ("waiting", "overdue", "accepted", "closed")
FATES: Final = ("sent", "pending", "withdrawn", "failed")
NEWS_LINES: Final = 9
SECONDS_BETWEEN_LINES: Final = 10.0
COLOURS: Final = {
    EventName.ESCALATED: "yellow",
    EventName.MANAGER_ALERTED: "red",
    EventName.REJECTED: "magenta",
    EventName.HANDOVER_REQUESTED: "blue",
    EventName.HANDED_OVER: "green",
    EventName.HANDOVER_REFUSED: "yellow",
    EventName.CONSULTED: "blue",
    EventName.ANSWERED: "green",
    EventName.REFUSED: "yellow",
    EventName.LEFT_AT_CLOSING: "bold red",
    EventName.BOOKED: "green",
    EventName.BOOKING_CANCELLED: "yellow",
    EventName.MESSAGE: "blue",
    EventName.REPLIED: "green",
}


@dataclass(slots=True)
class Picture:
    """What is to be shown at one moment."""

    seconds: float = 0.0
    played: int = 0
    """Cases whose play is over, of all ``parts``."""
    parts: int = 0
    states: Counter[str] = field(default_factory=Counter)
    fates: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    """Outcomes that the routine does not take."""
    calls: Sequence[str] = ()
    busy: int = 0

    def lines(self) -> str:
        """The whole of it in four lines."""
        cases = ", ".join(f"{self.states[state]} {state}" for state in STATES)
        events = self.events
        return (
            f"{self.seconds:3.0f} s  {self.played}/{self.parts} played; cases: {cases}\n"
            f"       {events[EventName.ESCALATED]} escalations, {self.fates['sent']} notifications sent,"
            f" {events[EventName.MANAGER_ALERTED]} manager alerts, {events[EventName.REJECTED]} refusals\n"
            f"       handovers: {events[EventName.HANDED_OVER]} of {events[EventName.HANDOVER_REQUESTED]} accepted;"
            f" questions: {events[EventName.ANSWERED]} answered; {events[EventName.LEFT_AT_CLOSING]} left at closing\n"
            f"       patients: {self.states[Status.TICKET]} with a ticket, {self.states[Status.BOOKED]} booked;"
            f" {events[EventName.MESSAGE]} messages, {events[EventName.REPLIED]} answers"
        )


class Screen:
    """Shows pictures and news as they come."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._news: deque[Text] = deque(maxlen=NEWS_LINES)
        self._live: Live | None = None
        self._last_line = 0.0

    @contextmanager
    def shown(self) -> Iterator[None]:
        """While the context is open the picture stands on the terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, refresh_per_second=8) as self._live:
            yield
        self._live = None

    def say(self, text: str = "") -> None:
        """A line that stays."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def show(self, picture: Picture, news: Sequence[News]) -> None:
        """The moment's picture, and what has happened since the last one."""
        self._news.extend(Text(each.text, style=COLOURS.get(each.event, "cyan")) for each in news)
        if self._live:
            self._live.update(self._drawn(picture))
        elif picture.seconds - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = picture.seconds
            self.say(picture.lines())

    def _drawn(self, picture: Picture) -> RenderableType:
        bar = Table.grid(padding=(0, 1))
        progress = ProgressBar(total=picture.parts, completed=picture.played, width=50)
        bar.add_row(f"{picture.seconds:3.0f} s", progress, f"{picture.played} of {picture.parts} played")
        numbers = Table.grid(padding=(0, 2))
        numbers.add_row("cases", *(f"{state} [bold]{picture.states[state]}[/]" for state in STATES))
        numbers.add_row("notifications", *(f"{fate} [bold]{picture.fates[fate]}[/]" for fate in FATES))
        events = picture.events
        numbers.add_row(
            "events",
            f"escalated [bold]{events[EventName.ESCALATED]}[/]",
            f"alerts [bold]{events[EventName.MANAGER_ALERTED]}[/]",
            f"refusals [bold]{events[EventName.REJECTED]}[/]",
            f"not taken in [bold]{picture.refused}[/]",
        )
        numbers.add_row(
            "between units",
            f"asked [bold]{events[EventName.HANDOVER_REQUESTED] + events[EventName.CONSULTED]}[/]",
            f"handed over [bold]{events[EventName.HANDED_OVER]}[/]",
            f"answered [bold]{events[EventName.ANSWERED]}[/]",
            f"left at closing [bold]{events[EventName.LEFT_AT_CLOSING]}[/]",
        )
        numbers.add_row(
            "patients",
            f"tickets [bold]{picture.states[Status.TICKET]}[/]",
            f"booked [bold]{picture.states[Status.BOOKED]}[/]",
            f"messages [bold]{events[EventName.MESSAGE]}[/]",
            f"answers [bold]{events[EventName.REPLIED]}[/]",
        )
        news = Text("\n", no_wrap=True, overflow="ellipsis").join(self._news)
        calls = Text("\n".join(picture.calls), no_wrap=True, overflow="ellipsis")
        return Group(
            bar,
            numbers,
            Panel(news, title="as it happens", height=NEWS_LINES + 2),
            Panel(calls, title=f"the phone gateway (too busy {picture.busy} times)", height=6),
        )


def by_unit_table(tallies: Sequence[UnitTally]) -> Table:
    """The table at the end."""
    return _table("What became of the morning, by the unit that received the case", "unit", COLUMNS, tallies)


def between_units_table(tallies: Sequence[BetweenTally]) -> Table:
    """The table of what units asked of each other."""
    return _table("What units asked of each other, by the unit that was asked", "unit", BETWEEN_COLUMNS, tallies)


def by_kind_table(tallies: Sequence[KindTally]) -> Table:
    """The table of the routine's six kinds."""
    return _table("What became of the morning, by the kind of case", "kind", KIND_COLUMNS, tallies)


def _table(title: str, of: str, columns: Sequence[str], tallies: Sequence[Tally]) -> Table:
    # Without padding it fits into a terminal of 80 columns.
    table = Table(
        title=title, title_justify="left", show_footer=True, box=SIMPLE_HEAD, show_edge=False, padding=0, min_width=76
    )
    table.add_column(of, f"all {of}s", min_width=16, overflow="fold")
    for name, footer in zip(columns, total(tallies), strict=True):
        table.add_column(name, str(footer), justify="right", no_wrap=True)
    for tally in tallies:
        table.add_row(tally.name, *map(str, tally.numbers()))
    return table
