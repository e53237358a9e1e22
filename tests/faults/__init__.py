"""The fault catalogue as data: every fault that a mirror must survive, and one harness that judges them all."""
