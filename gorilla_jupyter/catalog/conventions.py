"""What people call the modules and the objects of well-known packages in their code."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Mapping

PYTHON = "python"
"""The name that the standard library goes by."""

MODULE_ALIASES: Mapping[str, str] = {
    "altair": "alt",
    "cupy": "cp",
    "dask.array": "da",
    "dask.dataframe": "dd",
    "geopandas": "gpd",
    "holoviews": "hv",
    "jax.numpy": "jnp",
    "matplotlib": "mpl",
    "matplotlib.dates": "mdates",
    "matplotlib.pyplot": "plt",
    "matplotlib.ticker": "mticker",
    "networkx": "nx",
    "numpy": "np",
    "os.path": "os.path",
    "pandas": "pd",
    "plotly.express": "px",
    "plotly.graph_objects": "go",
    "polars": "pl",
    "pyarrow": "pa",
    "seaborn": "sns",
    "statsmodels.api": "sm",
    "tensorflow": "tf",
    "tensorflow_hub": "hub",
    "torch.nn": "nn",
    "torch.nn.functional": "F",
    "xarray": "xr",
    "xml.etree.ElementTree": "ET",
}
"""What people call a module in their code."""

PARENT_IMPORTS = frozenset({"scipy"})
"""Packages whose modules are imported by name: ``from scipy import stats``."""

OBJECT_NAMES: Mapping[str, str] = {
    "DataFrame": "dataframe",
    "DataFrameGroupBy": "grouped",
    "SeriesGroupBy": "grouped_series",
    "bytes": "data",
    "dict": "mapping",
    "float": "number",
    "int": "number",
    "list": "items",
    "ndarray": "array",
    "set": "elements",
    "str": "text",
    "tuple": "values",
}
"""What an object of a class is called; that of any other, by the name of its class."""

MAKERS: Mapping[str, tuple[str, str]] = {
    "matplotlib.axes.Axes": ("import matplotlib.pyplot as plt", "figure, axes = plt.subplots()"),
    "matplotlib.figure.Figure": ("import matplotlib.pyplot as plt", "figure = plt.figure()"),
}
"""How objects of a class are made that nobody constructs by hand: import and statement."""


def object_name(class_name: str) -> str:
    """What an object of that class is called: ``LinearRegression`` is a ``linear_regression``."""
    if class_name in OBJECT_NAMES:
        return OBJECT_NAMES[class_name]
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", class_name)
    name = words.strip("_").lower()
    hidden = name == class_name or keyword.iskeyword(name) or hasattr(builtins, name)
    return f"{name}_object" if hidden else name
