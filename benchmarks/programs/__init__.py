"""The contestants' programs: each takes a JSON object as its only argument and prints one with what it measured."""
