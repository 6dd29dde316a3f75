"""The nouns: space, trial, events, decisions, actions, goal, keyed random streams, the clock."""
