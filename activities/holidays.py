"""The dates on which a unit keeps Sunday's hours (contract §7 `holidays`; K5d says weekdays).

The list is asked for once, when a case is opened, and what follows from it is frozen into the case:
a newer release of the `holidays` library cannot move a deadline of a running case.
"""

from collections.abc import Iterable
from datetime import date, timedelta

import holidays

_MONDAY = 0


def days_that_count_as_sundays(country: str, first_year: int, last_year: int) -> frozenset[date]:
    """Return the dates of both years and those between on which a unit keeps Sunday's hours.

    `country` is an ISO 3166-1 alpha-2 code in capitals; "" is nowhere and gives an empty set. A
    country gives its nationwide public holidays; "SE" also its eves that are whole days off:
    påskafton, pingstafton, midsommarafton, julafton and nyårsafton. Half days off (skärtorsdag,
    trettondagsafton, ...) and bridge days (klämdag) are ordinary days. Plain Sundays are not in the
    set.

    Raises ValueError for an unknown country, and where `last_year` is before `first_year`.
    """
    if last_year < first_year:
        message = f"the years run backwards: {first_year} to {last_year}"
        raise ValueError(message)
    years = range(first_year, last_year + 1)
    if country == "":
        return frozenset()
    if country == "SE":
        return _swedish(years)
    # Without the aliases that the library also takes: "SWE" would be Sweden without its eves.
    if country not in holidays.list_supported_countries(include_aliases=False):
        message = f'unknown country of holidays: {country!r} (like "SE", or "" for none)'
        raise ValueError(message)
    return frozenset(holidays.country_holidays(country, years=years))


def _swedish(years: Iterable[int]) -> frozenset[date]:
    """Return Sweden's public holidays and the eves that are whole days off.

    Midsommarafton, julafton and nyårsafton are the category DE_FACTO: the law on annual leave (SFS
    1977:480 § 7) equates them with Sundays. Påskafton and pingstafton have no such category: the
    library puts them under OPTIONAL, with the half days and the bridge day, and tells them apart
    only by name. So they are counted from Easter here.
    """
    whole_days = (holidays.PUBLIC, holidays.DE_FACTO)
    dates = frozenset(holidays.country_holidays("SE", years=years, categories=whole_days))
    easter_mondays = [day for day in dates if _is_easter_monday(day)]
    holy_saturdays = {monday - timedelta(days=2) for monday in easter_mondays}
    eves_of_pentecost = {monday + timedelta(days=47) for monday in easter_mondays}
    return dates | holy_saturdays | eves_of_pentecost


def _is_easter_monday(holiday: date) -> bool:
    """Whether a Swedish holiday is Easter Monday, the only one on a Monday in these five weeks."""
    return holiday.weekday() == _MONDAY and (3, 23) <= (holiday.month, holiday.day) <= (4, 26)
