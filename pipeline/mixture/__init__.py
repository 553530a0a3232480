"""How much of each document is taken: shares, epochs, the exact cut."""
