"""Queries over tables: what they select, and what is said of one that does not evaluate."""

import pandas as pd
import pytest

from tasks import query
from tasks.errors import InputError

TABLE = pd.DataFrame({"camera": ["north", "south", None], "lux": pd.array([1, None, 3], dtype="Int64"), "source_x": 0})


def test_rows_that_hold_and_unknown_values_do_not():
    assert query.rows("camera == 'north'", TABLE, "x").tolist() == [True, False, False]
    assert query.rows("lux < 2 or camera == 'south'", TABLE, "x").tolist() == [True, True, False]
    assert query.rows("lux > 0", TABLE, "x").tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("camra == 'north'", r"^here: 'camra == .*fails.*columns: camera, lux; did you mean 'camera'\?$"),
        ("weather == 'rain'", r"^here: .*'weather' is not defined.*columns: camera, lux\.$"),
        ("lux + 1", r"^here: 'lux \+ 1' gives no yes or no for each row.*columns: camera, lux\.$"),
        ("True", r"gives no yes or no"),
        ("lux ==", r"^here: 'lux ==' fails"),
    ],
)
def test_mistakes_are_told_in_one_sentence(expression, told):
    with pytest.raises(InputError, match=told) as error:
        query.rows(expression, TABLE, "here")
    assert "\n" not in str(error.value)
