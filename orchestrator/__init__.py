"""The sweep itself: its spec, its state machine, the one loop, and the command line."""
