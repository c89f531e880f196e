"""What was trained and measured before: a card for each encoder, and the page made of them."""
