"""Who gets which arm of an experiment, and how the arms compare."""
