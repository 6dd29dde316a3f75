"""What runs: the trainable, its runner and checkpoints, and the actor that hosts them on Ray."""
