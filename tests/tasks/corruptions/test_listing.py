"""The list of corruptions: complete, narrow enough to read, and the same as the one in the documentation."""

import json
from pathlib import Path

import pytest

from tasks.corruptions import CORRUPTIONS, find, listing
from tasks.errors import InputError

DOCUMENT = Path(__file__).parents[3] / "docs/corruptions.md"


def test_the_table_has_each_corruption_with_its_levels_within_120_columns() -> None:
    lines = listing.table(listing.select(CORRUPTIONS, []))
    assert max(map(len, lines)) <= listing.WIDTH
    rows = {words[0]: words for words in map(str.split, lines) if words and words[0] in CORRUPTIONS and len(words) > 9}
    assert set(rows) == set(CORRUPTIONS)
    for name, corruption in CORRUPTIONS.items():
        assert rows[name][1] == corruption.parameter
        assert [float(word) for word in rows[name][2:7]] == pytest.approx(corruption.levels, rel=1e-5)
        assert str(corruption.version) in rows[name]
        assert {corruption.temporal, corruption.stage} <= set(rows[name])
        assert ("yes" in rows[name]) == corruption.moves_pixels
    for source in {corruption.source for corruption in CORRUPTIONS.values()}:
        assert source in " ".join(lines).replace("     ", " ")


def test_globs_choose_by_name_and_family() -> None:
    def chosen(*globs: str) -> list[str]:
        return [corruption.name for corruption in listing.select(CORRUPTIONS, globs)]

    assert set(chosen()) == set(CORRUPTIONS)
    assert chosen("gaussian_noise", "gam*") == ["gaussian_noise", "gamma"]
    assert set(chosen("noise")) == {name for name, found in CORRUPTIONS.items() if found.family == "noise"}
    with pytest.raises(InputError, match="'snoww' matches no corruption and no family; families: noise"):
        listing.select(CORRUPTIONS, ["fog", "snoww"])


def test_facts_are_json_and_say_everything_of_an_entry() -> None:
    for corruption in [*CORRUPTIONS.values(), find("low_light 2 + gaussian_noise")]:
        facts = json.loads(json.dumps(listing.facts(corruption)))
        unsaid = {"batch", "frame", "clip", "parts", "during", "waves"}
        assert set(facts) >= set(corruption.__dataclass_fields__) - unsaid
        assert facts["levels"] == list(corruption.levels)


def test_the_documentation_has_the_table() -> None:
    """After a change: put what `stormglass corruptions` prints between the fences under "All of them"."""
    shown = DOCUMENT.read_text(encoding="utf-8").split("## All of them")[1].split("```")[1].strip("\n")
    assert shown.splitlines() == listing.table(listing.select(CORRUPTIONS, []))
