"""Write MODEL_ZOO.md from the cards in reid_gen/zoo."""

from pathlib import Path

from reid_gen.files import write_bytes
from reid_gen.zoo.cards import load_cards, load_reported
from reid_gen.zoo.page import zoo_page

PAGE = Path(__file__).parent.parent / "MODEL_ZOO.md"

if __name__ == "__main__":
    write_bytes(PAGE, zoo_page(load_cards(), load_reported()).encode())
