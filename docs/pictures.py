# SPDX-License-Identifier: Apache-2.0
"""``.. picture::`` below a block of YAML: what ``os-vif show`` draws of the specification there.

It is drawn when the pages are built, so it cannot go stale. What else pages say of the code is
written into them by ``tools/pages.py``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class picture(nodes.General, nodes.Element):
    """An SVG drawn from a specification."""


def _draw(name: str, text: str) -> tuple[str, str]:
    """Return a specification's picture and what to say to who cannot see it."""
    from oslo_config import cfg

    import os_vif
    from os_vif.cli import configuration
    from os_vif.cli.hosting import guest_of
    from os_vif.cli.specs import reader
    from os_vif.cli.specs.batch import Batch
    from os_vif.drawing import scene, svg

    os_vif.initialize()
    batch = Batch()
    reader.read_text(name, text, batch)
    if batch.problems:
        raise ValueError("; ".join(map(str, batch.problems)))
    for (group, option), value in configuration.COMMAND_DEFAULTS.items():
        cfg.CONF.set_default(option, value, group=group)
    configuration.apply(batch.options, [])
    try:
        requests = reader.describe_all(batch)
    finally:
        cfg.CONF.reset()
        cfg.CONF.clear()
    pairs = [
        (request.topology, guest_of(entry))
        for entry, request in zip(batch.entries, requests, strict=True)
        if request is not None
    ]
    drawn = scene.scene_of(pairs)
    return svg.draw(drawn), drawn.description


def _visit_picture(self: Any, node: picture) -> None:
    folder = Path(self.builder.outdir) / self.builder.imagedir
    folder.mkdir(parents=True, exist_ok=True)
    (folder / node["name"]).write_text(node["svg"])
    self.body.append(
        self.starttag(
            node, "img", "", src=f"{self.builder.imgpath}/{node['name']}", alt=node["alt"]
        )
    )
    raise nodes.SkipNode


class Picture(SphinxDirective):
    """``.. picture::``: the block of YAML is the one right above."""

    def run(self) -> list[nodes.Node]:
        above = self.state.parent.children[-1:]
        found = [block for it in above for block in it.findall(nodes.literal_block)]
        captions = [caption.astext() for it in above for caption in it.findall(nodes.caption)]
        if not found or not captions:
            raise self.error("a picture stands right below a block of YAML with a caption")
        [block], [name] = found, captions
        try:
            svg, alt = _draw(name, block.astext() + "\n")
        except Exception as error:
            raise self.error(f"{name}: {error}") from error
        file = re.sub(r"[^a-z0-9]+", "-", f"{self.env.docname}-{name}".lower()) + ".svg"
        return [nodes.paragraph("", "", picture(name=file, svg=svg, alt=alt))]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_node(picture, html=(_visit_picture, None))
    app.add_directive("picture", Picture)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
