"""Self-contained HTML pages: charts, pictures, templates. Imports neither torch nor numpy."""

from ganforge.report.pages.chart import Chart, Reference, Series, thin
from ganforge.report.pages.page import render, write_page
from ganforge.report.pages.pictures import Picture, PictureError, choose_evenly, embed, embed_series

__all__ = [
    "Chart",
    "Picture",
    "PictureError",
    "Reference",
    "Series",
    "choose_evenly",
    "embed",
    "embed_series",
    "render",
    "thin",
    "write_page",
]
