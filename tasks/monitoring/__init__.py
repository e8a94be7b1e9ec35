"""New footage: what it looks like, what the model says of it, and how far both lie from what the run has validated."""
