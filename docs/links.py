"""Links: names of C to Doxygen's pages, names of Python to ours; and every link within the site leads somewhere.

Doxygen runs first: its tag file says where each name is.
"""

import re
from pathlib import Path
from urllib.parse import unquote, urldefrag
from xml.etree import ElementTree

from docutils import nodes
from sphinx.domains.python import PythonDomain
from sphinx.errors import ExtensionError
from sphinx.util import logging

LOG = logging.getLogger(__name__)
# What can be nothing but a name of the C interface: `rds_flush`, `rds_flush()`, `RDS_OK`, `rds_span.data`.
NAME = re.compile(r"((?:rds|RDS)_\w+(?:\.\w+)?)(?:\(\))?")
# Variables of the environment look like such names.
NOT_NAMES = {"RDS_LIBRARY", "RDS_THREADS", "RDS_TRACEBACK"}
PYTHON_NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*(\(\))?")
# Classes of what functions give: nobody calls them.
GIVEN = {"Batch", "Column", "Stream"}
LINK = re.compile(r'(?:href|src)="([^"]+)"')


def places(tags: Path) -> dict[str, str]:
    """Where in the site each C name is described."""
    found: dict[str, str] = {}
    for compound in ElementTree.parse(tags).getroot():
        name, page = compound.findtext("name", ""), compound.findtext("filename", "")
        struct = compound.get("kind") in ("struct", "class")
        if struct:
            found[name] = page
        for member in compound.findall("member"):
            place = f"{member.findtext('anchorfile')}#{member.findtext('anchor')}"
            own = member.findtext("name", "")
            # A struct and its typedef have one name: the struct says more.
            found.setdefault(f"{name}.{own}" if struct else own, place)
            for value in member.findall("enumvalue"):
                found[value.text or ""] = f"{value.get('anchorfile')}#{value.get('anchor')}"
    return {name: f"c/{place}" for name, place in found.items()}


def link_names(app, doctree, page):
    """Makes links of the names of a page."""
    up = "../" * page.count("/")
    for literal in list(doctree.findall(nodes.literal)):
        match = NAME.fullmatch(literal.astext())
        if match is None or match[1] in NOT_NAMES or isinstance(literal.parent, nodes.reference):
            continue
        place = app.c_places.get(match[1])
        if place is None:
            LOG.warning("%s is no name of rds.h", match[1], location=literal)
            continue
        link = nodes.reference("", "", literal.deepcopy(), internal=True, refuri=up + place)
        literal.replace_self(link)


def python_name(_role, rawtext, text, *place):
    """What stands in single backticks in a docstring: code, and a link if it is a name that the site has."""
    if PYTHON_NAME.fullmatch(text):
        return PythonDomain.roles["obj"]("py:obj", rawtext, text, *place)
    return [nodes.literal(rawtext, text)], []


def signature_of(_app, what, _name, documented, _options, signature, returned):
    """How a class is called, if anybody calls it."""
    return "" if what == "class" and documented.__name__ in GIVEN else signature, returned


def check_links(app, failure):
    """Whether every link to a file of the site has one there."""
    if failure is not None:
        return
    site = Path(app.outdir)
    broken = []
    for page in site.rglob("*.html"):
        for link in set(LINK.findall(page.read_text(encoding="utf-8"))):
            path = unquote(urldefrag(link.partition("?")[0]).url)
            outside = "://" in link or link.startswith(("data:", "mailto:", "javascript:"))
            if path and not outside and not (page.parent / path).exists():
                broken.append(f"{page.relative_to(site)}: {link}")
    if broken:
        raise ExtensionError("links that lead nowhere:\n" + "\n".join(sorted(broken)))


def setup(app):
    app.add_config_value("c_tags", "", "env", [str])
    app.connect("builder-inited", lambda app: setattr(app, "c_places", places(Path(app.config.c_tags))))
    app.connect("doctree-resolved", link_names)
    app.connect("autodoc-process-signature", signature_of)
    app.add_role("name", python_name)
    app.connect("build-finished", check_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
