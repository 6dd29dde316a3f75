"""Where trials run: resources, the Ray pool, the simulated pool, the Ray session."""
