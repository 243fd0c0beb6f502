"""Names of virtual keys and model-catalog slugs: the convention, and what breaks it."""
