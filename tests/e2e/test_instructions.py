# SPDX-License-Identifier: Apache-2.0
"""The guard of the hot path can fail, and fails when it should. Needs no gateway and no valgrind."""

import instructions
import pytest

RECORDED = {"admit": 10_000, "settle": 1_000}


def faults(**measured):
    return instructions.compare({**RECORDED, **measured}, RECORDED)[1]


def test_what_costs_as_much_as_recorded_passes():
    assert faults() == []
    assert faults(admit=11_000, settle=10) == []


def test_what_grew_by_more_than_a_tenth_is_named():
    (fault,) = faults(admit=11_001)
    assert "admit grew by 10.0 %, from 10000 instructions to 11001" in fault


def test_what_is_not_on_both_sides_is_named():
    assert faults(parse=5) == ["parse is not recorded"]
    assert instructions.compare({"admit": 10_000}, RECORDED)[1] == ["settle is recorded and no longer measured"]


@pytest.mark.parametrize(
    ("found", "is_same_compiler", "is_ci", "status"),
    [
        ([], True, True, 0),
        (["admit grew"], True, False, 1),
        (["admit grew"], True, True, 1),
        (["admit grew"], False, False, 0),
        (["admit grew"], False, True, 1),
    ],
)
def test_another_compiler_excuses_growth_outside_ci_only(found, is_same_compiler, is_ci, status, capsys):
    assert instructions.verdict(found, is_same_compiler, is_ci) == status
    if status:
        assert "make instructions ARGS=--accept" in capsys.readouterr().err


def test_without_valgrind_the_guard_says_so_and_fails_in_ci(monkeypatch, capsys):
    monkeypatch.setattr(instructions.shutil, "which", lambda _: None)
    assert instructions.run(accepts=False, is_ci=False) == 0
    assert "apt-get install valgrind" in capsys.readouterr().err
    assert instructions.run(accepts=False, is_ci=True) == 1


def test_every_recorded_operation_has_a_count():
    for entry in instructions.read_table().values():
        assert entry["rustc"]
        assert all(count > 0 for count in entry["operations"].values()) and len(entry["operations"]) >= 5
