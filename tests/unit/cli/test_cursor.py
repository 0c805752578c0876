"""What may stand at the cursor of a line that is not finished."""

from __future__ import annotations

import pytest

from jobworker.cli import commands
from jobworker.cli.cursor import Cursor, place
from jobworker.cli.verbs import complete


@pytest.mark.parametrize(
    ("words", "wants", "typed"),
    [
        ([], "VERB", ""),
        ([""], "VERB", ""),
        (["sta"], "VERB", "sta"),
        (["-"], "OPTION", "-"),
        (["-u"], "OPTION", "-u"),
        (["-u", ""], "VALUE", ""),
        (["-ubob", "st"], "VERB", "st"),
        (["--user=bob", "st"], "VERB", "st"),
        (["--user", "bob", "st"], "VERB", "st"),
        (["status", ""], "ID", ""),
        (["status", "j-9f8b", "j-"], "ID", "j-"),
        (["status", "--json", "j-"], "ID", "j-"),
        (["why", "j-9f8b", ""], "", ""),
        (["stop", "--grace", ""], "VALUE", ""),
        (["stop", "--grace", "10s", ""], "ID", ""),
        (["stop", "--gr"], "OPTION", "--gr"),
        (["stop", "--", "--gr"], "ID", "--gr"),
        (["list", "--status=Ru"], "VALUE", "Ru"),
        (["list", "--status", "=", "Ru"], "VALUE", "Ru"),
        (["list", "--status", "="], "VALUE", ""),
        (["list", "--all=x"], "", "x"),
        (["list", ""], "", ""),
        (["extend", ""], "ID", ""),
        (["extend", "j-9f8b", ""], "DURATION", ""),
        (["start", "--mem"], "OPTION", "--mem"),
        (["start", ""], "PROGRAM", ""),
        (["start", "--label", "k", "=", "v", ""], "PROGRAM", ""),
        (["start", "--", "/bin/e"], "PROGRAM", "/bin/e"),
        (["start", "/bin/echo", "--mem"], "ARGUMENT", "--mem"),
        (["start", "/bin/echo", "x", ""], "ARGUMENT", ""),
        (["can-i", ""], "start", ""),
        (["can-i", "start", "--no"], "OPTION", "--no"),
        (["can-i", "start", ""], "PROGRAM", ""),
        (["token", ""], "print", ""),
        (["help", "wa"], "VERB", "wa"),
        (["completion", ""], "bash|zsh|fish", ""),
        (["dance", ""], "", ""),
    ],
)
def test_what_is_wanted(words: list[str], wants: str, typed: str) -> None:
    at = Cursor(words)
    assert (at.wants, at.typed) == (wants, typed)


def test_the_profile_is_the_one_that_the_line_names() -> None:
    assert Cursor(["-u", "bob", "status", ""]).user == "bob"
    assert Cursor(["status", "-ubob", "--user=carol", ""]).user == "carol"
    assert Cursor(["start", "/bin/echo", "-u", "bob", ""]).user is None


def test_a_value_is_shown_with_its_option() -> None:
    at = Cursor(["list", "--status=Ru"])
    assert at.lead == "--status="
    assert ("Running", "") in list(complete.candidates(at))


@pytest.mark.parametrize(
    ("usage", "places"),
    [
        ("status ID...", ["ID", "ID", "ID"]),
        ("why ID", ["ID", "", ""]),
        ("stop [--grace DURATION] ID...", ["ID", "ID"]),
        ("signal [OPTIONS] ID SIGNAL", ["ID", "SIGNAL", ""]),
        ("run [OPTIONS] [--] PROGRAM [ARGUMENT...]", ["PROGRAM", "ARGUMENT", "ARGUMENT"]),
        ("help [VERB]", ["VERB", ""]),
        ("version", ["", ""]),
    ],
)
def test_the_places_of_a_usage_line(usage: str, places: list[str]) -> None:
    assert [place(usage, index) for index in range(len(places))] == places


def test_every_verb_completes_its_options() -> None:
    """A verb of the table takes part, whoever added it."""
    for name, _, _ in commands.VERBS:
        offered = {word for word, _ in complete.candidates(Cursor([name, "--"]))}
        assert {f"--{option}" for option, *_ in commands.load(name).OPTIONS} <= offered
        assert "--json" in offered


def test_every_verb_is_offered_and_the_hidden_one_is_not() -> None:
    offered = [word for word, _ in complete.candidates(Cursor([""]))]
    assert offered == [name for name, _, _ in commands.VERBS]
