"""Routes as typed data: what they are made of, and what a gateway makes of them."""
