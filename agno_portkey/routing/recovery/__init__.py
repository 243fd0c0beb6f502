"""What becomes of a call whose requests fail: who is asked next, when, and with what begun."""
