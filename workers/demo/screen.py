"""What is seen of the demo while it plays, and the table at its end.

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
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from omhand.contract.names import EventName
from workers.demo.tally import COLUMNS, UnitTally, total

STATES: Final = ("waiting", "overdue", "accepted", "closed")
FATES: Final = ("sent", "pending", "withdrawn", "failed")
NEWS_LINES: Final = 9
SECONDS_BETWEEN_LINES: Final = 10.0
COLOURS: Final = {EventName.ESCALATED: "yellow", EventName.MANAGER_ALERTED: "red", EventName.REJECTED: "magenta"}


@dataclass(slots=True)
class Picture:
    """What is to be shown at one moment."""

    seconds: float = 0.0
    played: int = 0
    """Outcomes whose play is over, of ``outcomes``."""
    outcomes: int = 0
    states: Counter[str] = field(default_factory=Counter)
    fates: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    """Outcomes that the routine does not take."""
    calls: Sequence[str] = ()
    busy: int = 0

    def line(self) -> str:
        """The whole of it in one line."""
        cases = ", ".join(f"{self.states[state]} {state}" for state in STATES)
        return (
            f"{self.seconds:3.0f} s  {self.played}/{self.outcomes} outcomes; cases: {cases};"
            f" notifications: {self.fates['sent']} sent; {self.events[EventName.ESCALATED]} escalations,"
            f" {self.events[EventName.MANAGER_ALERTED]} manager alerts, {self.events[EventName.REJECTED]} refusals"
        )


class Screen:
    """Shows pictures and news as they come."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._news: deque[str] = deque(maxlen=NEWS_LINES)
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

    def show(self, picture: Picture, news: Sequence[tuple[str, str]]) -> None:
        """The moment's picture, and what has happened since the last one."""
        for event, text in news:
            colour = COLOURS.get(EventName(event), "cyan")
            self._news.append(f"[{colour}]{escape(text)}[/]")
        if self._live:
            self._live.update(self._drawn(picture))
        elif picture.seconds - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = picture.seconds
            self.say(picture.line())

    def _drawn(self, picture: Picture) -> RenderableType:
        bar = Table.grid(padding=(0, 1))
        progress = ProgressBar(total=picture.outcomes, completed=picture.played, width=50)
        bar.add_row(f"{picture.seconds:3.0f} s", progress, f"{picture.played} of {picture.outcomes} outcomes")
        numbers = Table.grid(padding=(0, 2))
        numbers.add_row("cases", *(f"{state} [bold]{picture.states[state]}[/]" for state in STATES))
        numbers.add_row("notifications", *(f"{fate} [bold]{picture.fates[fate]}[/]" for fate in FATES))
        events = picture.events
        numbers.add_row(
            "events",
            f"escalated [bold]{events[EventName.ESCALATED]}[/]",
            f"manager alerted [bold]{events[EventName.MANAGER_ALERTED]}[/]",
            f"actions refused [bold]{events[EventName.REJECTED]}[/]",
            f"outcomes refused [bold]{picture.refused}[/]",
        )
        calls = Text("\n".join(picture.calls), no_wrap=True, overflow="ellipsis")
        return Group(
            bar,
            numbers,
            Panel("\n".join(self._news), title="as it happens", height=NEWS_LINES + 2),
            Panel(calls, title=f"the phone gateway (too busy {picture.busy} times)", height=6),
        )


def by_unit_table(tallies: Sequence[UnitTally]) -> Table:
    """The table at the end."""
    title = "What became of the morning, by the unit that received the case"
    # Without padding it fits into a terminal of 80 columns.
    table = Table(
        title=title, title_justify="left", show_footer=True, box=SIMPLE_HEAD, show_edge=False, padding=0, min_width=76
    )
    table.add_column("unit", "all units", min_width=16, overflow="fold")
    for name, footer in zip(COLUMNS, total(tallies), strict=True):
        table.add_column(name, str(footer), justify="right", no_wrap=True)
    for tally in tallies:
        table.add_row(tally.name, *map(str, tally.numbers()))
    return table
