"""What an object is, where its bytes lie and what may happen to it. Pure Python."""
