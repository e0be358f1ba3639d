"""docs/operations.md says what there is: alerts, faults, settings, tests, and the places that it points to."""

import re
from pathlib import Path

import pytest
import yaml

from decisions.audit import Fault
from workers.settings import KNOWN

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
RULES = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
ALERTS = [rule["alert"] for group in RULES["groups"] for rule in group["rules"]]
HEADINGS = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("alert", ALERTS)
def test_what_to_do_about_an_alert_is_written(alert: str) -> None:
    assert alert in HEADINGS


@pytest.mark.parametrize("fault", Fault)
def test_what_a_fault_means_and_how_it_is_repaired_is_written(fault: Fault) -> None:
    assert f"| `{fault}` |" in PAGE


def test_every_setting_that_it_names_exists() -> None:
    named = set(re.findall(r"OMHAND_[A-Z_]*[A-Z]", PAGE))
    assert named
    assert {name.removesuffix("_FILE") for name in named} - KNOWN <= {"OMHAND_KEYS"}


def test_every_file_that_it_names_exists() -> None:
    named = set(re.findall(r"`((?:tests|deploy|workers|omhand|decisions|workflows|activities)/[\w./-]+)`", PAGE))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_place_on_the_page_that_it_points_to_exists() -> None:
    places = set(re.findall(r"\]\(#([^)]+)\)", PAGE))
    assert places - {anchor(heading) for heading in HEADINGS} == set()
    for page, place in re.findall(r"\]\((\w+\.md)#([^)]+)\)", PAGE):
        headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert place in {anchor(heading) for heading in headings}
