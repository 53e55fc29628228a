"""The peers: one folder each, with pinned versions and a program. Nothing here imports taskforge."""
