"""The way to the gateway and back: clients, what it answered, errors, and a local gateway."""
