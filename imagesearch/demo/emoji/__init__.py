"""The demo's scenes of emoji: what they show, how they are drawn and worded, and found by keyword."""
