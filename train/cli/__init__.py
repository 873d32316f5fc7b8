"""Commands of the workstation: train, evaluate, data, demo, bench plot."""
