"""The problems whose answer is known, a file for each family of them."""
