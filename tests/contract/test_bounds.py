"""What no model could take, or no calendar, is refused before it costs anything (contract §1, §2)."""

import pytest

from omhand.contract.opening import Ticket
from omhand.contract.wire import Malformed, parse_object, parse_own, read


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": ' + 19 * "[" + 19 * "]" + "}", None),
        ('{"a": ' + 20 * "[" + 20 * "]" + "}", "nested more than 20 levels deep"),
        ('{"a": ' + 900 * "[" + 900 * "]" + "}", "nested more than 20 levels deep"),
        ('{"a": [' + ",".join("1" * 999) + "]}", None),
        ('{"a": [' + ",".join("1" * 1_000) + "]}", "more than 1000 values"),
        ("{" + ",".join(f'"k{number}": 1' for number in range(200_000)) + "}", "more than 1000 values"),
    ],
)
def test_an_object_that_no_model_could_take_is_refused_as_a_whole(text: str, fault: str | None) -> None:
    own = parse_own(text.encode())
    if fault is None:
        assert parse_object(text.encode()) == own
    else:
        with pytest.raises(Malformed, match=f"the object: .*{fault}"):
            parse_object(text.encode())


@pytest.mark.parametrize(("year", "good"), [(1899, False), (1900, True), (2026, True), (9998, True), (9999, False)])
def test_times_are_of_years_that_calendars_have(year: int, *, good: bool) -> None:
    given = {"valid_from": f"{year}-01-01T00:00:00Z", "valid_until": f"{year}-12-31T23:59:59Z"}
    if good:
        assert read(Ticket, given).valid_until.year == year
    else:
        with pytest.raises(Malformed, match="valid_from: must be of the years 1900 to 9998"):
            read(Ticket, given)
