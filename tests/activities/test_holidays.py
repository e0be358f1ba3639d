"""The dates on which a unit keeps Sunday's hours."""

from datetime import date, timedelta

import pytest

from activities.holidays import days_that_count_as_sundays

WHOLE_DAYS_OF_2026 = {
    "2026-01-01": "nyårsdagen",
    "2026-01-06": "trettondedag jul",
    "2026-04-03": "långfredagen",
    "2026-04-04": "påskafton",
    "2026-04-05": "påskdagen",
    "2026-04-06": "annandag påsk",
    "2026-05-01": "första maj",
    "2026-05-14": "Kristi himmelsfärdsdag",
    "2026-05-23": "pingstafton",
    "2026-05-24": "pingstdagen",
    "2026-06-06": "nationaldagen",
    "2026-06-19": "midsommarafton",
    "2026-06-20": "midsommardagen",
    "2026-10-31": "alla helgons dag",
    "2026-12-24": "julafton",
    "2026-12-25": "juldagen",
    "2026-12-26": "annandag jul",
    "2026-12-31": "nyårsafton",
}


def test_swedish_public_holidays_and_whole_eves_count_as_sundays() -> None:
    # K5d
    assert days_that_count_as_sundays("SE", 2026, 2026) == {date.fromisoformat(day) for day in WHOLE_DAYS_OF_2026}


@pytest.mark.parametrize(
    "day",
    [
        "2026-01-05",  # trettondagsafton, from 14:00
        "2026-04-02",  # skärtorsdagen, from 14:00
        "2026-04-30",  # valborgsmässoafton, from 14:00
        "2026-05-13",  # the day before Kristi himmelsfärdsdag
        "2026-05-15",  # klämdag
        "2026-05-22",  # the day before pingstafton
        "2026-06-18",  # the day before midsommarafton
        "2026-10-30",  # allahelgonsafton, from 14:00
        "2026-12-23",  # the day before julafton
        "2026-12-30",  # the day before nyårsafton
        "2026-11-29",  # a plain Sunday
    ],
)
def test_half_days_bridge_days_and_plain_sundays_do_not(day: str) -> None:
    # K5d
    assert date.fromisoformat(day) not in days_that_count_as_sundays("SE", 2026, 2026)


@pytest.mark.parametrize(
    ("easter_sunday", "eve_of_pentecost"),
    [
        ("2008-03-23", "2008-05-10"),
        ("2011-04-24", "2011-06-11"),
        ("2027-03-28", "2027-05-15"),
        ("2035-03-25", "2035-05-12"),
        ("2038-04-25", "2038-06-12"),
    ],
)
def test_eves_follow_an_early_and_a_late_easter(easter_sunday: str, eve_of_pentecost: str) -> None:
    easter = date.fromisoformat(easter_sunday)
    dates = days_that_count_as_sundays("SE", easter.year, easter.year)
    assert easter - timedelta(days=1) in dates
    assert date.fromisoformat(eve_of_pentecost) in dates


def test_thirteen_holidays_and_five_eves_are_eighteen_dates_unless_two_coincide() -> None:
    first_of_may_is_ascension_day = {2008}
    national_day_is_pentecost = {2049, 2055}
    coinciding = first_of_may_is_ascension_day | national_day_is_pentecost
    for year in range(2006, 2056):
        dates = days_that_count_as_sundays("SE", year, year)
        assert len(dates) == (17 if year in coinciding else 18)
        assert {date(year, 12, 24), date(year, 12, 31)} <= dates


def test_years_are_taken_from_the_first_to_the_last() -> None:
    both = days_that_count_as_sundays("SE", 2026, 2027)
    assert {day.year for day in both} == {2026, 2027}
    assert both == days_that_count_as_sundays("SE", 2026, 2026) | days_that_count_as_sundays("SE", 2027, 2027)


def test_nowhere_has_no_holidays() -> None:
    assert days_that_count_as_sundays("", 2026, 2027) == frozenset()


def test_another_country_has_its_public_holidays() -> None:
    norwegian = days_that_count_as_sundays("NO", 2026, 2026)
    assert date(2026, 5, 17) in norwegian
    assert date(2026, 12, 24) not in norwegian


@pytest.mark.parametrize("country", ["XX", "se", "SWE", "sweden", "HolidayBase", " ", "UK"])
def test_unknown_country_is_refused(country: str) -> None:
    with pytest.raises(ValueError, match="unknown country of holidays"):
        days_that_count_as_sundays(country, 2026, 2026)


@pytest.mark.parametrize("country", ["", "SE", "NO"])
def test_years_that_run_backwards_are_refused(country: str) -> None:
    with pytest.raises(ValueError, match="backwards"):
        days_that_count_as_sundays(country, 2027, 2026)
