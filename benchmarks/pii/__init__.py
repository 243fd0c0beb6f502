"""Benchmarks of finding personal data: accuracy, speed and memory, beside peers."""
