"""MODEL_ZOO.md, made from the cards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reid_gen.zoo.cards import TITLES, Card, Measurement, Reported

HEAD = """\
# Model zoo

Made from `reid_gen/zoo` by `python tools/write_zoo.py`; change the cards there, not this page.

mAP / rank-1 in percent: official query and gallery, single query, cosine similarity, no re-ranking,
last epoch, AP as the step sum of precision at hits. The built-in set is `--preset small --seed 1`.
An empty cell was not measured.

"""
PAPERS = "Not measured by us, nor always by one protocol (input size, cameras, start weights)."
EVERY = ("mAP", "rank-1", "rank-5", "rank-10", "mINP")


def zoo_page(cards: Sequence[Card], reported: Sequence[Reported]) -> str:
    """The whole page, as Markdown."""
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
    yield _row("encoder", "input", "start", *TITLES.values(), "weights")
    yield _rule(4 + len(TITLES))
    for card in cards:
        scores = (_pair(card.on(dataset)) for dataset in TITLES)
        link = f"[`{card.name}`](#{card.name.replace('.', '')})"
        kept = "in the package" if card.weights.source == "package" else "not passed on"
        yield _row(link, f"{card.height} x {card.width}", card.start, *scores, kept)


def _section(card: Card) -> Iterable[str]:
    yield f"### {card.name}\n"
    yield f"{card.about}\n"
    weights = card.weights
    if weights.source == "package":
        size = f"{(weights.bytes or 0) / 1e6:.1f} MB"
        yield f"- weights: in the package, {size}, {weights.licence}, SHA-256 `{weights.sha256}`"
    else:
        yield f"- weights: not passed on: {weights.reason}"
    yield f"- trained on: {card.trained_on}; {card.data_licence}"
    if card.config is not None:
        yield f"- settings: [`{card.config}`]({card.config})"
    yield f"- trained with: `{card.trained_with}`"
    if card.more is not None:
        yield f"- more: [{card.more}]({card.more})"
    yield ""
    yield _row("data set", "ranking", *EVERY, "seed", "commit", "machine")
    yield _rule(5 + len(EVERY))
    for one in card.measured:
        scores = map(_one, (one.m_ap, one.rank1, one.rank5, one.rank10, one.minp))
        about = (str(one.seed), one.commit, one.machine)
        yield _row(TITLES[one.dataset], one.ranking, *scores, *about)
    yield ""
    for command in dict.fromkeys(one.command for one in card.measured):
        yield f"- `{command}`"
    yield ""


def _papers(reported: Sequence[Reported]) -> Iterable[str]:
    names = [name for name in TITLES if name != "pedestrians"]
    yield _row("method", "uses", *(TITLES[name] for name in names), "source")
    yield _rule(3 + len(names))
    for one in reported:
        found = {str(name): f"{a:.1f} / {b:.1f}" for name, (a, b) in one.scores.items()}
        yield _row(one.method, one.uses, *(found.get(name, "") for name in names), one.source)


def _pair(found: Measurement | None) -> str:
    return "" if found is None else f"{found.m_ap:.1f} / {found.rank1:.1f}"


def _one(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _row(*cells: str) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def _rule(columns: int) -> str:
    return "|" + "---|" * columns
