"""A pandas expression that says yes or no for each row of a table: what slices, shifts and exports select by."""

import difflib
import re

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.errors import InputError


def rows(query: str, table: pd.DataFrame, where: str) -> npt.NDArray[np.bool_]:
    """(n_rows,) the rows that `query` holds for; an unknown value is no.

    Args:
        query: such as `camera == 'north' and brightness < 80`.
        table: its columns are the names.
        where: who asks, in errors.

    Raises:
        InputError: the query does not evaluate, or not to yes or no by row.
    """
    columns = [str(column) for column in table.columns if not str(column).startswith("source_")]
    known = f"columns: {', '.join(columns)}"
    try:
        result = table.eval(query, engine="python")
    except Exception as error:  # pandas raises whatever the expression does, from SyntaxError to TypeError
        reason = " ".join(str(error).split())
        raise InputError(f"{where}: '{query}' fails ({reason}); {known}{_near(reason, columns)}") from None
    if not isinstance(result, pd.Series) or not pd.api.types.is_bool_dtype(result.dtype):
        raise InputError(f"{where}: '{query}' gives no yes or no for each row, expected a comparison; {known}.")
    return np.asarray(result.fillna(False), dtype=bool)


def _near(reason: str, columns: list[str]) -> str:
    """The column that an unknown name may be meant for, as the end of a sentence."""
    unknown = re.search(r"name '(\w+)' is not defined", reason)
    near = difflib.get_close_matches(unknown[1], columns, n=1, cutoff=0.5) if unknown else []
    return f"; did you mean '{near[0]}'?" if near else "."
