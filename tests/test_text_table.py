"""Tests of text tables: aligned columns in at most 80 characters."""

from hypothesis import given
from hypothesis import strategies as st

from reid_gen.evaluation.view_evaluator import ViewScores, views_table
from reid_gen.text_table import WIDTH, aligned

CELL = st.text(st.characters(categories=["L", "N", "P"], max_codepoint=0x24F), max_size=60)


@given(st.lists(st.tuples(CELL, CELL, CELL, CELL), min_size=1, max_size=4))
def test_aligned_wraps_at_80_characters_without_loss(rows):
    text = aligned(("name", "a", "b", "c"), rows)
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert sorted(text.replace("\n", "").replace(" ", "")) == sorted(
        "nameabc" + "".join(cell for row in rows for cell in row)
    )


def test_aligned_right_aligns_numbers_and_ignores_markup():
    assert aligned(("row", "mAP"), [("[bold]a long name", "9.10"), (":smile:", "100.00")]) == (
        "row                   mAP\n[bold]a long name    9.10\n:smile:            100.00"
    )


def test_views_table_has_at_most_80_characters_per_line():
    scores = {
        "mean_of_others": ViewScores(0.123, 12.34, 12.34, 0.1234, 0.987, 0.876),
        "true": ViewScores(1.0, float("inf"), float("inf"), 123.4567, 1.0, 1.0),
    }
    lines = views_table(scores, "Frechet (reference)").splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert len(lines) == 3
    assert lines[0].split()[-2:] == ["rank-1", "mAP"]
    assert scores["true"].as_dict() | {"ssim": 1.0} == {
        "ssim": 1.0, "psnr": float("inf"), "person_psnr": float("inf"), "frechet": 123.4567,
        "rank-1": 1.0, "mAP": 1.0,
    }  # fmt: skip
