"""Who works where in the demo's region, and which unit another one turns to."""

from collections import defaultdict
from collections.abc import Iterator

from omhand.contract.directory import Directory
from omhand.contract.opening import StaffMember
from workers.demo.region import CLOSING_UNIT


class Crew:
    """Who works where."""

    def __init__(self, directory: Directory) -> None:
        self._clinical = {profession.name for profession in directory.profession if profession.clinical}
        self._units = {unit.id: unit for unit in directory.unit}
        self._at: dict[str, list[StaffMember]] = defaultdict(list)
        for member in directory.staff:
            for work in member.works_at:
                found = StaffMember(staff=member.id, unit=work.unit, profession=work.profession)
                self._at[work.unit].append(found)

    def at(self, unit: str, profession: str) -> Iterator[StaffMember]:
        """The unit's staff, those of that profession first; another one takes it where there is nobody (K1d).

        Who does not work clinically is there only for what is directed to their profession.
        """
        fitting = [each for each in self._at[unit] if each.profession in {profession, *self._clinical}]
        return iter(sorted(fitting, key=lambda member: member.profession != profession))

    def named(self, staff: str, unit: str) -> StaffMember:
        """That member of the unit's staff."""
        return next(member for member in self._at[unit] if member.staff == staff)

    def has(self, unit: str, profession: str) -> bool:
        """Whether the unit has the profession on site."""
        return unit in self._units and profession in self._units[unit].professions

    def is_health_centre(self, unit: str) -> bool:
        """Whether it is one, and so has others that cooperate with it."""
        return self._units[unit].kind == "health_centre"

    def others(self, unit: str, profession: str) -> list[str]:
        """The units that could be asked instead, those that it cooperates with first; not the one that closes."""
        near = self._units[unit].cooperates_with
        asked = [each for each in self._units if each not in {unit, CLOSING_UNIT} and self.has(each, profession)]
        return sorted(asked, key=lambda each: each not in near)
