"""Render self-contained HTML pages: each page contains its style, script and pictures."""

import base64
import functools
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from nbseg import __version__


def render_page(package: str, **values: Any) -> str:
    """Render the template ``templates/page.html`` of a package, and return the HTML page.

    All pages have the style sheet and the script of the pseudo-label report.

    Args:
        package: dotted name of the Python package that contains the template.
        **values: values of the template's variables, except ``style``, ``script`` and ``version``.
            This function sets these three variables.
    """
    templates = _templates(package)
    assert templates.loader is not None
    style, script = (
        Markup(templates.loader.get_source(templates, f"page.{kind}")[0]) for kind in ("css", "js")
    )
    return templates.get_template("page.html").render(
        style=style, script=script, version=__version__, **values
    )


@functools.cache  # an environment compiles each of its templates once
def _templates(package: str) -> Environment:
    loaders = [PackageLoader(package), PackageLoader("nbseg.analysis.pseudo_report")]
    return Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def jpeg_uri(content: bytes) -> str:
    """Return the content of a JPEG file as a data URI."""
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()
