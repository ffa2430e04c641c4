"""Every entry of the ledger still disagrees, and agrees where it says so; an entry whose sides agree is stale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from equivalence.ledger import LEDGER, Entry, page

PAGE = Path(__file__).resolve().parents[2] / "backends" / "LEDGER.md"


def judge(entry: Entry) -> None:
    left, right = entry.show()
    assert left.shape == right.shape, entry.name
    assert left.size, entry.name
    if entry.applies:
        assert not np.array_equal(left, right), f"{entry.name} is stale: both sides give {left.tolist()}"
    else:
        np.testing.assert_array_equal(left, right)
    if entry.agree is not None:
        np.testing.assert_array_equal(*entry.agree())


@pytest.mark.parametrize("entry", LEDGER, ids=lambda entry: entry.name)
def test_the_sides_disagree_beyond_the_agreement_and_agree_within(entry: Entry) -> None:
    judge(entry)


def test_a_stale_entry_fails() -> None:
    entry = LEDGER[0]
    assert entry.agree is not None
    with pytest.raises(AssertionError, match="sum-of-weights is stale"):
        judge(replace(entry, show=entry.agree))
    with pytest.raises(AssertionError, match="Arrays are not equal"):
        judge(replace(entry, agree=entry.show))


def test_names_are_unique_and_nothing_is_without_a_reason() -> None:
    assert len({entry.name for entry in LEDGER}) == len(LEDGER)
    assert all(entry.reason and entry.upstream and entry.here for entry in LEDGER)


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/equivalence/ledger.py > backends/LEDGER.md"
