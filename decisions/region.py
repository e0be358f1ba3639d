"""The region as the rules ask about it: who exists, who is open when, who may stand in for whom."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, tzinfo
from typing import Self

from decisions.calendars import Calendar, WeeklyHours
from omhand.contract.directory import WEEKDAYS, Directory, Hours, Profession, Staff, Unit, span_of
from omhand.contract.names import Kind, Origin
from omhand.contract.policy import OfferTo, Policy
from omhand.contract.wire import HsaId, Number, ProfessionName, Wire


class Subject(Wire):
    """What the rules have to know of a case to plan a phase of it."""

    kind: Kind
    priority: Number | None
    profession: ProfessionName
    unit: HsaId
    """Whose clock it is: the responsible unit's."""
    origin: Origin


def weekly(hours: Hours) -> WeeklyHours:
    """Hours as the file writes them, as spans in seconds, Monday first."""
    return tuple(tuple(sorted(map(span_of, hours.get(day, ())))) for day in WEEKDAYS)


@dataclass(frozen=True, slots=True)
class Region:
    """A directory and a policy, indexed. ``version`` is that of the policy."""

    version: int
    policy: Policy
    units: Mapping[str, Unit]
    professions: Mapping[str, Profession]
    staff: Mapping[str, Staff]
    calendars: Mapping[str, Calendar]
    zone: tzinfo
    code: str | None = None
    """The county's; patients of another are out-of-region patients (P7)."""

    @classmethod
    def of(cls, version: int, directory: Directory, policy: Policy, zone: tzinfo, holidays: frozenset[date]) -> Self:
        """The region of these files; the zone and the holidays come from outside, where I/O is allowed."""
        return cls(
            version=version,
            policy=policy,
            units={unit.id: unit for unit in directory.unit},
            professions={each.name: each for each in directory.profession},
            staff={member.id: member for member in directory.staff},
            calendars={
                unit.id: Calendar(weekly(unit.opening), weekly(unit.on_call), zone, holidays) for unit in directory.unit
            },
            zone=zone,
            code=directory.region,
        )

    def under(self, other: "Region") -> "Region":
        """This region's units and people, with the policy of another version (§7: cases keep their policy)."""
        return replace(self, version=other.version, policy=other.policy)

    def day_of(self, at: datetime) -> date:
        """The region's date at this instant."""
        return at.astimezone(self.zone).date()

    def works(self, staff: str, unit: str, profession: str | None = None) -> bool:
        """Whether this member of staff works at this unit, with this profession where one is named."""
        member = self.staff.get(staff)
        return (
            member is not None
            and member.active
            and any(work.unit == unit and profession in {None, work.profession} for work in member.works_at)
        )

    def is_there(self, staff: str, unit: str, at: datetime) -> bool:
        """Whether this member of staff works at this unit, and is not absent that day (K6b)."""
        return self.works(staff, unit) and not any(
            absence.first_day <= self.day_of(at) <= absence.last_day for absence in self.staff[staff].absent
        )

    def can_be_called(self, staff: str, unit: str, at: datetime) -> bool:
        """Whether they are there, and have a phone of their own."""
        return self.is_there(staff, unit, at) and self.staff[staff].phone is not None

    def is_clinical(self, profession: str) -> bool:
        """Whether the profession works clinically with patients (K1d)."""
        known = self.professions.get(profession)
        return known is not None and known.clinical

    def candidates(self, to: OfferTo, unit: str, at: datetime) -> Iterable[Unit]:
        """The units that ``to`` means for this unit at this instant, in the order of the directory.

        ``on_call`` means units of kind on_call that are open, and any unit that is in its on-call time (§7).
        """
        for other in self.all_candidates(to, unit):
            if to != "on_call" or other.kind == "on_call" or self.calendars[other.id].is_on_call(at):
                yield other

    def all_candidates(self, to: OfferTo, unit: str) -> Iterable[Unit]:
        """The units that ``to`` can mean for this unit at one time or another, in the order of the directory."""
        own = self.units[unit]
        for other in self.units.values():
            meant = {
                "cooperating": other.id in own.cooperates_with,
                "same_kind": other.kind == own.kind,
                "every_unit": True,
                "on_call": True,
            }[to]
            if meant and other.id != unit:
                yield other

    def next_on_call(self, unit: Unit, at: datetime) -> datetime | None:
        """When the unit is next on call, ``at`` included: a unit of that kind is so whenever it runs (§7, K5e)."""
        calendar = self.calendars[unit.id]
        return (calendar if unit.kind == "on_call" else calendar.only_on_call()).next_running(at)

    def may_be_offered(self, unit: Unit, profession: str, at: datetime, *, any_profession: bool = False) -> bool:
        """Whether the unit is open or on call at that moment and has the profession on site (§7)."""
        return (any_profession or profession in unit.professions) and self.calendars[unit.id].is_running(at)
