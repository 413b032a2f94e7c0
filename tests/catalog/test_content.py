"""The content that ships: what the action plan's annex and its figure say."""

from __future__ import annotations

from collections import Counter

import pytest

from catalog.content import TO_EU, ai_factories, country_groups, data_spaces, sector_matrix
from catalog.entities import FactoryType, SupercomputerStatus
from catalog.names import reserved_words
from catalog.words import countries

# The figure of section 1.1, as printed: sector and the codes of its marked columns, in its order.
FIGURE = """\
Health and life sciences      | AT DE EL ES FI FR IT PL SE SI
Technology and digital        | BG EL ES FI FR IT LU PL SE SI
Environment and sustainability| BG DE EL ES FR IT LU PL SE SI
Education and culture         | AT BG DE EL ES FR IT SE SI
Manufacturing and engineering | AT BG DE FI FR SE SI
Finance and business          | AT DE ES FR IT LU SE
Agriculture and food          | AT ES FR IT SE SI
Cybersecurity and dual use    | FR IT LU
Space                         | BG FR LU PL
Public sector                 | AT DE ES PL
"""
# The annex's column "consortium", in its order, with the EU's codes.
CONSORTIA = "FI CZ DK EE NO PL|IT AT SI|ES PT RO TR|LU|SE|DE|EL|DE|FR|SI|PL|AT|BG"


def test_there_are_the_13_factories_of_the_annex_in_its_order() -> None:
    assert [factory.id for factory in ai_factories()] == (
        [
            "lumi",
            "it4lia",
            "bsc",
            "luxembourg",
            "mimer",
            "hammerhai",
            "pharos",
            "jupiter",
            "france",
            "slaif",
            "piast",
            "ai_at",
            "brain",
        ]
    )
    assert {factory.type for factory in ai_factories()} == {FactoryType.FACTORY}


def test_consortia_are_as_printed_but_in_iso_codes() -> None:
    shown = [" ".join(TO_EU.get(code, code) for code in factory.consortium) for factory in ai_factories()]
    assert "|".join(shown) == CONSORTIA
    assert all(factory.consortium[0] == factory.country for factory in ai_factories())


@pytest.mark.parametrize(("first", "member_states"), [(7, 15), (13, 17)])
def test_the_consortia_count_member_states_as_the_plan_does(first: int, member_states: int) -> None:
    named = {code for factory in ai_factories()[:first] for code in factory.consortium}
    assert len(named & country_groups()["eu"].countries) == member_states
    assert named - country_groups()["eu"].countries == {"NO", "TR"}
    assert {"NO", "TR"} <= country_groups()["eurohpc_associated"].countries


def test_nine_machines_are_new_and_one_is_upgraded() -> None:
    machines = [factory.supercomputer for factory in ai_factories()]
    assert Counter(machine.status for machine in machines if machine) == {
        SupercomputerStatus.NEW: 9,
        SupercomputerStatus.UPGRADED: 1,
        SupercomputerStatus.EXISTING: 2,
        SupercomputerStatus.IN_PROCUREMENT: 1,
    }
    named = {machine.name: machine.status for machine in machines if machine and not machine.name.startswith("new ")}
    assert named == {
        "LUMI-AI": SupercomputerStatus.NEW,
        "MareNostrum 5": SupercomputerStatus.UPGRADED,
        "MeluXina-AI": SupercomputerStatus.NEW,
        "DAEDALUS": SupercomputerStatus.EXISTING,
        "JUPITER": SupercomputerStatus.EXISTING,
        "Alice Recoque": SupercomputerStatus.IN_PROCUREMENT,
        "Discoverer++": SupercomputerStatus.NEW,
    }


def test_each_factory_has_a_host_a_place_and_sectors() -> None:
    places = {factory.id: (factory.place, factory.country, len(factory.sectors)) for factory in ai_factories()}
    assert places == {
        "lumi": ("Kajaani", "FI", 4),
        "it4lia": ("Bologna", "IT", 8),
        "bsc": ("Barcelona", "ES", 9),
        "luxembourg": ("Bissen", "LU", 4),
        "mimer": ("Linköping", "SE", 6),
        "hammerhai": ("Stuttgart", "DE", 2),
        "pharos": ("Athens", "GR", 4),
        "jupiter": ("Jülich", "DE", 11),
        "france": ("Bruyères-le-Châtel", "FR", 13),
        "slaif": ("Maribor", "SI", 8),
        "piast": ("Poznań", "PL", 8),
        "ai_at": ("Vienna", "AT", 6),
        "brain": ("Sofia", "BG", 5),
    }


def test_the_matrix_is_as_printed() -> None:
    printed = [[part.strip() for part in line.split("|")] for line in FIGURE.splitlines()]
    shown = [
        [row.title["en"], " ".join(sorted(TO_EU.get(code, code) for code in row.countries))] for row in sector_matrix()
    ]
    assert shown == printed
    assert all(set(row.title) == {"en", "de"} for row in sector_matrix())


def test_there_are_14_data_spaces_in_three_languages() -> None:
    assert len(data_spaces()) == 14
    assert len({space.id for space in data_spaces()}) == 14
    for space in data_spaces():
        assert set(space.title) == {"en", "de", "fr"}
        assert set(space.description) == {"en", "de", "fr"}
        assert space.operator is None
        assert space.id not in reserved_words()


def test_countries_are_those_of_iso_3166_1() -> None:
    assert len(countries()) == 250  # the standard's 249 and XK
    assert countries()["NO"] == "Norway"
    assert not {"EL", "UK"} & set(countries())
    assert len(country_groups()["eu"].countries) == 27
    for group in country_groups().values():
        assert group.countries <= set(countries())
        assert group.source
        assert group.as_of.year >= 2020
