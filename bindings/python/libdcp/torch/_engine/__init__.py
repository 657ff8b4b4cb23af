"""Between torch's objects and the engine's."""
