"""MODEL_ZOO.md, generated from the model cards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reid_gen.zoo.cards import TITLES, Card, Measurement, Reported

HEAD = """\
# Model zoo

Generated from `reid_gen/zoo` by `python tools/write_zoo.py`; edit the cards there, not this page.

Tables give mAP / rank-1 in percent on the official query and gallery splits: single query, cosine
similarity, no re-ranking, last epoch, AP as the mean precision at the hits (step rule). The
built-in set is rendered with `--preset small --seed 1`. Empty cells were not measured.

"""
PAPERS = "As published, not reproduced here; input size, initial weights and use of cameras differ."
SCORES = ("mAP", "rank-1", "rank-5", "rank-10", "mINP")


def zoo_page(cards: Sequence[Card], reported: Sequence[Reported]) -> str:
    """Write the page as Markdown."""
    return HEAD + "\n".join(
        [
            "## Reproduced here\n",
            *_overview(cards),
            "",
            *(line for card in cards for line in _section(card)),
            "## Reported by papers\n",
            f"{PAPERS}\n",
            *_papers(reported),
            "",
        ]
    )


def _overview(cards: Sequence[Card]) -> Iterable[str]:
    yield _row("encoder", "input", "initial weights", *TITLES.values(), "weights")
    yield _rule(4 + len(TITLES))
    for card in cards:
        scores = (_pair(card.on(dataset)) for dataset in TITLES)
        link = f"[`{card.name}`](#{card.name.replace('.', '')})"
        weights = "in the package" if card.weights.source == "package" else "not distributed"
        yield _row(link, f"{card.height} x {card.width}", card.start, *scores, weights)


def _section(card: Card) -> Iterable[str]:
    yield f"### {card.name}\n"
    yield f"{card.about}\n"
    weights = card.weights
    if weights.source == "package":
        size = f"{(weights.bytes or 0) / 1e6:.1f} MB"
        yield f"- weights: in the package, {size}, {weights.licence}, SHA-256 `{weights.sha256}`"
    else:
        yield f"- weights: not distributed: {weights.reason}"
    yield f"- trained on: {card.trained_on}; {card.data_licence}"
    if card.config is not None:
        yield f"- settings: [`{card.config}`]({card.config})"
    yield f"- trained with: `{card.trained_with}`"
    if card.more is not None:
        yield f"- more: [{card.more}]({card.more})"
    yield ""
    yield _row("data set", "ranking", *SCORES, "seed", "commit", "machine")
    yield _rule(5 + len(SCORES))
    for m in card.measured:
        scores = map(_score, (m.m_ap, m.rank1, m.rank5, m.rank10, m.minp))
        yield _row(TITLES[m.dataset], m.ranking, *scores, str(m.seed), m.commit, m.machine)
    yield ""
    for command in dict.fromkeys(m.command for m in card.measured):
        yield f"- `{command}`"
    yield ""


def _papers(reported: Sequence[Reported]) -> Iterable[str]:
    names = [name for name in TITLES if name != "pedestrians"]
    yield _row("method", "uses", *(TITLES[name] for name in names), "source")
    yield _rule(3 + len(names))
    for paper in reported:
        scores = {str(name): f"{m:.1f} / {r:.1f}" for name, (m, r) in paper.scores.items()}
        cells = (scores.get(name, "") for name in names)
        yield _row(paper.method, paper.uses, *cells, paper.source)


def _pair(measurement: Measurement | None) -> str:
    return "" if measurement is None else f"{measurement.m_ap:.1f} / {measurement.rank1:.1f}"


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _row(*cells: str) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def _rule(columns: int) -> str:
    return "|" + "---|" * columns
