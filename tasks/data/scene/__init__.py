"""The renderer behind the embedded data set: a road junction in three dimensions, its traffic and its cameras."""
