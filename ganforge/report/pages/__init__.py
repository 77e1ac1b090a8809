"""Self-contained HTML pages: charts, pictures, templates. Imports neither torch nor numpy."""

from ganforge.report.pages.page import render, write_page
from ganforge.report.pages.pictures import Picture, PictureError, choose_evenly, embed, embed_series
from ganforge.utils.chart import SMOOTHING, Chart, Reference, Series, stretch_means, thin

__all__ = [
    "SMOOTHING",
    "Chart",
    "Picture",
    "PictureError",
    "Reference",
    "Series",
    "choose_evenly",
    "embed",
    "embed_series",
    "render",
    "stretch_means",
    "thin",
    "write_page",
]
