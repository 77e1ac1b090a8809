"""What pages for people share: one file each, with nothing to fetch; imports neither torch nor numpy."""

from ganforge.report.pages.chart import Chart, Reference, Series
from ganforge.report.pages.page import render, write_page
from ganforge.report.pages.pictures import Picture, PictureError, choose_evenly, embed, embed_series
from ganforge.report.pages.thinning import thin

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
