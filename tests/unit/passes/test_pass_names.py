"""Names, options and the text form of passes."""

from __future__ import annotations

import pytest

from snnc.errors import InputError
from snnc.passes import DEFAULT, KNOWN, FoldGain, options, parse, parse_passes


def test_every_pass_is_known_by_its_name_and_says_what_it_preserves() -> None:
    for name, kind in KNOWN.items():
        made = parse(name)
        assert type(made) is kind
        assert made == kind()
        assert made.preserves in {"exact", "close", "approximate"}
        assert (kind.__doc__ or "").strip()


def test_default_order() -> None:
    names = [step.name for step in DEFAULT]
    assert names == ["drop-identity", "fuse-batch-norm", "average-to-sum", "fold-gain", "fold-rest"]
    assert parse_passes(names) == DEFAULT


def test_options_are_parsed() -> None:
    assert parse("fold-gain{into=threshold}") == FoldGain("threshold")
    assert parse(" fold-gain { into = weights } ") == FoldGain()
    assert parse("fold-gain{}") == FoldGain()
    assert options(FoldGain) == {"into": ("weights or threshold", "weights")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fold-gian", "nearest is 'fold-gain'"),
        ("fold-gain{onto=weights}", "nearest is 'into'"),
        ("fold-gain{into=sky}", "allowed is weights or threshold"),
        ("fold-gain{into}", "no option|into"),
        ("fold-rest{x=1}", "there are none"),
        ("fold gain", "a pass is written"),
        ("", "a pass is written"),
    ],
)
def test_wrong_text_is_refused_with_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(text)
