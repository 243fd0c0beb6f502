"""The circuit breaker on the client: its rules, where its state is kept, and `Circuits`."""
